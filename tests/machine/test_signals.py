"""The first signal asks, the second one ends a run, whatever computes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest
import torch
from sklearn.model_selection import KFold, cross_val_score
from sklearn.neural_network import MLPClassifier

from cwbench.errors import Interrupted
from cwbench.machine.signals import hear_interrupts, heed, stop_on_signal, threads
from cwbench.metrics.per_observation import per_observation
from cwbench.metrics.sbibm import two_sample_accuracy

DEAF = {
    "keeps the interrupt to itself": "time.sleep(0.05)",
    "is in one long step of a library": "hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)",
}
METHOD = """
import hashlib, pathlib, time
from cwbench import Method, MethodInfo
from cwbench.machine import signals

signals.INSIST_SECONDS = 1.0


class Deaf(Method):
    info = MethodInfo(name="deaf", version=1, title="deaf", citation="cwbench")

    def fit(self, data, context):
        pathlib.Path({begun!r}).touch()
        while True:
            try:
                {work}
            except KeyboardInterrupt:
                pass

    def sample(self, y, n, generator, nfe=None):
        raise NotImplementedError

    def state_dict(self):
        return {{}}

    def load_state_dict(self, state):
        pass
"""


def until(condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("work", DEAF.values(), ids=DEAF.keys())
def test_a_second_signal_ends_a_run_that_hears_none(work: str, tmp_path: Path) -> None:
    begun, file = tmp_path / "begun", tmp_path / "deaf.py"
    file.write_text(METHOD.format(begun=str(begun), work=work))
    process = subprocess.Popen(
        [
            sys.executable, "-m", "cwbench", "run", "--task", "gaussian-linear", "--preset",
            "smoke", "--method", f"{file}:Deaf", "--results", tmp_path / "results",
        ],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        until(begun.exists)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 1
    assert "cwbench: ended at once" in errors
    assert "Traceback" not in errors


def signal_twice(stop: threading.Event, ready: Callable[[], bool]) -> threading.Thread:
    """A thread that asks, and insists, once this thread is ready."""

    def send() -> None:
        until(ready)
        os.kill(os.getpid(), signal.SIGTERM)
        until(stop.is_set)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


def test_an_interrupt_does_not_wait_for_threads() -> None:
    stop, begun, let_go, heard = (threading.Event() for _ in range(4))

    def compute(_: int) -> None:
        begun.set()
        let_go.wait(60)
        try:
            heed()
        except Interrupted:
            heard.set()

    with pytest.raises(KeyboardInterrupt), stop_on_signal(stop):
        signal_twice(stop, begun.is_set)
        with threads(1) as pool:
            list(pool.map(compute, range(2)))
    assert not let_go.is_set()
    let_go.set()
    assert heard.wait(60)  # though nobody is there any more


def fitting(thread: int) -> bool:
    """Whether a thread is where scikit-learn keeps an interrupt to itself."""
    frame: FrameType | None = sys._current_frames()[thread]
    while frame is not None:
        if frame.f_code.co_name == "_backprop":
            return True
        frame = frame.f_back
    return False


def test_a_network_that_was_interrupted_gives_no_value() -> None:
    stop, main = threading.Event(), threading.get_ident()
    a, b = torch.randn(2, 1_000, 40, generator=torch.Generator().manual_seed(0)).double()
    with (
        pytest.warns(UserWarning, match="Training interrupted by user"),
        pytest.raises(Interrupted),
        stop_on_signal(stop),
    ):
        signal_twice(stop, lambda: fitting(main))
        two_sample_accuracy(a, b)
        pytest.fail("it went on")


def test_the_accuracy_is_that_of_scikit_learns_cross_validation() -> None:
    a, b = torch.randn(2, 40, 3, generator=torch.Generator().manual_seed(1)).double()
    points = (torch.cat([b, a + 1]) - b.mean(0)) / b.std(0)
    network = MLPClassifier((30, 30), max_iter=10_000, random_state=1)
    folds = KFold(5, shuffle=True, random_state=1)
    expected = cross_val_score(network, points.numpy(), [0.0] * 40 + [1.0] * 40, cv=folds).mean()
    assert two_sample_accuracy(a + 1, b) == expected


def test_the_first_signal_is_heard_between_two_observations() -> None:
    stop, seen = threading.Event(), []

    def distance(a: torch.Tensor, _: torch.Tensor) -> float:
        seen.append(float(a[0]))
        os.kill(os.getpid(), signal.SIGTERM)
        return 0.0

    x = torch.arange(3.0)[:, None, None]
    with stop_on_signal(stop), pytest.raises(Interrupted):
        per_observation(distance, x, x)
    assert seen == [0.0]


def test_an_ignored_interrupt_is_heard_again() -> None:
    """What a cluster that began behind `&` inherits; a handler of its own stays."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        hear_interrupts()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        own = signal.signal(signal.SIGINT, lambda *_: None)
        assert own is signal.default_int_handler
        kept = signal.getsignal(signal.SIGINT)
        hear_interrupts()
        assert signal.getsignal(signal.SIGINT) is kept
    finally:
        signal.signal(signal.SIGINT, before)
