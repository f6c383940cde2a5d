"""What the checks of a method look at: its fits on small problems, each made once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ValidationError

from cwbench.check.fitting import Fitting
from cwbench.check.outcome import NotApplicableError
from cwbench.check.probes import PROBES
from cwbench.method import Method
from cwbench.task import Task


class MethodSubject:
    """A method class with its settings, and its fits on the probes or on a task of one's own."""

    def __init__(
        self,
        cls: type[Method],
        settings: Mapping[str, Any] | None = None,
        tasks: Iterator[Task] | None = None,
    ) -> None:
        self.cls, self.settings = cls, dict(settings or {})
        self._tasks = list(tasks) if tasks is not None else [probe() for probe in PROBES]

    @cached_property
    def params(self) -> BaseModel:
        """The settings, checked.

        Raises:
            NotApplicableError: if there are none by default, which `settings` tells.
        """
        try:
            return self.cls.Params(**self.settings)
        except ValidationError:
            raise NotApplicableError("its settings have no defaults: see settings") from None

    @cached_property
    def fittings(self) -> list[Fitting]:
        """The method on each task."""
        return [
            Fitting(self.cls, self.params, task, next(iter(task.info.presets.values())))
            for task in self._tasks
        ]

    @cached_property
    def supported(self) -> list[Fitting]:
        """The fittings that the method declares itself able to do, at least one.

        Raises:
            NotApplicableError: if there are none, which `fits` tells.
        """
        able = [fitting for fitting in self.fittings if not fitting.unsupported()]
        if not able:
            raise NotApplicableError("it supports none of the tasks it is tried on: see fits")
        return able

    @property
    def main(self) -> Fitting:
        """The first task that the method can do."""
        return self.supported[0]

    def on(self, wanted: Callable[[Task], bool], absent: str) -> Fitting:
        """The fitting on the first task of a kind.

        Raises:
            NotApplicableError: if there is none, or the method says that it cannot do it.
        """
        fitting = next((f for f in self.fittings if wanted(f.task)), None)
        if fitting is None:
            raise NotApplicableError(absent)
        reason = fitting.unsupported()
        if reason:
            raise NotApplicableError(f"declared unsupported: {reason}")
        return fitting
