"""What the workflows may do, as their text says it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from workflows.steps import EXPRESSION, ROOT, WORKFLOWS, read

MAY_WRITE = {
    ("comment.yml", "comment"): {"pull-requests"},
    ("site.yml", "deploy"): {"pages", "id-token"},
}
"""Jobs whose token can write, and what; all others read."""
TOLD = {
    "github.event.pull_request.number", "github.event.pull_request.base.sha",
    "github.event.pull_request.head.sha", "github.token", "runner.temp", "!cancelled()",
    "steps.deployment.outputs.page_url", "github.event.pull_request.number || github.sha",
}  # fmt: skip
"""Expressions: numbers, hashes and what the runner sets; no text that somebody may choose."""
JOBS = [(name, job) for name in WORKFLOWS for job in read(name)["jobs"]]


def steps() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, job in JOBS:
        yield from ((name, step) for step in read(name)["jobs"][job]["steps"])


def test_the_workflows_are_these() -> None:
    assert list(WORKFLOWS) == ["ci.yml", "comment.yml", "site.yml", "verify.yml"]
    assert read("verify.yml")["on"] == "pull_request"
    assert read("comment.yml")["on"] == {
        "workflow_run": {"workflows": [read("verify.yml")["name"]], "types": ["completed"]}
    }
    assert [s["run"] for n, s in steps() if n == "ci.yml" and "run" in s] == [".ci/run"]


def test_nothing_runs_a_pull_request_with_a_token_that_writes() -> None:
    for name in WORKFLOWS:
        found = read(name)
        assert found["permissions"] == {}, "what a job may do is said there"
        triggers = found["on"] if isinstance(found["on"], dict) else {found["on"]}
        assert "pull_request_target" not in triggers
        writes = any((name, job) in MAY_WRITE for job in found["jobs"])
        assert not (writes and "pull_request" in triggers)


@pytest.mark.parametrize(("name", "job"), JOBS)
def test_a_job_may_do_what_it_needs(name: str, job: str) -> None:
    found = read(name)["jobs"][job]
    writes = {what for what, how in found["permissions"].items() if how != "read"}
    assert writes == MAY_WRITE.get((name, job), set())
    assert found["timeout-minutes"] <= 350
    assert "secrets" not in found


def test_no_text_of_others_reaches_a_shell() -> None:
    for name, step in steps():
        assert not EXPRESSION.search(step.get("run", "")), (name, step)
    for name, path in WORKFLOWS.items():
        assert set(EXPRESSION.findall(path.read_text())) <= TOLD, name
        assert "secrets." not in path.read_text()


def test_actions_are_pinned_and_keep_no_token() -> None:
    lines = "\n".join(path.read_text() for path in WORKFLOWS.values()).splitlines()
    for line in {line.strip().lstrip("- ") for line in lines if "uses:" in line}:
        assert re.fullmatch(r"uses: actions/[a-z-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+", line), line
    for name, step in steps():
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False, name
            assert set(step["with"]) <= {"persist-credentials", "ref", "fetch-depth"}
            base = "${{ github.event.pull_request.base.sha }}" if name == "verify.yml" else None
            assert step["with"].get("ref") == base


def test_what_comments_needs_nothing_installed() -> None:
    """Its job has Python alone: nothing is imported but what comes with that."""
    text = (ROOT / "results" / "comment.py").read_text()
    imported = set(re.findall(r"^(?:import|from) (\w+)", text, re.MULTILINE))
    assert imported <= sys.stdlib_module_names
