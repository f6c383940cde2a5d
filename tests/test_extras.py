"""What a plain installation lacks is named with the extra that brings it; so is a system."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Run

from cwbench.api import load_task
from cwbench.errors import UsageError
from cwbench.machine.processes import joined
from cwbench.metrics.features import inception
from cwbench.training.networks import Meter, networks_of
from cwbench_baselines.guided.learned import LearnedPrior

EXTRAS = {
    "diffusers": "images", "torch_fidelity": "images", "accelerate": "multi", "azula": "azula",
}  # fmt: skip


def absent(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """As if it were not installed, also where it was imported before."""
    for name in [n for n in sys.modules if n == package or n.startswith(f"{package}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)


def test_a_u_net_is_refused_before_anything_is_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    absent(monkeypatch, "diffusers")
    task = load_task("digits")
    preset = task.info.presets["smoke"].model_copy(update={"network": "unet-small"})
    with pytest.raises(UsageError, match=r"unet-small needs diffusers.*'cwbench\[images\]'"):
        networks_of(task, preset, Meter())
    plain = preset.model_copy(update={"network": "convolutional"})
    assert networks_of(task, plain, Meter()).image_shape == (1, 8, 8)


def test_inception_is_refused_before_its_weights_are_looked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    absent(monkeypatch, "torch_fidelity")
    inception.cache_clear()
    with pytest.raises(UsageError, match=r"FID.*torch-fidelity.*'cwbench\[images\]'"):
        inception("tf")


def test_several_processes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    absent(monkeypatch, "accelerate")
    joined.cache_clear()
    assert joined("cpu").size == 1, "one process needs nothing"
    joined.cache_clear()
    for name, value in {"WORLD_SIZE": "2", "RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=r"accelerate.*'cwbench\[multi\]'"):
        joined("cpu")
    joined.cache_clear()


@pytest.mark.parametrize("method", ["azula-dps", "azula-mmps"])
def test_samplers_of_azula_are_refused_before_a_prior_is_fitted(
    monkeypatch: pytest.MonkeyPatch, run: Run, method: str
) -> None:
    absent(monkeypatch, "azula")
    monkeypatch.setattr(LearnedPrior, "shared", lambda *_: pytest.fail("it was fitted"))
    record = run(method, seed=1)
    assert record.status == "failed"  # and not `skipped`: once azula is there it is run again
    assert record.error == f"{method} needs azula; type: pip install 'cwbench[azula]'"


ALONE = """
import sys
for name in {absent!r}:
    sys.modules[name] = None
from cwbench.cli.main import main
main({command!r})
"""


def alone(directory: Path, absent: list[str], command: list[str]) -> subprocess.CompletedProcess:
    """cwbench in a process of its own, without these modules."""
    text = ALONE.format(absent=absent, command=command)
    return subprocess.run(
        [sys.executable, "-c", text], cwd=directory, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_a_run_needs_no_extra(tmp_path: Path) -> None:
    command = ["run", "--task", "two-moons", "--method", "knn", "--preset", "smoke"]
    done = alone(tmp_path, list(EXTRAS), command)
    assert done.returncode == 0, done.stderr
    assert ": ok" in done.stdout


def test_another_system_is_told_which_are_supported(tmp_path: Path) -> None:
    done = alone(tmp_path, ["fcntl"], ["status"])
    assert done.returncode != 0
    assert "Linux and macOS" in done.stderr
    assert "Traceback" not in done.stderr, "a message, no traceback"
