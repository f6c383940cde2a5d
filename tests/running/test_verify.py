"""What a submission is checked for: honest records pass, every kind of change is found."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from cwbench.errors import UsageError
from cwbench.records import runs as records
from cwbench.records.record import Record
from cwbench.running.score import request_of
from cwbench.verifying.verify import Verified, verify

Run = Callable[..., Record]
SHIPPED = Path(__file__).parents[2] / "results"


@pytest.fixture
def place(run: Run) -> Path:
    """A run of a trivial learned method, with its model and samples."""
    directory = run("linear-gaussian").directory
    assert directory is not None
    return directory


def only(results: Path) -> Verified:
    (found,) = verify(results)
    return found


def test_labelled_images_are_believed_as_far_as_they_are_drawn_again(
    run: Run, results: Path
) -> None:
    """Metrics are of images of their own, which is told; stored samples are the model's."""
    directory = run("held-out", "digits").directory
    assert directory is not None
    found = only(results)
    assert not found.refused, found.problems
    assert found.verdict == "hashes only"
    assert any(re.match("not redrawn: .* is of 200 images", text) for text in found.unchecked)
    samples = load_file(directory / "samples.safetensors")
    other = {name: part.flip(1).contiguous() for name, part in samples.items()}
    save_file(other, directory / "samples.safetensors")
    rewrite(directory, lambda record: None)
    assert any("what the model beside them draws" in text for text in only(results).problems)


def rewrite(place: Path, change: Callable[[dict], object], *, hashes: bool = True) -> None:
    """Change a record, and have it name the files as they are now."""
    record = json.loads((place / "record.json").read_text())
    record.pop("seal", None)
    change(record)
    if hashes:
        record["files"] = {
            name: hashlib.sha256((place / name).read_bytes()).hexdigest()
            for name in record["files"]
            if (place / name).is_file()
        }
    (place / "record.json").write_text(json.dumps(record))


def improve(place: Path) -> None:
    """Claim a better score: lower all that is on record of it, and the values by observation."""
    path = place / "observations.parquet"
    table = pd.read_parquet(path)
    table.loc[table.metric == "ew2sq", "value"] -= 10
    table.to_parquet(path, index=False)

    def lower(record: dict) -> None:
        for name in ("value", "low", "high", "p90"):
            record["metrics"]["ew2sq"][name] -= 10

    rewrite(place, lower)


def test_an_honest_run_passes_by_samples_and_by_model(results: Path, place: Path) -> None:
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    found = only(results)
    assert found.sound, found
    assert any("values scored again from samples" in note for note in found.notes)
    assert any("on fresh observations" in note for note in found.notes)
    assert found.rescored
    assert found.redrawn
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before
    assert not (results / ".cache" / "values").exists()


def test_fresh_observations_are_of_a_seed_that_is_told(
    results: Path, place: Path, cli: Callable
) -> None:
    """Two calls draw others, and the seed that the first one prints repeats it."""

    def told(*options: object) -> tuple[list[str], str]:
        done = cli("verify", results, *options)
        return re.findall(r"on fresh observations -?[.0-9e+-]+", done.stdout), done.stderr

    first, seed = told()
    second, _ = told()
    again, _ = told("--fresh-seed", *re.findall(r"--fresh-seed (\d+)", seed))
    assert first == again != second


def test_what_was_not_computed_again_is_never_called_sound(results: Path, place: Path) -> None:
    for path in place.glob("*.safetensors"):
        path.unlink()
    found = only(results)
    assert (found.refused, found.sound, found.how) == (False, False, "hashes only")
    assert "not rescored: no model, no samples" in found.unchecked
    assert found.as_json()["verdict"] == "hashes only"


def test_a_better_score_than_the_samples_give_is_found(results: Path, place: Path) -> None:
    improve(place)
    found = only(results)
    assert not found.sound
    assert any("from the samples beside it" in problem for problem in found.problems)


def test_a_better_score_than_the_model_gives_is_found(results: Path, place: Path) -> None:
    improve(place)
    (place / "samples.safetensors").unlink()
    found = only(results)
    assert not found.sound
    assert any("standard errors apart" in problem for problem in found.problems)
    (unasked,) = verify(results, fresh=False)
    (problem,) = unasked.problems  # it is better than the exact posterior
    assert "below 0" in problem


def test_samples_of_another_sampler_are_found(results: Path, place: Path) -> None:
    samples = load_file(place / "samples.safetensors")
    exact = {name: torch.zeros_like(part) for name, part in samples.items()}
    save_file(exact, place / "samples.safetensors")
    assert "samples.safetensors is not the file the record names" in only(results).problems
    rewrite(place, lambda record: None)
    assert any("from the samples" in problem for problem in only(results).problems)


@pytest.mark.parametrize("part", ["seed", "preset", "fit_key", "run_id"])
def test_a_record_in_another_place_is_found(results: Path, place: Path, part: str) -> None:
    other = {"seed": 3, "preset": "quick", "fit_key": "f" * 64, "run_id": "0-0"}[part]
    rewrite(place, lambda record: record.update({part: other}))
    assert any(problem.startswith(part) for problem in only(results).problems)


def test_what_is_no_record_is_found(results: Path, place: Path) -> None:
    (place / "record.json").write_text("{")
    assert "is not a record" in only(results).problems[0]
    (place / "record.json").unlink()
    assert "has no record.json" in only(results).problems[0]


def test_values_that_are_missing_or_not_the_records_are_found(results: Path, place: Path) -> None:
    rewrite(place, lambda record: record["metrics"]["ew2sq"].update(value=0.0))
    assert "is not the mean of its values" in only(results).problems[0]
    (place / "observations.parquet").unlink()
    assert "by observation" in only(results).problems[0]


def test_a_copy_is_found(results: Path, place: Path) -> None:
    shutil.copytree(place, place.with_name("seed-1"))
    found = list(verify(results))
    assert [one.sound for one in found] == [True, False]
    assert any("again, as in" in problem for problem in found[1].problems)


def test_other_versions_are_told(results: Path, place: Path) -> None:
    rewrite(place, lambda record: record["metrics"]["ew2sq"].update(version=99))
    found = only(results)
    assert "ew2sq is version [99], 1 is the latest known here" in found.problems
    rewrite(place, lambda record: record["task"].update(version=99))
    assert any("was version 99" in problem for problem in only(results).problems)


def test_no_runs(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no runs in"):
        list(verify(tmp_path))


def test_the_command(results: Path, place: Path, cli: Callable) -> None:
    done = cli("verify", results)
    assert done.exit_code == 0
    assert done.stdout.startswith("ok ")
    assert "1 runs, 0 with problems; scored again from samples: 1, on fresh obs" in done.stdout
    improve(place)
    done = cli("verify", results, "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)[0]["sound"] is False


def test_our_own_records_are_understood() -> None:
    stored = [records.read(place) for place in records.run_directories(SHIPPED)]
    assert stored
    for record in stored:
        assert record is not None
        if record.status == "ok":
            request_of(record)


@pytest.mark.slow
def test_our_own_records_pass() -> None:
    for found in verify(SHIPPED):
        assert not found.refused, found


@pytest.mark.slow
def test_honest_models_are_seldom_flagged(run: Run, results: Path) -> None:
    """20 runs at a rate of about 1 % (8 observations leave a t with few degrees of freedom)."""
    for seed in range(20):
        run("linear-gaussian", seed=seed)
    assert sum(found.refused for found in verify(results)) <= 2
