"""What is taken of a head: files of runs by name, size and kind, as bytes of git's objects."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from made_runs import write_run
from workflows.pulls import Git, commit

from results import submission

MODEL = "model.safetensors"


@pytest.fixture
def base(tmp_path: Path, git: Git, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The results directory of a repository with runs of two methods, at a branch of its own."""
    results = tmp_path / "work" / "results"
    for method in ("kept", "other"):
        write_run(results, {"ew2sq": [1.0, 2.0]}, method=method)
    git("init", "--quiet", "--initial-branch", "main")
    commit(git, "Base")
    git("switch", "--quiet", "--create", "mine")
    monkeypatch.chdir(results.parent)
    return results


def run_of(results: Path, method: str) -> Path:
    (place,) = results.glob(f"runs/*/{method}/*/*/seed-0")
    return place


def taken(base: Path, place: Path) -> submission.Taken:
    """What is taken of the branch, into a directory beside the repository."""
    shutil.rmtree(place, ignore_errors=True)
    submission.unpack("main", place)
    return submission.take("main", "mine", place)


def files(place: Path) -> dict[str, bytes]:
    found = (path for path in place.rglob("*") if path.is_file())
    return {path.relative_to(place).as_posix(): path.read_bytes() for path in found}


def test_runs_are_new_changed_or_gone_and_the_files_are_those_of_head(
    base: Path, git: Git, tmp_path: Path
) -> None:
    new = write_run(base, {"ew2sq": [3.0]}, method="new")
    changed = run_of(base, "kept") / "record.json"
    changed.write_text(json.dumps(json.loads(changed.read_text()), indent=2))
    gone = run_of(base, "other")
    names = {path: path.relative_to(base).as_posix() for path in (new, changed.parent, gone)}
    shutil.rmtree(gone)
    commit(git, "Change")
    found = taken(base, tmp_path / "after")
    states = dict(zip(names.values(), ("new", "changed", "gone"), strict=True))
    assert found.runs == states
    assert not found.refused
    assert files(tmp_path / "after") == files(base)
    assert not (tmp_path / "after" / names[gone]).exists()


def test_values_without_a_record_are_left_to_be_refused(
    base: Path, git: Git, tmp_path: Path
) -> None:
    gone, new = run_of(base, "other"), write_run(base, {"ew2sq": [3.0]}, method="new")
    for run in (gone, new):
        (run / "record.json").unlink()
    commit(git, "Leave the values")
    assert list(taken(base, tmp_path / "after").runs.values()) == ["gone"]
    assert files(tmp_path / "after") == files(base)


def test_what_the_base_did_since_is_kept(base: Path, git: Git, tmp_path: Path) -> None:
    write_run(base, {"ew2sq": [3.0]}, method="new")
    commit(git, "Add")
    git("switch", "--quiet", "main")
    later = write_run(base, {"ew2sq": [4.0]}, method="later")
    commit(git, "Later")
    found = taken(base, tmp_path / "after")
    assert len(found.runs) == 1
    assert (tmp_path / "after" / later.relative_to(base) / "record.json").is_file()


def test_what_is_no_plain_file_of_a_run_is_refused(base: Path, git: Git, tmp_path: Path) -> None:
    run = write_run(base, {"ew2sq": [3.0]}, method="new")
    (run / "record.json").unlink()
    (run / "record.json").symlink_to("/etc/hostname")
    (base / "runs" / "link").symlink_to("..")
    (run / "log.txt").write_text("a log")
    (run.parent / "seed-x").mkdir()
    shutil.copy(run / "observations.parquet", run.parent / "seed-x")
    (base / "runs" / "name\nof two lines").write_text("odd")
    (run_of(base, "kept") / "record.json").chmod(0o755)
    head = commit(git, "Odd")
    module = f"160000,{head},results/runs/t/m/quick/{'0' * 16}/seed-0/record.json"
    git("update-index", "--add", "--cacheinfo", module)
    git("commit", "--quiet", "--message", "A repository of its own")
    found = taken(base, tmp_path / "after")
    place = run.relative_to(base.parent).as_posix()
    assert sorted(found.refused) == sorted([
        "results/runs/link is no file of a run",
        "results/runs/name\nof two lines is no file of a run",
        f"results/runs/t/m/quick/{'0' * 16}/seed-0/record.json is no plain file",
        f"{place}/record.json is no plain file",
        f"{place}/log.txt is no file of a run",
        f"{Path(place).parent}/seed-x/observations.parquet is no file of a run",
    ])  # fmt: skip
    assert list(found.runs.values()) == ["changed"], "a mode is no content"
    assert not [path for path in (tmp_path / "after").rglob("*") if path.is_symlink()]


@pytest.mark.parametrize("name", ["results", "results/runs"])
@pytest.mark.parametrize("kind", ["link", "file"])
def test_what_takes_the_place_of_all_runs_is_refused(
    base: Path, git: Git, tmp_path: Path, name: str, kind: str
) -> None:
    place = base.parent / name
    shutil.rmtree(place)
    if kind == "link":
        place.symlink_to("/etc")
    else:
        place.write_text("odd")
    commit(git, "No directory")
    assert taken(base, tmp_path / "after").refused == [f"{name} is no directory"]


@pytest.mark.parametrize(("name", "size"), submission.LARGEST.items())
def test_a_file_has_a_largest_size(
    base: Path, git: Git, tmp_path: Path, name: str, size: int
) -> None:
    run = run_of(base, "kept")
    (run / name).write_bytes(b" " * size)
    commit(git, "Large")
    assert not taken(base, tmp_path / "after").refused
    (run / name).write_bytes(b" " * (size + 1))
    commit(git, "Larger")
    (told,) = taken(base, tmp_path / "after").refused
    assert f"{name} has {size + 1:,} bytes" in told


def test_more_files_than_there_may_be(
    base: Path, git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submission, "MOST", 3)
    for method in ("a", "b"):
        write_run(base, {"ew2sq": [3.0]}, method=method)
    commit(git, "Many")
    before = taken(base, tmp_path / "after")
    assert before.refused == ["4 files of runs, more than 3"]
    assert not before.runs


def test_a_model_of_an_earlier_commit_is_found(base: Path, git: Git, tmp_path: Path) -> None:
    """The latest of each run that the head changes; none of a run that it does not."""
    run, other = write_run(base, {"ew2sq": [3.0]}, method="new"), run_of(base, "other")
    for content in (b"first", b"second"):
        for place in (run, other):
            (place / MODEL).write_bytes(content)
        commit(git, "Add models")
    found = taken(base, tmp_path / "after")
    assert (found.models, found.staying) == (2, 2)
    git("rm", "--quiet", "results/runs/*model.safetensors")
    commit(git, "Leave the models out")
    found = taken(base, tmp_path / "after")
    assert (found.models, found.staying) == (1, 0)
    models = {path: content for path, content in files(tmp_path / "after").items() if MODEL in path}
    assert models == {f"{run.relative_to(base).as_posix()}/{MODEL}": b"second"}


def test_a_link_of_an_earlier_commit_is_no_model(base: Path, git: Git, tmp_path: Path) -> None:
    run = write_run(base, {"ew2sq": [3.0]}, method="new")
    (run / MODEL).symlink_to("record.json")
    head = commit(git, "Add a link")
    (run / MODEL).unlink()
    module = f"160000,{head},{(run / MODEL).relative_to(base.parent)}"
    git("update-index", "--add", "--cacheinfo", module)
    git("commit", "--quiet", "--message", "A repository of its own")
    git("rm", "--quiet", "--cached", (run / MODEL).relative_to(base.parent))
    commit(git, "Leave it out")
    found = taken(base, tmp_path / "after")
    assert (found.models, found.refused) == (0, [])
    assert files(tmp_path / "after") == files(base)


def test_a_head_that_changes_no_run_is_not_verified(
    base: Path, git: Git, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (base.parent / "README.md").write_text("changed\n")
    commit(git, "Reword")
    submission.main(["main", "mine", str(tmp_path / "report")])
    assert "no run is changed" in capsys.readouterr().out
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize("words", [[], ["main", "mine"], ["--all", "mine", "x"]])
def test_commits_are_no_options(words: list[str]) -> None:
    with pytest.raises(SystemExit, match="usage"):
        submission.main(words)


def test_a_commit_that_is_not_there_is_an_error(base: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="git"):
        submission.main(["main", "nowhere", str(tmp_path / "report")])


def test_boards_are_without_what_is_refused(base: Path, git: Git, tmp_path: Path) -> None:
    new, changed = write_run(base, {"ew2sq": [3.0]}, method="new"), run_of(base, "kept")
    fine = write_run(base, {"ew2sq": [4.0]}, method="fine")
    (changed / "record.json").write_text("{}")
    commit(git, "Change")
    after = tmp_path / "after"
    taken(base, after)
    submission.unpack("main", tmp_path / "before")
    names = [run.relative_to(base).as_posix() for run in (new, changed)]
    submission.leave_out(names, tmp_path / "before", after)
    there = {f"{fine.relative_to(base).as_posix()}/{name.name}" for name in fine.iterdir()}
    assert files(after).keys() - files(tmp_path / "before").keys() == there
    assert {name: files(after)[name] for name in files(tmp_path / "before")} == files(
        tmp_path / "before"
    )


def test_what_was_there_before_is_named_whatever_the_boards_show() -> None:
    """A failed run stands on no board, and nobody would miss it."""
    runs = {"runs/t/m/quick/0/seed-0": "gone", "runs/t/m/quick/0/seed-1": "changed", "new": "new"}
    text = submission.report(submission.Taken(runs=runs), [], "No row.\n", 1)
    assert (
        "## Changed or gone\n\n~~~text\ngone: runs/t/m/quick/0/seed-0\n"
        "changed: runs/t/m/quick/0/seed-1\n~~~\n"
    ) in text
    assert "Changed or gone" not in submission.report(
        submission.Taken(runs={"new": "new"}), [], "No row.\n", 1
    )


def ended(place: Path, capsys: pytest.CaptureFixture[str]) -> tuple[object, str]:
    """The exit status of the whole check of the branch, and what it says is taken away."""
    status: object = 0
    try:
        submission.main(["main", "mine", str(place)])
    except SystemExit as ended_by:
        status = ended_by.code
    told = capsys.readouterr().out.partition("## Taken away")[2].partition("## Boards")[0]
    return status, told


@pytest.fixture
def believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of no installed task are believed: what is gone is none of `verify`'s."""
    monkeypatch.setattr(submission, "verified", lambda results, seed: [])


@pytest.mark.usefixtures("believed")
def test_what_only_takes_away_is_refused_and_says_what_to_do(
    base: Path, git: Git, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = run_of(base, "other")
    shutil.rmtree(gone)
    write_run(base, {"ew2sq": [3.0]}, method="new")
    commit(git, "Take a record away")
    status, told = ended(tmp_path / "report", capsys)
    assert status == 1
    assert f"~~~text\n{gone.relative_to(base).as_posix()}\n~~~" in told
    assert "git checkout origin/main -- results/RUN" in told


@pytest.mark.usefixtures("believed")
@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"version": 2}, 0), ({"seed": 1}, 1), ({"preset": "standard"}, 1), ({"track": "open"}, 1),
        ({"settings": {"k": 2}}, 1), ({"status": "failed"}, 1), ({"task": "another"}, 1),
    ],
)  # fmt: skip
def test_a_new_version_takes_the_place_of_its_own_run_alone(
    base: Path, git: Git, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    changes: dict[str, Any], status: int,
) -> None:  # fmt: skip
    shutil.rmtree(run_of(base, "other"))
    version = changes.pop("version", 1)
    write_run(base, {"ew2sq": [3.0]}, method="other", method_part={"version": version}, **changes)
    commit(git, "Replace a record")
    assert ended(tmp_path / "report", capsys)[0] == status


@pytest.mark.usefixtures("believed")
def test_a_run_that_is_ok_no_more_is_taken_away(
    base: Path, git: Git, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A failed run stands on no board; one that had failed may fail again, or be made ok."""
    record = run_of(base, "kept") / "record.json"
    content = json.loads(record.read_text())
    for was, now, status in (("ok", "failed", 1), ("failed", "diverged", 0), ("failed", "ok", 0)):
        git("switch", "--quiet", "main")
        record.write_text(json.dumps(content | {"status": was}))
        commit(git, was)
        git("switch", "--quiet", "--force-create", "mine")
        record.write_text(json.dumps(content | {"status": now}))
        commit(git, now)
        assert ended(tmp_path / "report", capsys)[0] == status, (was, now)


def test_a_report_is_no_longer_than_people_read() -> None:
    names = [f"odd {n:05d}\n~~~" for n in range(30_000)]
    taken = submission.Taken(refused=names, left=names)
    text = submission.report(taken, [], "No row.\n", 1)
    assert len(text) < 10_000
    assert "Runs: 0 new, 0 changed, 0 gone; 30000 refused." in text
    assert "REFUSED odd 00199 ~~~\nand 29,800 more\n~~~\n" in text
    assert "- odd 00019 ~~~\nand 29,980 more\n~~~\n" in text
    assert text.count("\n~~~") == 4, "two fences, each begun and ended once"
