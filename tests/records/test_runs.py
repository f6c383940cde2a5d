"""Records that lie where no run does are named by every reader, and by `verify`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from made_runs import write_run

from cwbench.records import runs
from cwbench.records.beside import ANEW
from cwbench.records.frame import load_records
from cwbench.verifying.verify import verify

SAID = "holds a record and is no place of a run"


@pytest.fixture
def run(results: Path) -> Path:
    """The directory of a run, as it should be: `t/m/quick/<key>/seed-0`."""
    return write_run(results, {"ew2sq": [1.0, 2.0, 3.0]})


ODD = {
    "another name": "t/m/quick/{key}/seed-0.old",
    "no number": "t/m/quick/{key}/seed-x",
    "no key": "t/m/quick/seed-0",
    "no task": "m/quick/{key}/seed-0",
    "one level more": "a/t/m/quick/{key}/seed-0",
    "three levels more": "a/b/c/t/m/quick/{key}/seed-0",
    "an escape": "t/m/quick/{key}/seed-0\x1b[31m",
    "two lines": "t/m/quick/{key}/seed-0\nok",
    "at the top": ".",
}


@pytest.mark.parametrize("place", ODD.values(), ids=ODD)
def test_a_record_in_another_place_is_named_by_every_reader(
    results: Path, run: Path, place: str, cli: Callable
) -> None:
    target = results / "runs" / place.format(key=run.parent.name)
    shutil.copytree(run, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("seed-*"))
    (stray,) = runs.walked(results).strays
    assert stray == target
    for command in (["leaderboard"], ["leaderboard", "--format", "json"], ["status"]):
        done = cli(*command, "--results", results)
        assert done.exit_code == 0, done.output
        (line,) = [line for line in done.stderr.splitlines() if SAID in line]
        assert line.startswith("cwbench: skipped: ")
        assert "\x1b" not in line
    with pytest.warns(UserWarning, match=SAID):
        assert load_records(results)["directory"].unique().tolist() == [str(run)]
    with pytest.warns(UserWarning, match=SAID):
        assert [record.directory for record in runs.iterate(results)] == [run]
    done = cli("verify", results)
    assert done.exit_code == 1
    assert [SAID in one for one in done.stdout.splitlines()].count(True) == 1
    assert "\x1b" not in done.stdout
    assert "\nok" not in done.stdout


def test_what_the_program_writes_for_a_while_is_none(results: Path, run: Path) -> None:
    """Directories that begin with a dot, and the attempt inside a run's."""
    shutil.copytree(run, run.with_name(".seed-0.0123456789abcdef"))
    shutil.copytree(run, run / ANEW)
    (run.parents[2] / "empty" / "seed-0" / "figures").mkdir(parents=True)
    assert runs.walked(results) == ([str(run)], {})
    assert runs.inside(run) == {}


def test_a_run_copied_into_another_is_found_by_verify(results: Path, run: Path) -> None:
    """As `cp -a seed-0 seed-1` does where there is a seed 1."""
    shutil.copytree(run, run / "seed-1" / "deeper")
    found = list(verify(results))
    assert [one.directory for one in found] == [run, run / "seed-1" / "deeper"]
    assert found[1].refused


def test_only_strays_are_no_empty_directory(results: Path, run: Path) -> None:
    run.rename(run.with_name("copy"))
    (found,) = verify(results)
    assert found.refused
    assert json.loads(json.dumps(found.as_json()))["verdict"] == "refused"
