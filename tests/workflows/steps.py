"""The steps of a workflow of ours, carried out here as GitHub's runner carries them out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = {path.name: path for path in sorted((ROOT / ".github" / "workflows").iterdir())}
EXPRESSION = re.compile(r"\$\{\{ *(.+?) *\}\}")


def read(name: str) -> dict[str, Any]:
    """A workflow; `on` is a truth to YAML 1.1."""
    content: dict[str, Any] = yaml.safe_load(WORKFLOWS[name].read_text())
    return content | {"on": content.pop(True)}


class Ran(NamedTuple):
    """What became of the steps of a job: its exit status, and what they wrote."""

    status: int
    output: str


def programs(place: Path) -> Path:
    """A folder in which `python` and `python3` are the interpreter of the tests."""
    place.mkdir(parents=True, exist_ok=True)
    for name in ("python", "python3"):
        (place / name).write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        (place / name).chmod(0o755)
    return place


def carry_out(
    name: str,
    job: str,
    cwd: Path,
    *,
    context: Mapping[str, str],
    variables: Mapping[str, str],
    without: Collection[str] = (),
) -> Ran:
    """Run the `run:` steps of a job in order; after one that failed, those alone that say so.

    Args:
        name: of the workflow's file.
        job: in it.
        cwd: where `actions/checkout` left the files.
        context: the values of all expressions that are used.
        variables: of the environment, as the runner sets them.
        without: names of steps that are not run.
    """
    found = read(name)["jobs"][job]
    shared = {"PATH": os.environ["PATH"], "HOME": str(cwd.parent), **variables}
    shared |= given(found.get("env", {}), context)
    status, told = 0, []
    for step in found["steps"]:
        always = step.get("if") == "${{ !cancelled() }}"
        assert always or "if" not in step, step
        if "run" not in step or step.get("name") in without or (status and not always):
            continue
        script = cwd.parent / "step.sh"
        script.write_text(step["run"])
        done = subprocess.run(
            ["bash", "-e", script], cwd=cwd, capture_output=True, text=True, check=False,
            env=shared | given(step.get("env", {}), context),
        )  # fmt: skip
        told += [done.stdout, done.stderr]
        status = status or done.returncode
    return Ran(status, "".join(told))


def given(values: Mapping[str, Any], context: Mapping[str, str]) -> dict[str, str]:
    """Variables with their expressions filled in."""
    return {k: EXPRESSION.sub(lambda e: context[e[1]], str(v)) for k, v in values.items()}
