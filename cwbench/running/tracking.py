"""Experiment tracking: callbacks follow what a run does, while it does it.

A callback hears of a run that is computed, not of one that is read from disk. It cannot change a
number: it is handed copies, the global random states are given back after each call, and one that
fails is dropped with a line in the log.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from cwbench.errors import UsageError, missing_extra, unknown
from cwbench.machine.streams import seeded_globals
from cwbench.records.record import Record


@dataclass(frozen=True)
class RunStart:
    """What is known of a run before it is computed."""

    run_id: str
    task: str
    method: str
    preset: str
    seed: int
    settings: Mapping[str, str]
    steps: int
    directory: Path


@runtime_checkable
class Callback(Protocol):
    """Follows a run; a subclass may leave out what it does not need."""

    def on_start(self, run: RunStart) -> None:
        """Before the fit."""

    def on_log(self, step: int, values: Mapping[str, float]) -> None:
        """What the method logged, such as its loss, about 500 times in a whole fit."""

    def on_end(self, record: Record) -> None:
        """With the record that was written, whatever its status."""


class Tracking:
    """Tells all callbacks."""

    def __init__(self, callbacks: Iterable[Callback], message: Callable[[str], None]) -> None:
        self.callbacks, self.message = list(callbacks), message

    def start(self, run: RunStart) -> None:
        """The run is about to be computed."""
        self._each(lambda callback: callback.on_start(run))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """A step of the fit was taken."""
        self._each(lambda callback: callback.on_log(step, dict(values)))

    def end(self, record: Record) -> None:
        """The record is written."""
        self._each(lambda callback: callback.on_end(copy.deepcopy(record)))

    def _each(self, tell: Callable[[Callback], None]) -> None:
        for callback in tuple(self.callbacks):
            try:
                with seeded_globals("tracking"):
                    tell(callback)
            except Exception as error:  # noqa: BLE001 - a run outlives what looks on
                self.callbacks.remove(callback)
                name = type(callback).__name__
                self.message(f"no more tracking by {name}: {type(error).__name__}: {error}")


def checked(callbacks: Iterable[Any]) -> tuple[Callback, ...]:
    """The callbacks.

    Raises:
        UsageError: if one has not all the methods.
    """
    given = tuple(callbacks)
    for each in given:
        if isinstance(each, type) or not isinstance(each, Callback):
            raise UsageError(
                f"callbacks holds {each!r}, which is no object with on_start, on_log and on_end; "
                "derive its class from cwbench.Callback"
            )
    return given


def tracker(text: str) -> Callback:
    """The callback for `--track NAME[:DIR]`.

    Raises:
        UsageError: if there is none of that name, or its package is not installed.
    """
    name, _, directory = text.partition(":")
    if name not in TRACKERS:
        raise unknown("tracker", name, TRACKERS)
    return TRACKERS[name](Path(directory) if directory else None)


class TensorBoard(Callback):
    """Event files for `tensorboard --logdir`: the values of the fit, at its end the metrics.

    They go into the run's own directory, or with `directory` into one of their own below it.
    """

    def __init__(self, directory: Path | None = None) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            wish = f"tracking by tensorboard ({error})"
            raise missing_extra(wish, "its package", "tensorboard") from None
        self.open, self.directory, self.steps = SummaryWriter, directory, 0

    def on_start(self, run: RunStart) -> None:
        """Open the event file."""
        own = Path(run.task, run.method, run.preset, run.run_id)
        place = self.directory / own if self.directory else run.directory / "tensorboard"
        self.writer, self.steps = self.open(str(place)), run.steps

    def on_log(self, step: int, values: Mapping[str, float]) -> None:
        """One scalar for each value."""
        for name, value in values.items():
            self.writer.add_scalar(f"fit/{name}", value, step)

    def on_end(self, record: Record) -> None:
        """One scalar for each metric that has a value; how the run ended, as text."""
        for identifier, entry in record.metrics.items():
            if entry["value"] is not None:
                tag = identifier.replace("@nfe=", "/nfe-")
                self.writer.add_scalar(f"metrics/{tag}", entry["value"], self.steps)
        ended = f"{record.status}: {record.error}" if record.error else record.status
        self.writer.add_text("status", ended)
        self.writer.close()


TRACKERS: dict[str, Callable[[Path | None], Callback]] = {"tensorboard": TensorBoard}
