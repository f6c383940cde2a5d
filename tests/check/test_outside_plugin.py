"""A wheel of somebody else's is installed, listed, checked and run like what ships."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PLUGIN = Path(__file__).parents[1] / "plugin"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plugin as a wheel, built and installed without a network into a directory of its own."""
    root = tmp_path_factory.mktemp("outside")
    shutil.copytree(PLUGIN, root / "source")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    offline = ["--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, "wheel", *offline, "--wheel-dir", root, root / "source"], check=True)
    (wheel,) = root.glob("outside_plugin-1.2.0-*.whl")
    site = root / "site"
    subprocess.run([*pip, "install", *offline, "--target", site, wheel], check=True)
    return site


PROGRAM = """
import json, sys
from cwbench.cli.main import main
for arguments in json.loads(sys.argv[1]):
    main(arguments, standalone_mode=False)
    print("-----")
"""


RUN = ["run", "--task", "turned-classes", "--preset", "smoke", "--json", "--method"]
COMMANDS = [
    ["list", "--json"],
    ["check", "zuko-npe", "--json"],
    ["check", "turned-classes", "--json"],
    [*RUN, "zuko-npe"],
    [*RUN, "prior"],
]


@pytest.mark.filterwarnings("ignore:ks_2samp. Exact calculation unsuccessful:RuntimeWarning")
def test_it_is_listed_checked_and_run_in_this_process(
    installed_here: Callable, cli: Callable
) -> None:
    installed_here(PLUGIN)
    answers = [cli(*arguments) for arguments in COMMANDS]
    assert [answer.exit_code for answer in answers] == [0] * len(COMMANDS)
    as_expected(*(json.loads(answer.stdout) for answer in answers))


@pytest.mark.slow
def test_it_is_listed_checked_and_run(installed: Path, python: Callable, tmp_path: Path) -> None:
    done = python(
        "-c", PROGRAM, json.dumps(COMMANDS), check=False, PYTHONPATH=installed, OMP_NUM_THREADS="1",
        CWBENCH_RESULTS=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    as_expected(*map(json.loads, done.stdout.split("-----\n")[:-1]))


def as_expected(listed: Any, *answers: Any) -> None:
    *checked, zuko, prior = answers
    origins = {p["name"]: (p["distribution"], p["version"]) for p in listed}
    assert origins["zuko-npe"] == origins["turned-classes"] == ("outside-plugin", "1.2.0")
    assert [report["passed"] for report in checked] == [True, True]
    assert zuko["status"] == prior["status"] == "ok"
    assert zuko["metrics"]["ew2sq"]["value"] < prior["metrics"]["ew2sq"]["value"] / 2
