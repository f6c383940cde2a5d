"""One fit under several seeds, and what a record says of its model, against that model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from attacks.forging import content_of, settled
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

import cwbench
from cwbench.records.runs import read
from cwbench.running.score import score
from cwbench.verifying.fits import ONE_FIT, distance
from cwbench.verifying.verify import verify

SMALL = {
    "preset.samples": 20, "preset.observations": 6, "preset.steps": 20, "preset.width": 16,
    "preset.training_pairs": 200,
}  # fmt: skip
SAME = "draws from the same noise what that in"


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A flow, at an NFE and with the adaptive solver."""
    place = tmp_path_factory.mktemp("fitted")
    cwbench.run(
        "gaussian-linear", "fm", preset="smoke", results=place, figures=False, quiet=True,
        settings=SMALL, nfe=[2, "adaptive"],
    )  # fmt: skip
    return place


def problems(results: Path) -> list[str]:
    return [text for one in verify(results, fresh_seed=5) for text in one.problems]


def permuted(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The units of the first hidden layer in another order."""
    first, second = [name for name, part in state.items() if part.dim() == 2][:2]
    order = torch.randperm(len(state[first]), generator=torch.Generator().manual_seed(0))
    bias = first.replace("weight", "bias")
    assert len(state[first]) == state[second].shape[1] == 16
    return state | {
        first: state[first][order], bias: state[bias][order],
        second: state[second][:, order].contiguous(),
    }  # fmt: skip


def moved(share: float) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    """Every weight by a share of itself."""
    generator = torch.Generator().manual_seed(0)

    def change(state: dict[str, Tensor]) -> dict[str, Tensor]:
        return {
            name: part * (1 + share * torch.randn(part.shape, generator=generator))
            for name, part in state.items()
        }

    return change


def as_seed_7(place: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
    """The fit of seed 0 with changed weights, drawn and scored as `cwbench score` does."""
    copy = place.with_name("seed-7")
    shutil.copytree(place, copy)
    with safe_open(copy / "model.safetensors", framework="pt") as file:
        metadata = file.metadata()
    metadata["fit"] = metadata["fit"].replace("seed 0", "seed 7")
    state = change(load_file(copy / "model.safetensors"))
    save_file(state, copy / "model.safetensors", metadata)
    for name in ("samples.safetensors", "observations.parquet"):
        (copy / name).unlink()
    settled(copy, content_of(copy) | {"seed": 7, "metrics": {}}, keyed=False)
    content = content_of(place)
    blank = dict.fromkeys(("value", "low", "high", "plug_in", "p90"))
    metrics = {name: entry | blank | {"version": 0} for name, entry in content["metrics"].items()}
    settled(copy, content_of(copy) | {"metrics": metrics}, keyed=False)
    record = read(copy)
    assert record is not None
    score(record, place, quiet=True)


@pytest.mark.parametrize("change", [permuted, moved(1e-6), moved(1e-5)])
def test_one_fit_in_other_words_is_one_seed(
    fitted: Path, tmp_path: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]
) -> None:
    results = tmp_path / "results"
    shutil.copytree(fitted, results)
    (place,) = results.glob("runs/*/*/*/*/seed-0")
    as_seed_7(place, change)
    found = {one.directory.name: one.problems for one in verify(results, fresh_seed=5)}
    assert found["seed-0"] == []
    (problem,) = found["seed-7"]
    assert SAME in problem


def test_weights_that_were_moved_far_are_another_fit(fitted: Path, tmp_path: Path) -> None:
    """Which the guide says: from a hundredth on, nothing tells them from another training."""
    results = tmp_path / "results"
    shutil.copytree(fitted, results)
    (place,) = results.glob("runs/*/*/*/*/seed-0")
    as_seed_7(place, moved(0.03))
    assert not any(SAME in text for text in problems(results))


@pytest.mark.parametrize(
    ("method", "settings"),
    [("fm", {}), ("cwgan", {}), ("linear-gaussian", {}), ("knn", {}), ("prior", {}),
     ("pigdm", {"denoiser": "exact", "method.steps": 3})],
)  # fmt: skip
def test_seeds_of_their_own_fits_are_not_refused(
    tmp_path: Path, method: str, settings: dict[str, object]
) -> None:
    """With an exact denoiser nothing is learned, and seeds may draw the same from one noise."""
    for seed in (0, 1):
        cwbench.run(
            "gaussian-linear", method, preset="smoke", seed=seed, results=tmp_path, quiet=True,
            figures=False, settings=SMALL | settings,
        )  # fmt: skip
    assert problems(tmp_path) == []


def test_the_distance_is_a_median_in_deviations_of_the_draws() -> None:
    a = torch.randn(3, 40, 2, generator=torch.Generator().manual_seed(0)).double()
    a *= torch.tensor([1.0, 100.0])
    shift = 0.25 * a.std(1, keepdim=True)
    assert distance(a, a + shift) == pytest.approx(0.25)
    mostly = torch.where(torch.arange(40)[:, None] < 15, a + 1000 * shift, a)
    assert distance(a, mostly) == 0  # a few draws that a rounding sent elsewhere
    assert distance(a, a[:, :, :1]) == float("inf")
    assert distance(torch.ones_like(a), torch.ones_like(a)) == float("inf")
    assert distance(a, a.flip(1)) > ONE_FIT


@pytest.mark.parametrize(
    ("path", "factor", "said"),
    [
        (("parameters",), 0.5, "parameters on record, its model"),
        (("sampling", "2", "evaluations"), 0.5, "evaluations a draw at NFE 2: 1 on record, 2 by"),
        (("sampling", "2", "evaluations"), 1.01, "evaluations a draw at NFE 2: 2.02 on record"),
        (("sampling", "adaptive", "evaluations"), 0.5, "evaluations a draw at NFE adaptive: "),
        (("sampling", "adaptive", "evaluations"), 1.05, ""),
    ],
)
def test_what_its_model_costs_is_counted_again(
    fitted: Path, tmp_path: Path, path: tuple[str, ...], factor: float, said: str
) -> None:
    results = tmp_path / "results"
    shutil.copytree(fitted, results)
    (place,) = results.glob("runs/*/*/*/*/seed-0")
    content = content_of(place)
    part = content["cost"]
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = type(part[path[-1]])(part[path[-1]] * factor)
    settled(place, content, keyed=False)
    found = problems(results)
    assert len(found) == bool(said)
    assert all(said in text for text in found)


def test_what_a_draw_costs_is_told_at_every_nfe_and_files_are_those_of_a_run(
    fitted: Path, tmp_path: Path
) -> None:
    """A board shows the cost at 1 for all NFE of a record that tells no other."""
    results = tmp_path / "results"
    shutil.copytree(fitted, results)
    (place,) = results.glob("runs/*/*/*/*/seed-0")
    content = content_of(place)
    costs = content["cost"]["sampling"]
    (first, *others) = costs
    content["cost"]["sampling"] = {first: costs[first]}
    settled(place, content, keyed=False)
    assert problems(results) == [
        f"cost.sampling lacks NFE {', '.join(sorted(others))}, at which it has values"
    ]
    content["cost"]["sampling"] = costs
    settled(place, content, keyed=False)
    content["files"]["weights.pt"] = "0" * 64
    (place / "record.json").write_text(json.dumps(content))
    assert problems(results) == ["it names weights.pt, which is no file of a run"]
