"""The checks as pytest classes: subclass one in a test module, name the class, get a test a check.

    class TestMine(MethodChecks):
        method = Mine

Excused checks, and those that do not apply, are shown as skipped with their reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from cwbench.check.method import METHOD_CHECKS
from cwbench.check.method_subject import MethodSubject
from cwbench.check.metric import METRIC_CHECKS
from cwbench.check.metric_subject import MetricSubject
from cwbench.check.outcome import Outcome, carried_out
from cwbench.check.task import TASK_CHECKS, TaskSubject
from cwbench.method import Method
from cwbench.metric import Metric
from cwbench.task import Task


class MethodChecks:
    """One test for each check of a method: `test_follows_y` and so on.

    `settings` are of the method; `task` names the class of a task to try it on, where the small
    problems of `cwbench.check.probes` are not for it.
    """

    method: ClassVar[type[Method]]
    settings: ClassVar[Mapping[str, Any]] = {}
    task: ClassVar[type[Task] | None] = None
    _subject: ClassVar[MethodSubject]

    @classmethod
    def subject(cls) -> MethodSubject:
        """What is checked, fitted once for all tests of the class."""
        if "_subject" not in vars(cls):
            tasks = iter([cls.task()]) if cls.task else None
            cls._subject = MethodSubject(cls.method, cls.settings, tasks)
        return cls._subject


class TaskChecks:
    """One test for each check of a task: `test_calibrated` and so on."""

    task: ClassVar[type[Task]]
    settings: ClassVar[Mapping[str, Any]] = {}
    _subject: ClassVar[TaskSubject]

    @classmethod
    def subject(cls) -> TaskSubject:
        """What is checked."""
        if "_subject" not in vars(cls):
            cls._subject = TaskSubject(cls.task, cls.settings)
        return cls._subject


class MetricChecks:
    """One test for each check of a metric: `test_equal_laws` and so on."""

    metric: ClassVar[type[Metric]]
    _subject: ClassVar[MetricSubject]

    @classmethod
    def subject(cls) -> MetricSubject:
        """What is checked, its values formed once for all tests of the class."""
        if "_subject" not in vars(cls):
            cls._subject = MetricSubject(cls.metric)
        return cls._subject


def _test(check: Callable[[Any], None]) -> Callable[[Any], None]:
    def test(self: MethodChecks | TaskChecks | MetricChecks) -> None:
        subject = self.subject()
        _tell(carried_out(check, subject, subject.cls.excused))

    test.__name__, test.__doc__ = f"test_{check.__name__}", check.__doc__
    return test


def _tell(outcome: Outcome) -> None:
    import pytest

    if outcome.status == "failed":
        pytest.fail(f"expected: {outcome.expected}\nseen: {outcome.seen}", pytrace=False)
    if outcome.status != "passed":
        pytest.skip(f"{outcome.status}: {outcome.seen}")


_CHECKS: dict[type, tuple[Callable[[Any], None], ...]] = {
    MethodChecks: METHOD_CHECKS, TaskChecks: TASK_CHECKS, MetricChecks: METRIC_CHECKS,
}  # fmt: skip
for _class, _checks in _CHECKS.items():
    for _check in _checks:
        setattr(_class, f"test_{_check.__name__}", _test(_check))
