"""Methods that go wrong, each in its own way; for the tests of sweeps."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch

from cwbench import Method, MethodInfo

MIB = 2**20


class Fault(Method):
    """N(0, I), whatever y: what the faults are built on."""

    info = MethodInfo(name="fault", version=1, title="fault", citation="none")

    def __init_subclass__(cls, **_: Any) -> None:
        name = "".join(f"-{c.lower()}" if c.isupper() else c for c in cls.__name__).strip("-")
        cls.info = MethodInfo(name=name, version=1, title=name, citation="none")

    def fit(self, data: Any, context: Any) -> None:
        pass

    def sample(self, y: Any, n: int, generator: Any, nfe: Any = None) -> Any:
        return torch.randn(len(y), n, *self.spec.x_shape, generator=generator)

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Any) -> None:
        pass


class RaisesInFit(Fault):
    def fit(self, data: Any, context: Any) -> None:
        raise ZeroDivisionError("in fit")


class RaisesInSample(Fault):
    def sample(self, *_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("in sample")


class NotANumber(Fault):
    def sample(self, y: Any, n: int, generator: Any, nfe: Any = None) -> Any:
        return torch.full((len(y), n, *self.spec.x_shape), torch.nan)


class WrongShape(Fault):
    def sample(self, y: Any, n: int, generator: Any, nfe: Any = None) -> Any:
        return torch.zeros(n, len(y), *self.spec.x_shape)


class EndlessLoop(Fault):
    """Deaf to TERM as well."""

    def fit(self, data: Any, context: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(0.01)


class MemoryHog(Fault):
    """Up to 6 GiB, so that a limit that does not work is found out and harms nobody."""

    def fit(self, data: Any, context: Any) -> None:
        self.hoard = []
        for _ in range(60):
            self.hoard.append(bytearray(os.urandom(MIB)) * 100)
            time.sleep(0.05)


class ExitsAtOnce(Fault):
    def fit(self, data: Any, context: Any) -> None:
        sys.stdout.write(f"before the exit, on GPU {os.environ.get('CUDA_VISIBLE_DEVICES')}\n")
        sys.stdout.flush()
        os._exit(0)


class KillsItself(Fault):
    def fit(self, data: Any, context: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class LargeState(Fault):
    """More than a small disk takes."""

    def state_dict(self) -> dict[str, Any]:
        return {"large": torch.zeros(MIB)}


class LimitedFiles(LargeState):
    """What stands in for a small disk where none can be mounted."""

    def fit(self, data: Any, context: Any) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, MIB))


class Unwritable(Fault):
    """Fine; its directory is not."""


class WritesElsewhere(Fault):
    def fit(self, data: Any, context: Any) -> None:
        Path("/proc/nowhere").write_text("x")


class Waits(Fault):
    """Long, and done when asked to stop."""

    def fit(self, data: Any, context: Any) -> None:
        for _ in context.batches():
            time.sleep(0.01)
