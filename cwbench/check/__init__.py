"""The contracts of tasks and methods, as checks that anyone can run on a plugin of their own.

`cwbench check NAME` prints them, `check(name)` returns them, and a test module that subclasses
`MethodChecks` or `TaskChecks` runs them under pytest, one test a check.
"""

from __future__ import annotations

from cwbench.check.outcome import Outcome
from cwbench.check.pytest_classes import MethodChecks, TaskChecks
from cwbench.check.report import Report, check

__all__ = ["MethodChecks", "Outcome", "Report", "TaskChecks", "check"]
