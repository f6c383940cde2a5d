"""A metric that fails leaves the others standing: its entry says why it has no value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from cwbench.errors import (
    DivergedError,
    Interrupted,
    disk_is_full,
    message_of,
    out_of_memory,
    trace_of,
)
from cwbench.machine.guests import visiting
from cwbench.metric import Metric

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Failed:
    """How something failed: the reason for a record, the traceback for the log."""

    reason: str
    trace: str


def attempt(work: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T | Failed:
    """What work of a metric returns, or how it failed.

    Raises:
        Exception: what is no failure of a metric: samples that are not finite, a request to stop,
            memory or disk that ran out.
    """
    try:
        with visiting():
            return work(*arguments, **options)
    except (DivergedError, Interrupted, KeyboardInterrupt):
        raise
    except BaseException as failure:
        if out_of_memory(failure) or disk_is_full(failure):
            raise
        return Failed(message_of(failure), trace_of(failure))


class Attempts:
    """What is tried for several metrics; one that failed is not tried again."""

    def __init__(self, failed: Mapping[str, Failed] | None = None) -> None:
        self.failed = dict(failed or {})

    def of(
        self, metric: Metric, work: Callable[P, T], *arguments: P.args, **options: P.kwargs
    ) -> T | None:
        """What work returns; None where the metric fails in it, or failed before."""
        name = metric.info.name
        if name in self.failed:
            return None
        result = attempt(work, *arguments, **options)
        if not isinstance(result, Failed):
            return result
        self.failed[name] = result
        return None
