"""Callbacks hear of a run and change no number of it, whatever they do."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import cwbench
from cwbench.errors import UsageError
from cwbench.records.record import Record
from cwbench.running.tracking import RunStart, tracker
from cwbench.training import context

SMALL = {"preset.steps": 12, "preset.samples": 10, "preset.observations": 2, "preset.width": 8}


class Listener(cwbench.Callback):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.started: list[RunStart] = []
        self.logged: list[tuple[int, Mapping[str, float]]] = []
        self.ended: list[Record] = []

    def on_start(self, run: RunStart) -> None:
        self.started.append(run)

    def on_log(self, step: int, values: Mapping[str, float]) -> None:
        self.logged.append((step, values))

    def on_end(self, record: Record) -> None:
        self.ended.append(record)


class Vandal(Listener):
    """Does what it can to the numbers."""

    def _harm(self) -> None:
        torch.manual_seed(1)
        np.random.seed(1)  # noqa: NPY002
        random.seed(1)
        torch.randn(3)

    def on_start(self, run: RunStart) -> None:
        self._harm()

    def on_log(self, step: int, values: Mapping[str, float]) -> None:
        self._harm()
        values.clear()  # type: ignore[attr-defined]

    def on_end(self, record: Record) -> None:
        self._harm()
        record.metrics.clear()


def test_what_is_told_and_when(run: Callable, results: Path) -> None:
    listener = Listener()
    record = run("fm", settings=SMALL, nfe=[1], callbacks=[listener], seed=3)
    (start,) = listener.started
    assert (start.run_id, start.task, start.method) == (record.run_id, "gaussian-linear", "fm")
    assert (start.preset, start.seed, start.steps) == ("smoke", 3, 12)
    assert start.directory == record.directory
    assert start.settings["preset.steps"] == "12"
    assert [step for step, _ in listener.logged] == list(range(1, 13))
    assert all(set(values) == {"loss"} for _, values in listener.logged)
    assert len({values["loss"] for _, values in listener.logged}) == 12
    assert listener.ended == [record]


def test_a_long_fit_is_told_in_even_steps_and_at_its_end(
    run: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context, "TRACKED_STEPS", 3)
    listener = Listener()
    run("fm", settings=SMALL | {"preset.steps": 13}, nfe=[1], callbacks=[listener])
    assert [step for step, _ in listener.logged] == [4, 8, 12, 13]


def test_a_run_that_is_read_from_disk_is_not_told(run: Callable) -> None:
    listener = Listener()
    run("prior")
    run("prior", callbacks=[listener])
    assert not listener.started + listener.ended


def test_a_failed_run_is_told_as_such(run: Callable, method_file: Callable) -> None:
    listener = Listener()
    run(method_file("def fit(self, data, context): 1 / 0"), callbacks=[listener])
    assert [record.status for record in listener.ended] == ["failed"]


GLOBALS = """
def fit(self, data, context):
    import random, numpy
    self.state = 0.0
    for x, y in context.batches():
        self.state += torch.rand(1).item() + numpy.random.rand() + random.random()
        context.log(loss=self.state)
def sample(self, y, n, generator, nfe=None):
    return super().sample(y, n, generator) + self.state + torch.rand(1)
def state_dict(self):
    return {"state": torch.tensor(self.state)}
def load_state_dict(self, state):
    self.state = state["state"].item()
"""


@pytest.mark.parametrize("callbacks", [[Vandal()], [Listener(), Vandal(), Listener()]])
def test_no_number_changes(
    run: Callable, method_file: Callable, tmp_path: Path, callbacks: list[Any]
) -> None:
    """Not even those of methods that draw from the global random states."""
    for method in ("fm", method_file(GLOBALS)):
        settings = {"settings": SMALL}
        plain = run(method, results=tmp_path / "plain", **settings)
        followed = run(method, results=tmp_path / f"f{len(callbacks)}", callbacks=callbacks,
                       **settings)  # fmt: skip
        assert plain.status == followed.status == "ok"
        assert plain.metrics == followed.metrics
        assert plain.files["samples.safetensors"] == followed.files["samples.safetensors"]


@pytest.mark.parametrize("name", ["on_start", "on_log", "on_end"])
def test_one_that_fails_is_dropped_and_told(
    run: Callable, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    class Broken(Listener):
        pass

    def fail(*_: Any) -> None:
        raise RuntimeError("no network")

    monkeypatch.setattr(Broken, name, fail)
    broken, listener = Broken(), Listener()
    record = run("fm", settings=SMALL, nfe=[1], callbacks=[broken, listener])
    assert record.status == "ok"
    log = (record.directory / "log.txt").read_text()
    assert log.count("no more tracking by Broken: RuntimeError: no network") == 1
    assert len(listener.logged) == 12
    assert listener.ended == [record]


@pytest.mark.parametrize("wrong", [print, Listener, object()])
def test_what_is_no_callback_is_refused(run: Callable, results: Path, wrong: Any) -> None:
    with pytest.raises(UsageError, match="derive its class from cwbench"):
        run("prior", callbacks=[wrong])
    assert not results.exists()


def test_unknown_trackers_are_refused(cli: Callable, results: Path) -> None:
    result = cli("run", "--task", "gaussian-linear", "--method", "prior", "--track", "tensorbord")
    assert result.exit_code == 2
    assert "unknown tracker 'tensorbord'. Did you mean 'tensorboard'?" in result.stderr
    assert not results.exists()


def test_tensorboard_that_is_absent_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(UsageError, match=r"pip install 'cwbench\[tensorboard\]'"):
        tracker("tensorboard")


def _scalars(directory: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(directory), size_guidance={"scalars": 0}).Reload()
    tags = events.Tags()["scalars"]
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in tags}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("place", ["", ":boards"])
def test_tensorboard_holds_the_fit_and_the_metrics(
    cli: Callable, run: Callable, results: Path, tmp_path: Path, place: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    pytest.importorskip("tensorboard")
    monkeypatch.chdir(tmp_path)
    settings = [f"--set={key}={value}" for key, value in SMALL.items()]
    result = cli("run", "--task", "gaussian-linear", "--method", "fm", "--preset", "smoke",
                 "--nfe", "1,2", "--quiet", f"--track=tensorboard{place}", *settings)  # fmt: skip
    assert result.exit_code == 0
    listener = Listener()
    record = run("fm", settings=SMALL, nfe=[1, 2], callbacks=[listener], results=tmp_path / "b")
    board = next((tmp_path / "boards" if place else results).rglob("events.out.*")).parent
    found = _scalars(board)
    assert found.pop("fit/loss") == [
        (step, pytest.approx(values["loss"], rel=1e-6)) for step, values in listener.logged
    ]
    assert found == {
        f"metrics/{identifier.replace('@nfe=', '/nfe-')}": [(12, pytest.approx(e["value"], 1e-6))]
        for identifier, e in record.metrics.items()
    }
