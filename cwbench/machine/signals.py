"""How a process is asked to stop: the first signal asks, the second one insists."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cwbench.errors import Interrupted

_heard: list[threading.Event] = []
"""What signals set, the innermost last."""


def heed() -> None:
    """Go on unless a signal has asked to stop; for long work that looks at no event of its own.

    Raises:
        Interrupted: if one has.
    """
    if _heard and _heard[-1].is_set():
        raise Interrupted("stopped while measuring; the same command goes on")


@contextmanager
def stop_on_signal(stop: threading.Event) -> Iterator[None]:
    """The first TERM, INT, USR1 or USR2 sets `stop`; a second one raises KeyboardInterrupt."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = [s for s in ("SIGTERM", "SIGINT", "SIGUSR1", "SIGUSR2") if hasattr(signal, s)]
    before: dict[signal.Signals, Any] = {}

    def handle(number: int, _: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt(signal.Signals(number).name)
        stop.set()

    for name in names:
        number = signal.Signals[name]
        before[number] = signal.signal(number, handle)
    _heard.append(stop)
    try:
        yield
    finally:
        _heard.pop()
        for number, handler in before.items():
            signal.signal(number, handler)
