"""A score of the method as it is at some moments of its fit; no number of the fit depends on it.

The harness asks between two steps, with streams of its own, outside the budget and the clock of the
fit, and while the averaged weights, where a trainer keeps some, stand in for the present ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Averaging(Protocol):
    """What is trained and keeps averaged weights."""

    def averaging(self) -> AbstractContextManager[None]:
        """Inside, the averaged weights are in place; afterwards the very ones of before."""


@contextmanager
def averaged(parts: Iterable[Any]) -> Iterator[None]:
    """All parts that keep averaged weights have them in place inside."""
    with ExitStack() as stack:
        for part in parts:
            if isinstance(part, Averaging):
                stack.enter_context(part.averaging())
        yield


@dataclass
class Following:
    """Takes the score `times` in a fit, evenly over its budget, the last time at its end.

    `about` says what is scored; values of something else are not taken up again. `score` returns
    None where there is no value.
    """

    about: dict[str, Any]
    score: Callable[[], float | None]
    times: int
    message: Callable[[str], None] = lambda _: None
    steps: list[int] = field(default_factory=list)
    values: list[float | None] = field(default_factory=list)
    taken: int = 0

    def due(self, progress: float) -> bool:
        """Whether the next moment has come, at a share of the budget."""
        return self._moment(progress) > self.taken

    def take(self, step: int, progress: float) -> float | None:
        """The score now, or None; after an error no further score is taken, and the fit goes on."""
        self.taken = self._moment(progress)
        try:
            value = self.score()
        except Exception as error:  # noqa: BLE001 - a fit outlives what looks on; the log says why
            self.message(f"not followed any more: {type(error).__name__}: {error}")
            self.taken = self.times
            return None
        self.steps.append(step)
        self.values.append(value)
        text = "no value" if value is None else f"{value:.4g}"
        self.message(f"step {step}: {self.about['metric']} {text}")
        return value

    def _moment(self, progress: float) -> int:
        return int(progress * self.times + 1e-9)

    def facts(self) -> dict[str, Any]:
        """What a record says of it."""
        return self.about | {"steps": self.steps, "values": self.values}

    def state_dict(self) -> dict[str, Any]:
        """What was found so far, for a checkpoint."""
        return {"about": self.about, "steps": self.steps, "values": self.values}

    def resume(self, state: dict[str, Any] | None, progress: float) -> None:
        """Go on from a checkpoint at a share of the budget; moments before it do not come again."""
        self.taken = self._moment(progress)
        if state and state["about"] == self.about:
            self.steps, self.values = list(state["steps"]), list(state["values"])
