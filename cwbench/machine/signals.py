"""How a process is asked to stop: the first signal asks, the second one insists.

Python hears a signal between two steps of its main thread. What computes there may take long over a
step, keep the interrupt to itself, as scikit-learn's networks do, or wait for threads; so in a
program a thread of its own counts the signals of a run, and ends what a second one did not end.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

from cwbench.errors import Interrupted
from cwbench.machine import guests

INSIST_SECONDS = 10.0
"""What a run has to end by itself after the second signal."""

_NUMBERS = tuple(
    signal.Signals[name]
    for name in ("SIGTERM", "SIGINT", "SIGUSR1", "SIGUSR2")
    if hasattr(signal, name)
)

_heard: list[threading.Event] = []
"""What signals set, the innermost last."""
_told: list[int] = []
"""Descriptors that take the numbers of signals."""
_in_thread = threading.local()
"""`stop` is what a thread of `threads` looks at."""


def heed() -> None:
    """Go on unless a signal has asked to stop; for long work that looks at no event of its own.

    Raises:
        Interrupted: if one has.
    """
    stop = _looked_at()
    if stop is not None and stop.is_set():
        raise Interrupted("stopped while measuring; the same command goes on")


def _looked_at() -> threading.Event | None:
    return getattr(_in_thread, "stop", None) or (_heard[-1] if _heard else None)


@contextmanager
def threads(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that heed what this one heeds; an interrupt does not wait for what they compute."""
    stop, wait = _looked_at(), True

    def listen() -> None:
        _in_thread.stop = stop

    pool = ThreadPoolExecutor(workers, initializer=listen)
    try:
        yield pool
    except KeyboardInterrupt:
        wait = False
        raise
    finally:
        pool.shutdown(wait=wait, cancel_futures=True)


@contextmanager
def stop_on_signal(stop: threading.Event, *, insist: bool = False) -> Iterator[None]:
    """The first TERM, INT, USR1 or USR2 sets `stop`; a second one raises KeyboardInterrupt.

    Args:
        stop: what the work inside looks at.
        insist: whether the second one ends a program that is still inside after `INSIST_SECONDS`,
            whatever computes. In a notebook, which is no program of ours, it does not.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[signal.Signals, Any] = {}

    def handle(number: int, _: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt(signal.Signals(number).name)
        stop.set()

    for number in _NUMBERS:
        before[number] = signal.signal(number, handle)
    _heard.append(stop)
    try:
        with _ended_at_last() if insist and guests.is_program() else nullcontext():
            yield
    finally:
        _heard.pop()
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _ended_at_last() -> Iterator[None]:
    """Inside, a second signal is the end after `INSIST_SECONDS`."""
    source, told = os.pipe()
    os.set_blocking(told, False)
    before, left = signal.set_wakeup_fd(told, warn_on_full_buffer=False), threading.Event()
    _told.append(told)
    threading.Thread(target=_count, args=(source, left), daemon=True).start()
    try:
        yield
    finally:
        left.set()
        signal.set_wakeup_fd(before)
        _told.remove(told)
        os.close(told)


def _count(source: int, left: threading.Event) -> None:
    """Read the numbers of signals, which arrive whatever the main thread does, up to the second."""
    heard = 0
    while heard < 2 and (part := os.read(source, 2**6)):
        heard += sum(number in _NUMBERS for number in part)
    if heard >= 2 and not left.wait(INSIST_SECONDS):
        with suppress(OSError, AttributeError):
            sys.stderr.write(
                "cwbench: ended at once, since what computes did not stop within "
                f"{INSIST_SECONDS:g} s of the second signal; the same command goes on\n"
            )
        guests.end_at_once(1)
    os.close(source)


def _hear_nothing_of_forks() -> None:
    """A signal that a forked process hears is none of this one's."""
    if _told:
        with suppress(ValueError):
            signal.set_wakeup_fd(-1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_hear_nothing_of_forks)


def hear_interrupts() -> None:
    """Where a cluster was begun behind `&`, a shell has it ignore that by which Ray cancels."""
    ours = threading.current_thread() is threading.main_thread()
    if ours and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
