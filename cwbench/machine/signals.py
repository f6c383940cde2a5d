"""How a process is asked to stop: the first signal asks, the second one insists."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


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
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
