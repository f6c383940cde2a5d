"""The steps of `verify.yml` on pull requests: an honest one, a forged one with hostile files."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from made_runs import write_run
from workflows.pulls import Git, commit, handed_in
from workflows.steps import Ran, carry_out, programs

from cwbench.verifying.verify import verify

SEED = 20_260_101
SEEDED = f"""
import secrets, sys
secrets.randbelow = lambda _: {SEED} if "results.submission" in sys.orig_argv else 1
"""
"""Chance must not fail a test: what the submission's check draws is the seed, and no other is."""
MODEL = "model.safetensors"
HOSTILE = "<img src=x onerror=f()> @everyone ```` ~~~ [a](http://b) #1"


def run_workflow(git: Git, head: str, place: Path) -> tuple[Ran, str]:
    """Push a head and carry out the workflow as it was at the base; its report."""
    base = git("rev-parse", "main")
    git("push", "--quiet", "origin", f"{head}:refs/pull/7/head")
    checkout, temporary = place / "runner" / "checkout", place / "runner" / "temp"
    subprocess.run(["git", "clone", "--quiet", place / "origin", checkout], check=True)
    subprocess.run(["git", "checkout", "--quiet", base], cwd=checkout, check=True)
    temporary.mkdir()
    (temporary / "seeded").mkdir()
    (temporary / "seeded" / "sitecustomize.py").write_text(SEEDED)
    path = f"{programs(place / 'bin')}:/usr/local/bin:/usr/bin:/bin"
    ran = carry_out(
        "verify.yml", "verify", checkout, without={"Install the base"},
        context={"github.event.pull_request.base.sha": base,
                 "github.event.pull_request.head.sha": head},
        variables={"RUNNER_TEMP": str(temporary), "PATH": path, "OMP_NUM_THREADS": "1",
                   "GITHUB_STEP_SUMMARY": str(temporary / "summary"),
                   "PYTHONPATH": str(temporary / "seeded")},
    )  # fmt: skip
    done = ["git", "status", "--porcelain", "--ignored"]
    left = subprocess.run(done, cwd=checkout, check=True, capture_output=True, text=True).stdout
    assert not [line for line in left.splitlines() if "__pycache__" not in line]
    report = temporary / "report" / "report.md"
    if not report.exists():
        return ran, ""
    assert (temporary / "summary").read_text() == report.read_text()
    return ran, report.read_text()


def test_an_honest_record_passes_and_its_row_is_named(
    work: Path, git: Git, computed: Path, tmp_path: Path
) -> None:
    """Its model came with an earlier commit, and is not in the last one."""
    run = handed_in(computed, "knn", 0, work / "results", models=True)
    handed_in(computed, "linear-gaussian", 2, work / "results", models=False)
    (work / "README.md").write_text("changed\n")
    commit(git, "Add knn, with its model")
    git("rm", "--quiet", "results/runs/*model.safetensors")
    head = commit(git, "Leave the model out")
    assert not (run / MODEL).exists()
    ran, report = run_workflow(git, head, tmp_path)
    assert ran.status == 0, ran.output
    assert "Runs: 2 new, 0 changed, 0 gone; 0 refused." in report
    assert f"1 of them drawn from on fresh observations of seed {SEED}" in report
    assert "ok      gaussian-linear / knn / smoke / seed 0: redrawn" in report
    handed_in(computed, "knn", 0, tmp_path / "alone", models=True)
    (alone,) = verify(tmp_path / "alone", fresh_seed=SEED)
    (fresh,) = (text for text in alone.notes if "on fresh observations" in text)
    assert f"  {fresh}\n" in report
    assert "hashes  gaussian-linear / linear-gaussian / smoke / seed 2: hashes only" in report
    rows = [[c.strip() for c in line.split("|")] for line in report.splitlines() if "|" in line]
    found = {row[2]: row for row in rows}
    assert found["knn"][1] == "new"
    assert found["knn"][-2] == "1"
    assert found["linear-gaussian"][1] == "moved"
    assert found["linear-gaussian"][-2] == "2 → 3"
    said = json.loads((run / "record.json").read_text())["metrics"]["ew2sq"]["value"]
    assert float(found["knn"][4].split(" ± ")[0]) == pytest.approx(said, rel=0.1)
    assert "1 files outside results/runs" in report
    assert "- README.md" in report


def improved(run: Path) -> None:
    """Claim a better score, with all that hangs on it but the model."""
    table = pd.read_parquet(run / "observations.parquet")
    chosen = table.metric == "ew2sq"
    table.loc[chosen, "value"] *= 0.5
    table.to_parquet(run / "observations.parquet", index=False)
    content = json.loads((run / "record.json").read_text())
    for name in ("value", "low", "high", "p90"):
        content["metrics"]["ew2sq"][name] *= 0.5
    values = (run / "observations.parquet").read_bytes()
    content["files"]["observations.parquet"] = hashlib.sha256(values).hexdigest()
    content.pop("seal")
    (run / "record.json").write_text(json.dumps(content))


def plant(work: Path, mark: Path) -> list[Path]:
    """Files that leave a mark where they are run, at all places where something may run them."""
    code = f"import pathlib\npathlib.Path({str(mark)!r}).touch()\n"
    names = [
        "conftest.py", "setup.py", "sitecustomize.py", "usercustomize.py", "cwbench/__init__.py",
        "results/__init__.py", "results/submission.py", "results/adopt.py", "results/ship.py",
        "torch.py", "json.py", "docs/hooks.py", "results/runs/conftest.py",
        "tasks/cwbench_tasks/gaussian_linear.py", "cwbench_evil.dist-info/evil.py",
    ]  # fmt: skip
    for name in names:
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text(code)
    points = "[cwbench.methods]\nlinear-gaussian = evil:Evil\n"
    (work / "cwbench_evil.dist-info" / "entry_points.txt").write_text(points)
    (work / ".gitattributes").write_text("* filter=evil diff=evil export-subst\n")
    (work / "Makefile").write_text(f"help:\n\ttouch {mark}\n")
    (work / ".github" / "workflows").mkdir(parents=True)
    (work / ".github" / "workflows" / "verify.yml").write_text("name: Verify records\n")
    return [work / name for name in names]


def test_a_forged_record_is_refused_and_nothing_of_the_head_runs(
    work: Path, git: Git, computed: Path, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    planted = plant(work, mark)
    subprocess.run([sys.executable, planted[0]], check=True)
    assert mark.exists(), "they would leave it"
    mark.unlink()
    improved(handed_in(computed, "knn", 0, work / "results", models=True))
    write_run(
        work / "results", {"ew2sq": [1.0, 2.0]}, task="odd", status="ok",
        method_part={"changed": {HOSTILE: HOSTILE}, "params": {HOSTILE: HOSTILE}},
    )  # fmt: skip
    big = write_run(work / "results", {"ew2sq": [1.0]}, task="big", error="x" * 10_000_000)
    head = commit(git, "Improve")
    ran, report = run_workflow(git, head, tmp_path)
    assert ran.status == 1
    assert not mark.exists()
    refused = report.partition("## Boards")[0]
    assert "REFUSED gaussian-linear / knn / smoke / seed 0" in refused
    assert "PROBLEM ew2sq is" in refused
    assert "REFUSED results/runs/conftest.py is no file of a run" in refused
    assert f"{(big / 'record.json').relative_to(work)} has 10," in refused
    assert "REFUSED odd / m" in refused
    assert f"PROBLEM {big.relative_to(work / 'results')} has no record.json" in refused
    assert "Models to be taken out before this is merged: 1." in report
    assert "without what is refused\n\nNo row of a board is otherwise than before.\n" in report
    assert "files outside results/runs" in report
    assert "- .gitattributes" in report
    assert len(report) < 20_000
