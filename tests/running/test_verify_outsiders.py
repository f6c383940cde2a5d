"""What outsiders made `verify` and the readers believe, from the guide alone."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from attacks.forging import content_of, settled

import cwbench
from cwbench.records import runs
from cwbench.verifying.verify import verify

SMALL = {"preset.samples": 20, "preset.observations": 6, "preset.steps": 20, "preset.nfe": "1"}


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("fitted")
    for seed in (0, 1):
        cwbench.run(
            "gaussian-linear", "fm", preset="smoke", seed=seed, results=place, figures=False,
            quiet=True, settings=SMALL,
        )  # fmt: skip
    return place


def copy(fitted: Path, place: Path) -> list[Path]:
    shutil.copytree(fitted, place, dirs_exist_ok=True)
    return runs.run_directories(place)


def refused(place: Path) -> list[str]:
    return [text for found in verify(place, fresh_seed=3) for text in found.problems]


def test_honest_records_are_sound(fitted: Path) -> None:
    assert all(found.sound for found in verify(fitted, fresh_seed=3))


@pytest.mark.parametrize("shift", [0.0, -0.05])
def test_values_that_the_model_does_not_draw_buy_no_room(
    fitted: Path, tmp_path: Path, shift: float
) -> None:
    """Spread wide they made an interval in which any mean was as the model draws."""
    directory = copy(fitted, tmp_path)[0]
    content, path = content_of(directory), directory / "observations.parquet"
    table = pd.read_parquet(path)
    (identifier,) = (name for name in content["metrics"] if name.startswith("ew2sq"))
    entry = content["metrics"][identifier]
    mine = (table["metric"] == "ew2sq") & (table["nfe"].astype(str) == "1")
    values = table.loc[mine, "value"].to_numpy()
    assert len(values) == 6
    wide = values + np.array([3.0, -3.0, 2.0, -2.0, 1.0, -1.0]) + shift
    table.loc[mine, "value"] = wide
    table.to_parquet(path)
    half = 2.5705818 * wide.std(ddof=1) / np.sqrt(6)
    entry |= {"value": float(wide.mean()), "low": float(wide.mean() - half)}
    entry |= {"high": float(wide.mean() + half), "p90": float(np.quantile(wide, 0.9))}
    (directory / "samples.safetensors").unlink()
    settled(directory, content, keyed=True)
    assert any("draw" in text or "not what" in text for text in refused(tmp_path))


def test_one_model_under_two_seeds_is_found_whatever_its_cost_says(
    fitted: Path, tmp_path: Path
) -> None:
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    first, second = copy(fitted, tmp_path)
    with safe_open(second / "model.safetensors", "pt") as file:
        about = file.metadata()
    save_file(load_file(first / "model.safetensors"), second / "model.safetensors", about)
    content = content_of(second)
    content["cost"]["steps"] = 0
    settled(second, content, keyed=True)
    assert any("its model" in text for text in refused(tmp_path))


def test_draws_below_what_exact_ones_score_are_refused(tmp_path: Path) -> None:
    """Sorted, the two halves of the draws lie apart, and that is subtracted."""
    task = cwbench.load_task("gaussian-linear")

    def sampler(y: torch.Tensor, n: int, generator: torch.Generator) -> torch.Tensor:
        x = task.sample_posterior(y, n, generator)
        return torch.stack([each[each[:, 0].argsort()] for each in x])

    options = {"preset": "smoke", "quiet": True, "results": tmp_path, "figures": False}
    cwbench.evaluate(sampler, "gaussian-linear", name="sorted", **options)
    assert any("below 0" in text for text in refused(tmp_path))
    cwbench.evaluate(task.sample_posterior, "gaussian-linear", name="exact", **options)
    assert sum("below 0" in text for text in refused(tmp_path)) == 1


def test_a_record_in_anothers_folder_displaces_nothing(
    fitted: Path, tmp_path: Path, cli: Callable
) -> None:
    copy(fitted, tmp_path)
    before = cwbench.leaderboard(results=tmp_path)
    shutil.copytree(tmp_path / "runs/gaussian-linear", tmp_path / "runs/AAA")
    with pytest.warns(UserWarning, match="move it there"):
        after = cwbench.leaderboard(results=tmp_path)
    pd.testing.assert_frame_equal(before, after)
    with pytest.warns(UserWarning, match="move it there"):
        assert cwbench.load_records(tmp_path).run_id.nunique() == 2
    with pytest.warns(UserWarning, match="move it there"):
        assert len(list(runs.iterate(tmp_path))) == 2
    text = cli("status", "--results", tmp_path).stdout
    assert text.count("damaged") >= 2 and text.count("ok") >= 2


def test_links_that_lead_back_are_not_followed(fitted: Path, tmp_path: Path) -> None:
    found = copy(fitted, tmp_path)
    (tmp_path / "runs/root").symlink_to("/")
    (tmp_path / "runs/loop").symlink_to("../runs")
    (tmp_path / "runs/gaussian-linear/fm/smoke/self").symlink_to("/proc/self")
    (tmp_path / "runs/elsewhere").symlink_to(fitted / "runs/gaussian-linear")
    walked = runs.walked(tmp_path)
    assert len(walked.runs) == 2 * len(found) and not walked.strays


@pytest.mark.parametrize("word", ["mine.py", "elsewhere 1.0", ""])
def test_what_a_record_says_of_its_package_does_not_make_it_anothers(
    fitted: Path, tmp_path: Path, word: str
) -> None:
    """It stands in no key: a copy at another NFE was told where it named another package."""
    for directory in copy(fitted, tmp_path):
        content, path = content_of(directory), directory / "observations.parquet"
        for file in directory.glob("*.safetensors"):
            file.unlink()
        table = pd.read_parquet(path)
        table = pd.concat([table, table.assign(nfe="3")])
        table.to_parquet(path, index=False)
        more = {f"{i.partition('@')[0]}@nfe=3": e for i, e in content["metrics"].items()}
        content["metrics"] |= more
        (cost,) = content["cost"]["sampling"].values()
        content["cost"]["sampling"]["3"] = cost
        content["method"]["distribution"] = word
        settled(directory, content, keyed=False)
    found = "at another NFE, where its samples would be others"
    no_source = "whose source is in its key: it has none"
    for one in verify(tmp_path, fresh_seed=3):
        assert any((no_source if word == "mine.py" else found) in text for text in one.problems)


def test_a_task_that_names_another_package_is_held_against_its_data(
    fitted: Path, tmp_path: Path
) -> None:
    directory, other = copy(fitted, tmp_path)
    shutil.rmtree(other)
    content = content_of(directory)
    content["task"] |= {"distribution": "elsewhere 1.0", "fingerprint": "0" * 16}
    settled(directory, content, keyed=True)
    assert any("its data are others" in text for text in refused(tmp_path))
