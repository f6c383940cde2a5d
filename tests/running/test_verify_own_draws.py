"""What a stored model draws with its seed is what its record holds: samples, values, seeds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from attacks.forging import content_of, settled
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import cwbench
from cwbench.judging.judge import Judge
from cwbench.records.record import Record
from cwbench.records.runs import read
from cwbench.running.score import score
from cwbench.verifying import scoring
from cwbench.verifying.verify import verify

Run = Callable[..., Record]
SMALL = {
    "preset.samples": 40, "preset.observations": 8, "preset.steps": 30, "preset.width": 16,
    "preset.training_pairs": 200,
}  # fmt: skip


@pytest.fixture
def place(run: Run) -> Path:
    """A run of a flow with model and samples."""
    record = run("fm", settings=SMALL, nfe=[2])
    assert record.directory is not None
    return record.directory


def problems(results: Path) -> list[str]:
    return [text for one in verify(results, fresh_seed=5) for text in one.problems]


def scored(place: Path, results: Path) -> None:
    """As `cwbench score` does."""
    record = read(place)
    assert record is not None
    score(record, results, quiet=True)


def scored_anew(place: Path, results: Path) -> None:
    """The numbers of what is stored now, as `cwbench score` makes them."""
    content = content_of(place)
    for entry in content["metrics"].values():
        entry["version"] = 0  # of another version: measured again
    settled(place, content, keyed=False)
    scored(place, results)


def test_an_honest_run_draws_its_own_samples(place: Path, results: Path) -> None:
    (found,) = verify(results, fresh_seed=5)
    assert found.sound
    (place / "samples.safetensors").unlink()
    content = content_of(place)
    settled(place, content, keyed=False)
    (found,) = verify(results, fresh_seed=5)
    assert found.problems == []


@pytest.mark.parametrize("share", [0.05, 0.3, 1.0])
def test_draws_of_the_exact_posterior_among_those_of_a_model_are_found(
    place: Path, results: Path, share: float
) -> None:
    (samples,) = load_file(place / "samples.safetensors").values()
    (name,) = load_file(place / "samples.safetensors")
    task = cwbench.load_task("gaussian-linear")
    preset = task.info.presets["smoke"].model_copy(update={"observations": 8, "samples": 40})
    y = Judge(task, preset).observations.y
    exact = task.sample_posterior(y, samples.shape[1], torch.Generator().manual_seed(0))
    changed = int(share * samples.shape[1])
    samples[:, :changed] = exact[:, :changed].to(samples.dtype)
    save_file({name: samples}, place / "samples.safetensors")
    scored_anew(place, results)
    assert any("what the model beside them draws" in text for text in problems(results))


def test_a_small_coordinate_counts_as_much_as_a_large_one() -> None:
    """Draws of which one coordinate is a thousandth of the other, and is another's."""
    own = torch.randn(4, 50, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor(
        [1, 1e-3]
    )
    other = own.clone()
    other[..., 1] = other[..., 1].flip(1)
    assert list(scoring._other_draws("samples", own + 1e-3 * own.std((0, 1)), own)) == []
    assert len(list(scoring._other_draws("samples", other, own))) == 1


def test_values_beside_a_model_alone_are_those_of_its_draws(place: Path, results: Path) -> None:
    (place / "samples.safetensors").unlink()
    content = content_of(place)
    entry = content["metrics"]["energy@nfe=2"]
    for name in ("value", "low", "high", "plug_in", "p90"):
        entry[name] = None if entry[name] is None else entry[name] * 0.1
    table = pd.read_parquet(place / "observations.parquet")
    table.loc[table.metric == "energy", ["value", "plug_in"]] *= 0.1
    table.to_parquet(place / "observations.parquet", index=False)
    settled(place, content, keyed=False)
    assert any("model draws with this seed" in text for text in problems(results))


@pytest.mark.parametrize("name", ["floor", "plug_in", "resolution"])
def test_what_stands_beside_a_value_is_that_of_its_draws_and_its_task(
    place: Path, results: Path, name: str
) -> None:
    """A larger floor makes a value look like that of exact draws; rows say it as the entry does."""
    (place / "samples.safetensors").unlink()
    content = content_of(place)
    content["metrics"]["ew2sq@nfe=2"][name] *= 1.1
    table = pd.read_parquet(place / "observations.parquet")
    if name in table:
        table.loc[table.metric == "ew2sq", name] *= 1.1
        table.to_parquet(place / "observations.parquet", index=False)
    settled(place, content, keyed=False)
    (problem,) = problems(results)
    assert problem.startswith(f"ew2sq@nfe=2: {name} is ")


@pytest.mark.parametrize("share", [0.09, 0.02, 0.0])
def test_values_moved_within_rounding_are_told(place: Path, results: Path, share: float) -> None:
    """All of them lower by a share of the half-width: a paired difference would be moved by it."""
    (place / "samples.safetensors").unlink()
    content, table = content_of(place), pd.read_parquet(place / "observations.parquet")
    entry, chosen = content["metrics"]["ew2sq@nfe=2"], table.metric == "ew2sq"
    moved = share * min((entry["high"] - entry["low"]) / 2, table.value[chosen].std(ddof=0))
    table.loc[chosen, "value"] -= moved
    table.to_parquet(place / "observations.parquet", index=False)
    honest = entry["value"]
    entry |= {name: entry[name] - moved for name in ("value", "low", "high", "p90")}
    settled(place, content, keyed=False)
    (found,) = verify(results, fresh_seed=5)
    assert not found.problems
    told = [text for text in found.unchecked if "not redrawn exactly" in text]
    assert len(told) == (share > 0)
    assert all(f"{honest:.6g} from what its model draws" in text for text in told)


def test_what_the_task_was_asked_for_is_held_without_the_evaluations(
    place: Path, results: Path
) -> None:
    content = content_of(place)
    content["cost"]["sampling"]["2"] |= {"evaluations": None, "jacobians": 7.0, "operators": 3}
    settled(place, content, keyed=False)
    found = problems(results)
    assert any("jacobians a draw at NFE 2: 7 on record, 0 by its model" in text for text in found)
    assert any("operators a draw at NFE 2: 3 on record, 0 by its model" in text for text in found)


def test_another_torch_is_no_forger(place: Path, results: Path) -> None:
    (name,) = load_file(place / "samples.safetensors")
    samples = load_file(place / "samples.safetensors")[name]
    save_file({name: samples.flip(1).contiguous()}, place / "samples.safetensors")
    content = content_of(place)
    content["environment"]["torch"] = "1.0"
    settled(place, content, keyed=False)
    scored_anew(place, results)
    (found,) = verify(results, fresh_seed=5)
    assert found.verdict != "ok"
    assert "not redrawn as it was: made with torch 1.0 on cpu" in found.unchecked


def test_one_fit_is_one_seed(place: Path, results: Path) -> None:
    copy = place.with_name("seed-7")
    shutil.copytree(place, copy)
    with safe_open(copy / "model.safetensors", framework="pt") as file:
        metadata = file.metadata()
    metadata["fit"] = metadata["fit"].replace("seed 0", "seed 7")
    save_file(load_file(copy / "model.safetensors"), copy / "model.safetensors", metadata)
    for name in ("samples.safetensors", "observations.parquet"):
        (copy / name).unlink()
    content = content_of(copy)
    content |= {"seed": 7, "metrics": {}, "cost": content["cost"] | {"sampling": {}}}
    settled(copy, content, keyed=False)
    (copy / "record.json").write_text(json.dumps(content_of(copy)))
    scored(copy, results)
    found = [text for text in problems(results) if text.startswith("its model: the same in")]
    assert len(found) == 1


def test_settings_that_this_version_cannot_read_are_refused_in_few_words(
    place: Path, results: Path
) -> None:
    content = content_of(place)
    content["settings"]["preset.steps"] = "9" * 5000
    settled(place, content, keyed=False)
    found = [text for text in problems(results) if "cannot be read back" in text]
    assert len(found) == 1
    assert len(found[0]) < 400
