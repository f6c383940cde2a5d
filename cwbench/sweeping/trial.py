"""Plugins of others, tried in a process apart before a sweep sets them up in its own.

What exits, crashes or does not come back there, when it is imported or made, costs its own runs.
"""

from __future__ import annotations

import itertools
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any

from cwbench import registry
from cwbench.errors import ContractError, CwbenchError
from cwbench.machine.guests import alone, apart, end_all_of, ending, visiting
from cwbench.running.warned import warn_in_a_line

if TYPE_CHECKING:
    from cwbench.sweeping.matrix import Matrix

READY_SECONDS = 600
"""For the process itself to begin; a busy machine takes its time."""

Pair = tuple[str, str]
"""A task and a method as typed."""


def refused_pairs(matrix: Matrix) -> dict[Pair, str]:
    """The pairs of a matrix that cannot be set up, and why; those of our own are not tried.

    What is wrong with the request itself is not told here: setting up says it.
    """
    typed: dict[registry.Kind, tuple[str, ...]] = {
        "metric": matrix.metrics, "task": matrix.tasks, "method": matrix.methods,
    }  # fmt: skip
    outside = [(kind, name) for kind, names in typed.items() for name in names if _outside(name)]
    if not outside:
        return {}
    trial = _Trial(matrix.try_seconds)
    try:
        bad = {one: reason for one in dict.fromkeys(outside) if (reason := trial.of_one(*one))}
        refused = {}
        for pair in itertools.product(matrix.tasks, matrix.methods):
            metrics = (("metric", name) for name in matrix.metrics)
            parts = [("task", pair[0]), ("method", pair[1]), *metrics]
            reasons = [bad[part] for part in parts if part in bad]
            if not reasons and any(part in outside for part in parts):
                reasons = list(filter(None, [trial.of_pair(matrix, pair)]))
            if reasons:
                refused[pair] = reasons[0]
        return refused
    finally:
        trial.end()


def _outside(name: str) -> bool:
    """Whether a name is a file, or registered by somebody else."""
    if registry.in_file(name):
        return True
    return any(p.name == name and p.distribution != "cwbench" for p in registry.plugins())


_passed: set[str] = set()
"""What went well in this process, with the time at which each file was changed."""


def _files(words: dict[str, Any]) -> list[str]:
    """The files among the names of a question."""
    names = [words.get("name", ""), *words.get("pair", ()), *words.get("metrics", ())]
    return [name.rpartition(":")[0] for name in names if registry.in_file(name)]


def _changed_at(file: str) -> int:
    with suppress(OSError):
        return os.stat(file).st_mtime_ns  # noqa: PTH116
    return 0


class _Trial:
    """A process that is asked one thing after the other, and replaced when one ends it."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.process: subprocess.Popen[bytes] | None = None

    def of_one(self, kind: registry.Kind, name: str) -> str | None:
        """Why a plugin cannot be imported."""
        return self._asked({"kind": kind, "name": name}, f"{kind} {name!r}: its import")

    def of_pair(self, matrix: Matrix, pair: Pair) -> str | None:
        """Why a task and a method cannot be set up together."""
        words = {
            "pair": pair, "preset": matrix.preset, "settings": _packed(matrix.settings),
            "nfe": matrix.nfe, "metrics": matrix.metrics,
        }  # fmt: skip
        return self._asked(words, f"setting up {pair[0]} / {pair[1]}")

    def _asked(self, words: dict[str, Any], what: str) -> str | None:
        question = json.dumps([words, *map(_changed_at, _files(words))], default=str)
        if question in _passed:
            return None
        reason = self._answered(words, what)
        if reason is None:
            _passed.add(question)
        return reason

    def _answered(self, words: dict[str, Any], what: str) -> str | None:
        process = self.process or self._begun()
        with suppress(BrokenPipeError):
            process.stdin.write(f"{json.dumps(words, default=str)}\n".encode())  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]
        answer = _line(process, self.seconds)
        if answer:
            with suppress(ValueError):
                told: str | None = json.loads(answer)
                return told
        code = self.end()
        if answer:
            return f"{what} wrote to a file that it had not opened"
        if answer is None:
            return f"{what} did not end within {self.seconds:g} s"
        by = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit status {code}"
        return f"{what} ended Python {by}"

    def _begun(self) -> subprocess.Popen[bytes]:
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "cwbench.sweeping.trial"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )  # fmt: skip
        _line(self.process, READY_SECONDS)
        return self.process

    def end(self) -> int:
        """End the process and all that it started; its exit status."""
        process, self.process = self.process, None
        if process is None:
            return 0
        with suppress(subprocess.TimeoutExpired):
            process.wait(0 if process.poll() is None else 1)
        code = process.poll()
        end_all_of(process)
        for stream in (process.stdin, process.stdout):
            with suppress(OSError):
                stream.close()  # type: ignore[union-attr]
        return process.returncode if code is None else code


def _packed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as JSON, which would take a value as it was typed for any text."""
    from cwbench.sweeping.matrix import Spelled

    def typed(value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return [typed(part) for part in value]
        return {"typed": value} if isinstance(value, Spelled) else value

    return {key: typed(value) for key, value in settings.items()}


def _unpacked(settings: Any) -> Any:
    from cwbench.sweeping.matrix import Spelled

    if isinstance(settings, dict) and settings.keys() == {"typed"}:
        return Spelled(settings["typed"])
    if isinstance(settings, dict):
        return {key: _unpacked(value) for key, value in settings.items()}
    return [_unpacked(value) for value in settings] if isinstance(settings, list) else settings


def _line(process: subprocess.Popen[bytes], seconds: float) -> bytes | None:
    """A line it writes, empty if it ended before, None if that takes too long."""
    assert process.stdout  # noqa: S101 - for the type checker
    source, line, deadline = process.stdout.fileno(), b"", time.monotonic() + seconds
    while not line.endswith(b"\n"):
        if time.monotonic() > deadline:
            return None
        ready, _, _ = select.select([source], [], [], 0.2)
        if ready:
            part = os.read(source, 2**16)
            if not part:
                return b"" if _ends(process, deadline) else None
            line += part
        elif process.poll() is not None:  # what it left behind holds the pipe
            return b""
    return line


def _ends(process: subprocess.Popen[bytes], deadline: float) -> bool:
    """Whether it ends in time; one that has closed its end of a pipe may go on."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(max(0.0, deadline - time.monotonic()))
        return True
    return False


def main() -> None:
    """Answer what standard input asks, line by line: null, or what is wrong."""
    import cwbench.sweeping.matrix  # noqa: F401 - so that the time is the plugin's own

    warn_in_a_line()

    try:
        with apart() as answers, alone():
            _answer(None, answers)
            for line in sys.stdin:
                _answer(_tried(json.loads(line)), answers)
    except BrokenPipeError:  # whoever asked was killed
        os._exit(0)


def _answer(reason: str | None, answers: IO[str]) -> None:
    answers.write(f"{json.dumps(reason)}\n")
    answers.flush()


def _tried(words: dict[str, Any]) -> str | None:
    from cwbench.sweeping.matrix import Matrix

    try:
        with visiting():
            if "pair" not in words:
                registry.load(words["kind"], words["name"])
                return None
            task, method = words["pair"]
            nfe = None if words["nfe"] is None else tuple(words["nfe"])
            settings, metrics = _unpacked(words["settings"]), tuple(words["metrics"])
            Matrix(
                (task,), (method,), words["preset"], settings=settings, nfe=nfe, metrics=metrics
            ).try_out()
    except ContractError as error:
        return str(error)
    except CwbenchError:
        return None
    except Exception as error:  # noqa: BLE001 - of a plugin
        return f"{type(error).__name__}: {error}"
    return None


if __name__ == "__main__":
    ending(main)
