"""All checks of one plugin: what `cwbench check` runs and says."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from cwbench import registry
from cwbench.check.method import METHOD_CHECKS
from cwbench.check.method_subject import MethodSubject
from cwbench.check.metric import METRIC_CHECKS
from cwbench.check.metric_subject import MetricSubject
from cwbench.check.outcome import Outcome, carried_out
from cwbench.check.task import TASK_CHECKS, TaskSubject
from cwbench.errors import UsageError
from cwbench.machine.torch_state import plain_torch
from cwbench.running.request import configured_task
from cwbench.settings import validated

MARKS = {"passed": "ok", "failed": "FAILED", "excused": "excused", "not applicable": "n/a"}


@dataclass(frozen=True)
class Report:
    """The outcomes of the checks of one plugin."""

    kind: registry.Kind
    name: str
    version: int
    origin: str
    outcomes: tuple[Outcome, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing failed."""
        return all(outcome.status != "failed" for outcome in self.outcomes)

    def to_json(self) -> str:
        """One JSON document."""
        return json.dumps(asdict(self) | {"passed": self.passed}, indent=1)

    def __str__(self) -> str:
        """A line a check; what was expected and what was seen where one failed."""
        counts: Counter[str] = Counter(outcome.status for outcome in self.outcomes)
        tally = ", ".join(f"{counts[status]} {status}" for status in MARKS if counts[status])
        seconds = sum(outcome.seconds for outcome in self.outcomes)
        lines = [f"{self.kind} {self.name}, version {self.version} ({self.origin})", ""]
        lines += [line for outcome in self.outcomes for line in _lines(outcome)]
        return "\n".join([*lines, "", f"{tally}; {seconds:.0f} s"])


def _lines(outcome: Outcome) -> Iterable[str]:
    mark = MARKS[outcome.status]
    if outcome.status == "failed":
        yield f"  {mark:<8} {outcome.check}"
        yield f"           expected: {outcome.expected}"
        yield f"           seen:     {outcome.seen}"
    else:
        yield f"  {mark:<8} {outcome.check:<21} {outcome.seen or outcome.expected}"


@plain_torch()
def check(
    name: str,
    *,
    task: str | None = None,
    settings: Mapping[str, Any] | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Report:
    """Check a task, method or metric by registered name or `./file.py:ClassName`.

    Args:
        name: what to check.
        task: the task to try a method on, for methods that cannot do the built-in probes.
        settings: of the plugin; a required setting has to be given.
        progress: called with the name of each check when it begins.

    Raises:
        UsageError: for an unknown name or setting, or where there is nothing to check.
        ContractError: if the plugin cannot be imported or is of no kind.
    """
    kind, loaded = registry.load_any(name)
    cls = loaded.cls
    if settings:
        if kind == "metric":
            raise UsageError(f"{name!r} is a metric; it has no settings")
        validated(cls.Params, settings, kind)
    if kind != "method" and task is not None:
        raise UsageError(f"{name!r} is a {kind}; --task names the task to try a method on")
    checks, subject = _CHECKS[kind](cls, settings, task)
    outcomes = []
    for each in checks:
        progress(each.__name__)
        outcomes.append(carried_out(each, subject, cls.excused))
    origin = f"{loaded.distribution} {loaded.version}".strip()
    return Report(kind, cls.info.name, cls.info.version, origin, tuple(outcomes))


Checks = tuple[tuple[Callable[[Any], None], ...], Any]
"""The checks of a kind of plugin, and what they look at."""


def _of_task(cls: Any, settings: Mapping[str, Any] | None, _: str | None) -> Checks:
    return TASK_CHECKS, TaskSubject(cls, settings)


def _of_method(cls: Any, settings: Mapping[str, Any] | None, task: str | None) -> Checks:
    tried = iter([configured_task(task, {})[0]]) if task else None
    return METHOD_CHECKS, MethodSubject(cls, settings, tried)


def _of_metric(cls: Any, _: Mapping[str, Any] | None, __: str | None) -> Checks:
    return METRIC_CHECKS, MetricSubject(cls)


_CHECKS: dict[registry.Kind, Callable[[Any, Mapping[str, Any] | None, str | None], Checks]] = {
    "task": _of_task, "method": _of_method, "metric": _of_metric,
}  # fmt: skip
