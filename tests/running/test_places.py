"""Where files lie is no part of a run: the same content is one run, no record says where."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

from cwbench.boards.board import title_of
from cwbench.boards.frames import compared
from cwbench.boards.gathering import boards
from cwbench.errors import CwbenchError, UsageError
from cwbench.records import runs as records
from cwbench.records.record import Record, without_paths
from cwbench.running.named import named
from cwbench.running.recorded import identity_of
from cwbench.running.recorded import without_paths as text_without_paths
from cwbench.running.request import resolve
from cwbench.running.score import score
from cwbench.settings import Several
from cwbench.sweeping.job import run_name
from cwbench.sweeping.request import sweep_request
from cwbench.sweeping.worker import lost_record
from cwbench.task import Params
from cwbench.verifying import identity
from cwbench.verifying.found import Problem, Verified
from cwbench.verifying.verify import verify

Cwbench = Callable[..., Result]
Run = Callable[..., Record]
SMALL = {"prior": "images", "preset.samples": 4, "preset.observations": 3, "preset.images": 10}


def images(place: Path, seed: int = 0, count: int = 24) -> Path:
    place.mkdir(parents=True)
    random = np.random.default_rng(seed)
    for index in range(count):
        pixels = random.integers(0, 256, (8, 8)).astype(np.uint8)
        Image.fromarray(pixels).save(place / f"{index}.png")
    return place


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return images(tmp_path / "secret" / "patients")


def on(root: object, run: Run, method: str = "linear-gaussian", **options: Any) -> Record:
    return run(method, "deblurring", settings=SMALL | {"root": root}, **options)


def board_titles(results: Path) -> list[tuple[str, int]]:
    """Titles without what parts open boards, and how many rows each has."""
    found = boards([(results, "yours", None)])
    return [(board.title.partition(" [")[0], len(board.rows)) for board in found.boards]


def test_a_copy_and_a_relative_path_are_one_board_and_one_run(
    folder: Path, tmp_path: Path, run: Run, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = shutil.copytree(folder, tmp_path / "copy")
    first = on(folder, run)
    assert on(copied, run) == first  # found on record
    monkeypatch.chdir(tmp_path)
    second = on("copy", run, "prior")
    assert second.task == first.task
    ((title, rows),) = board_titles(results)
    assert rows == 2
    assert title == f"deblurring (prior=images, root={first.task['fingerprint'][:8]})"
    found, _ = compared("linear-gaussian", "prior", results, None, None, "", "")
    assert found

    third = on(images(tmp_path / "others", 1), run)
    assert third.run_id != first.run_id
    assert len({title for title, _ in board_titles(results)}) == 2


def test_no_file_of_a_run_says_where_the_images_lie(
    folder: Path, run: Run, results: Path, tmp_path: Path
) -> None:
    on(folder, run)
    for path in results.rglob("*"):
        if path.is_file():
            assert b"secret" not in path.read_bytes(), path


def test_a_run_of_a_sweep_that_dies_does_not_say_where(folder: Path, results: Path) -> None:
    asked = {
        "task": "deblurring",
        "method": "prior",
        "preset": "smoke",
        "set": SMALL | {"root": str(folder)},
    }
    (planned,) = sweep_request(asked).planned()
    job = planned.job()
    assert job.settings["root"] == str(folder)
    record = lost_record(job, "failed", f"{folder}/0.png is gone", datetime.now(UTC))
    assert record.error == "<root>/0.png is gone"
    assert "secret" not in record.to_json()
    assert "secret" not in run_name(job.identity)


def test_a_failure_does_not_say_where_either(
    folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cwbench_baselines.linear_gaussian import LinearGaussian

    def fail(*_: Any) -> None:
        raise OSError(f"{folder}/0.png is gone")

    monkeypatch.setattr(LinearGaussian, "fit", fail)
    record = on(folder, run)
    assert record.status == "failed"
    assert "<root>/0.png is gone" in str(record.error)
    assert record.directory
    assert "secret" not in (record.directory / "log.txt").read_text()


def test_a_metric_that_fails_does_not_say_where_either(
    folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cwbench.metrics.scores import EnergyScore

    def fail(*_: Any) -> None:
        raise OSError(f"{folder}/0.png is gone")

    monkeypatch.setattr(EnergyScore, "score", fail)
    record = on(folder, run)
    assert record.status == "failed"
    assert "<root>/0.png is gone" in str(record.metrics["energy-score"]["error"])
    assert "secret" not in record.to_json()


def test_texts_lose_paths_and_nothing_else() -> None:
    named = {"root": [Path("/data")], "weights": [Path("/data/x.bin"), Path("here")]}
    assert text_without_paths("/data/x.bin, /data/a, /database, here", named) == (
        "<weights>, <root>/a, /database, here"
    )
    assert text_without_paths("a/b", {"root": [Path("/")]}) == "a/b"


def test_scoring_again_asks_for_the_folder_and_refuses_another(
    folder: Path, tmp_path: Path, run: Run, results: Path
) -> None:
    record = on(folder, run)
    assert record.directory
    lacking = json.loads(record.to_json())
    del lacking["metrics"]["energy-score"]
    (record.directory / "record.json").write_text(json.dumps(lacking))
    found = records.read(record.directory)
    assert found
    with pytest.raises(CwbenchError, match=r"does not keep paths.*type --set root=PATH"):
        score(found, results, quiet=True)
    other = images(tmp_path / "others", 1)
    with pytest.raises(CwbenchError, match=r"others' leads to other data than the record was"):
        score(found, results, settings={"root": str(other)}, quiet=True)
    moved = folder.rename(tmp_path / "moved")
    again = score(found, results, settings={"task.root": str(moved)}, quiet=True)
    assert again.metrics == record.metrics


def test_verify_and_plot_take_the_folder(
    folder: Path, tmp_path: Path, run: Run, results: Path, cli: Cwbench
) -> None:
    record = on(folder, run)
    (unseen,) = verify(results)
    assert not unseen.refused
    assert unseen.verdict == "hashes only"
    assert "type --set root=PATH" in str(unseen)
    (seen,) = verify(results, settings={"root": folder})
    assert seen.sound, seen.problems
    assert seen.rescored
    other = images(tmp_path / "others", 1)
    shown = cli("verify", results, "--set", f"root={other}", "--no-fresh")
    assert shown.exit_code == 1
    assert "leads to other data" in shown.output
    for command in (("verify", results), ("score", record.run_id), ("plot", record.run_id)):
        refused = cli(*command, "--set", "noise=2")
        assert refused.exit_code == 2
        assert "noise" in refused.output
        assert "task.root" in refused.output


def test_records_that_name_a_folder_stay_loadable_and_share_its_board(
    folder: Path, run: Run, results: Path
) -> None:
    record = on(folder, run)
    assert record.directory
    content = json.loads(record.to_json())
    for part in ("params", "changed"):
        content["task"][part]["root"] = str(folder)
    content["settings"]["root"] = str(folder)
    (record.directory / "record.json").write_text(json.dumps(content))
    old = records.read(record.directory)
    assert old
    assert score(old, results, quiet=True) == old  # its own path still leads there
    told = without_paths(content)
    assert (told["task"], told["settings"]) == (record.task, record.settings)
    on(folder, run, "prior")
    assert board_titles(results) == [(title_of(record.task), 2)]


def test_the_archive_of_cifar_decides_nothing_by_its_place(tmp_path: Path) -> None:
    from cwbench.settings import changed, json_values, keyed_values
    from cwbench_tasks.cifar10 import CIFAR10Params

    there = CIFAR10Params(root=tmp_path)
    assert keyed_values(there) == keyed_values(CIFAR10Params()) == {"root": None, "flips": True}
    assert changed(there) == {}
    assert json_values(there).get("root") is None


WITH_FILE = """
from pathlib import Path

import torch
from pydantic import Field

import cwbench
from cwbench.task import Params


class Settings(Params):
    weights: Path = Field(Path("none.bin"), description="read by fit")


class Mine(cwbench.Method):
    info = cwbench.MethodInfo(name="mine", version=1, title="Mine", citation="")
    Params = Settings

    def fit(self, data, context):
        pass

    def sample(self, y, n, generator, nfe=None):
        return torch.zeros(len(y), n, *self.spec.x_shape)

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass
"""


def test_a_file_of_a_method_counts_by_its_content(tmp_path: Path, results: Path) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(WITH_FILE)
    for name, content in {"a": b"1", "b": b"2", "c": b"1"}.items():
        (tmp_path / f"{name}.bin").write_bytes(content)

    def asked(name: str) -> Any:
        return resolve(
            "gaussian-linear", f"{plugin}:Mine", preset="smoke",
            given={"weights": str(tmp_path / f"{name}.bin")},
        )  # fmt: skip

    assert asked("a").fit_key == asked("c").fit_key != asked("b").fit_key
    method = identity_of(asked("a"))["method"]
    assert method["params"] == {"weights": None}
    assert method["changed"] == {"weights": "6b86b273"}  # SHA-256 of "1"


def test_a_file_of_a_task_counts_by_its_content(tmp_path: Path) -> None:
    from cwbench_tasks.gaussian_linear import GaussianLinear

    class Settings(Params):
        root: Path | None = None

    class Mine(GaussianLinear):
        Params = Settings  # type: ignore[assignment]  # of another kind, for the test

        def __init__(self, params: Settings) -> None:
            self.params = params  # type: ignore[assignment]

    def printed(name: str) -> str:
        return Mine(Settings(root=tmp_path / name)).fingerprint()

    for place, text in {"a/x": "1", "b/x": "1", "c/x": "2", "d/y": "1", "e/x": "1"}.items():
        (tmp_path / place).parent.mkdir()
        (tmp_path / place).write_text(text)
    (tmp_path / "e" / ".DS_Store").write_text("")
    assert printed("a") == printed("b") == printed("e")
    assert len({printed(name) for name in "acd"}) == 3


def test_the_task_is_still_told_that_it_needs_a_folder(run: Run) -> None:
    with pytest.raises(UsageError, match="needs a folder"):
        run("prior", "deblurring", settings={"prior": "images"})


@pytest.fixture
def mixed(folder: Path, tmp_path: Path, run: Run) -> dict[str, Record]:
    """Runs of two folders, and one of the same task whose prior is no folder."""
    made = {
        "ours": on(folder, run),
        "theirs": on(images(tmp_path / "others", 1), run),
        "digits": run("linear-gaussian", "deblurring", settings={"preset.observations": 3}),
    }
    assert all(record.status == "ok" for record in made.values())
    return made


def verified(results: Path, made: dict[str, Record], *roots: object) -> dict[str, Verified]:
    settings = {"root": Several(roots) if len(roots) > 1 else roots[0]}
    found = {one.directory.resolve(): one for one in verify(results, settings=settings)}
    return {name: found[Path(str(each.directory)).resolve()] for name, each in made.items()}


def test_a_folder_is_for_the_records_it_was_made_of_and_for_no_others(
    mixed: dict[str, Record], folder: Path, tmp_path: Path, results: Path, cli: Cwbench
) -> None:
    found = verified(results, mixed, folder)
    assert not any(one.problems for one in found.values())
    assert [found[name].verdict for name in mixed] == ["ok", "hashes only", "ok"]
    (said,) = found["theirs"].unchecked
    assert said.startswith(f"not rescored: root={str(folder)!r} leads to other data than the")
    assert mixed["theirs"].task["fingerprint"] in said
    others = tmp_path / "others"
    shown = cli("verify", results, "--set", f"root={others}", "--set", f"root={folder}")
    assert shown.exit_code == 0
    assert "3 runs, 0 with problems; scored again from samples: 3" in shown.output
    for order in ([folder, others], [others, folder]):
        assert all(one.rescored for one in verified(results, mixed, *order).values())


def test_a_folder_that_is_of_no_record_refuses_those_that_have_nothing_else(
    mixed: dict[str, Record], folder: Path, tmp_path: Path, results: Path
) -> None:
    stray = images(tmp_path / "stray", 2)
    alone = verified(results, mixed, stray)
    assert [alone[name].verdict for name in mixed] == ["refused", "refused", "ok"]
    beside = verified(results, mixed, stray, folder)
    assert [beside[name].verdict for name in mixed] == ["ok", "refused", "ok"]
    assert all("leads to other data" in one for one in beside["theirs"].problems)
    others = tmp_path / "others"
    Image.new("L", (8, 8)).save(others / "0.png")  # the data of that record, edited
    edited = verified(results, mixed, folder, others)
    assert [edited[name].verdict for name in mixed] == ["ok", "refused", "ok"]


def test_values_of_other_data_are_refused_by_their_own_folder(
    mixed: dict[str, Record], folder: Path, tmp_path: Path, results: Path
) -> None:
    """Samples of one folder's run, put beside the record of another with their hash."""
    to, of = (Path(str(mixed[name].directory)) for name in ("theirs", "ours"))
    name = "samples.safetensors"
    shutil.copy(of / name, to)
    content = json.loads((to / "record.json").read_text())
    content["files"] = content["files"] | {name: mixed["ours"].files[name]}
    del content["seal"]
    (to / "record.json").write_text(json.dumps(content))
    both, without = (
        verified(results, mixed, *roots)["theirs"]
        for roots in ((folder, tmp_path / "others"), (folder,))
    )
    assert any("from the samples beside it" in problem for problem in both.problems)
    assert not (without.rescored or without.redrawn)


def test_score_and_plot_take_a_folder_for_the_records_that_have_one(
    mixed: dict[str, Record], folder: Path, cli: Cwbench
) -> None:
    ids = [mixed[name].run_id for name in ("ours", "digits")]
    done = cli("score", *ids, "--set", f"root={folder}", "--metrics", "energy-score")
    assert done.exit_code == 0, done.output
    refused = cli("plot", ids[1], "--set", f"root={folder}")
    assert refused.exit_code == 2
    assert "no record has a setting that names files or folders" in refused.stderr


def test_data_of_a_prior_without_a_folder_follow_from_the_settings(
    mixed: dict[str, Record],
) -> None:
    """The task has a setting that may name a folder; this record does not use it."""
    honest, wrong = mixed["digits"], mixed["ours"].task["fingerprint"]
    forged = replace(honest, task=honest.task | {"fingerprint": wrong})
    assert not list(identity.data(honest))
    (problem,) = identity.data(forged)
    assert isinstance(problem, Problem)
    assert wrong in problem


def test_the_file_of_another_record_costs_no_check_of_samples(
    tmp_path: Path, results: Path, run: Run
) -> None:
    plugin, made = tmp_path / "mine.py", {}
    plugin.write_text(WITH_FILE)
    for name in "ab":
        weights = tmp_path / f"{name}.bin"
        weights.write_bytes(name.encode())
        made[name] = run(f"{plugin}:Mine", settings={"weights": str(weights)})
    given, files = {"weights": tmp_path / "a.bin"}, named(method=[f"{plugin}:Mine"])
    found = {one.directory.resolve(): one for one in verify(results, settings=given, files=files)}
    a, b = (found[Path(str(made[name].directory)).resolve()] for name in "ab")
    assert a.rescored, str(a)
    assert b.rescored and not b.redrawn
    assert any(said.startswith("not redrawn: weights=") for said in b.unchecked)
    assert not any(said.startswith("not re") and "weights" in said for said in a.unchecked)
    assert not [*a.problems, *b.problems]
