"""What a sweep is asked to do, from the same arguments as flags, in a TOML file or in Python."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cwbench.errors import UsageError
from cwbench.machine.files import writable_directory
from cwbench.machine.processes import refuse_several
from cwbench.machine.weights import use_inception_weights
from cwbench.records.record import Record
from cwbench.records.runs import results_directory
from cwbench.sweeping import engines
from cwbench.sweeping.announce import announced
from cwbench.sweeping.engines import EngineOptions
from cwbench.sweeping.matrix import Matrix, seeds_of
from cwbench.sweeping.sweep import Options, Planned, Refused, Sweep, planned

UNITS = {
    "B": 1, "kB": 10**3, "KiB": 2**10, "MB": 10**6, "MiB": 2**20, "GB": 10**9, "GiB": 2**30,
    "TB": 10**12, "TiB": 2**40,
}  # fmt: skip


@dataclass(frozen=True)
class SweepRequest:
    """A sweep with everything in it checked but its combinations."""

    matrix: Matrix
    options: Options
    results: Path

    def planned(self) -> list[Planned | Refused]:
        """All runs with what is on record; nothing is written.

        Raises:
            UsageError: if one of them would be refused.
        """
        return planned(self.matrix, self.results, self.options)

    def carry_out(self, *, quiet: bool = False) -> list[Record]:
        """Do what is missing; the records of all runs.

        Raises:
            UsageError: if it cannot be carried out as given; nothing is written then.
            SweepInterruptedError: if it was asked to stop.
        """
        runs = self.planned()
        writable_directory(self.results)
        to_do = sum(run.to_do for run in runs)
        engine = engines.make(self.options.engine, self.results.resolve(), to_do)
        with announced(runs, quiet=quiet) as reports:
            return Sweep(runs, engine, reports).carry_out()


def sweep_request(arguments: Mapping[str, Any]) -> SweepRequest:
    """A sweep from its arguments, named as the flags with underscores; None is "not given".

    Raises:
        UsageError: if an argument cannot be read.
    """
    given = {key: value for key, value in arguments.items() if value is not None}
    refuse_several("cwbench sweep")
    use_inception_weights(given.get("inception_weights"))
    engine = _engine(given)
    matrix = Matrix(
        tasks=_texts(given.get("task", ())),
        methods=_texts(given.get("method", ())),
        preset=given.get("preset", "quick"),
        seeds=seeds_of(given.get("seeds", 0)),
        settings=given.get("set", {}),
        nfe=_texts(given["nfe"]) if "nfe" in given else None,
        metrics=_texts(given.get("metrics", ())),
        try_seconds=_try_seconds(engine.timeout),
        longer=given.get("longer", False),
    )
    options = Options(
        device=given.get("device", "auto"),
        keep_samples=given.get("keep_samples", False),
        force=given.get("force", False),
        retry=_texts(given.get("retry", ())),
        checkpoint_seconds=checkpoint_seconds(given.get("checkpoint_seconds")),
        engine=engine,
    )
    return SweepRequest(matrix, options, results_directory(given.get("results")))


def overridden(file: Mapping[str, Any], flags: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a file, and of the flags where both have one.

    Flags that leave out methods or tasks of the file leave out the settings that only those have.

    Raises:
        UsageError: if a task or method does not exist.
    """
    arguments = {**file, **flags}
    if "set" not in file or not {"task", "method"} & flags.keys():
        return arguments
    seconds = _try_seconds(_timeout(arguments))
    wide, narrow = (
        Matrix(
            _texts(each.get("task", ())), _texts(each.get("method", ())), settings=file["set"],
            try_seconds=seconds,
        ).known()
        for each in (file, arguments)
    )  # fmt: skip
    left = {k: v for k, v in file["set"].items() if k in narrow or k not in wide}
    return arguments | {"set": left}


def _engine(given: Mapping[str, Any]) -> EngineOptions:
    jobs = given.get("jobs")
    return EngineOptions(
        name=given.get("engine", "local"),
        jobs=None if jobs is None else _whole("jobs", jobs),
        gpus=_texts(given.get("gpus", ())),
        threads=_whole("threads", given.get("threads", 1)),
        memory=bytes_of(given["memory"]) if "memory" in given else None,
        timeout=_timeout(given),
        grace=_number("grace", given.get("grace", 10.0)),
        address=given.get("address"),
        slurm={str(k): str(v) for k, v in given.get("slurm", {}).items()},
    )


def _timeout(given: Mapping[str, Any]) -> float | None:
    """The limit of a run, if it has one."""
    seconds = given.get("timeout")
    return None if seconds is None else _number("timeout", seconds)


def _try_seconds(timeout: float | None) -> float:
    """What plugins of others have to be set up."""
    return timeout or Matrix.try_seconds


def _texts(given: Any) -> tuple[str, ...]:
    """`a,b`, `["a", "b"]` or one value as texts."""
    parts = given.split(",") if isinstance(given, str) else given
    if not isinstance(parts, (list, tuple)):
        parts = [parts]
    return tuple(text for part in parts if (text := str(part).strip()))


def _number(name: str, given: Any) -> float:
    with suppress(TypeError, ValueError, OverflowError):
        number = float(given)
        if math.isfinite(number):
            return number
    raise UsageError(f"--{name} is {given!r}; a number is needed")


def _whole(name: str, given: Any) -> int:
    number = _number(name, given)
    if not number.is_integer():
        raise UsageError(f"--{name} is {given!r}; a whole number is needed")
    return int(number)


def bytes_of(given: int | str) -> int:
    """`4GiB`, `500MB` or a number of bytes.

    Raises:
        UsageError: for anything else.
    """
    match = re.fullmatch(r"(\d{1,18}(?:\.\d+)?)\s*([A-Za-z]*)", str(given).strip())
    unit = match and (match[2] or "B")
    if not match or unit not in UNITS:
        raise UsageError(
            f"--memory is {given!r}; a number with {', '.join(UNITS)} is needed, e.g. --memory 4GiB"
        )
    return int(float(match[1]) * UNITS[unit])


def checkpoint_seconds(given: float | None) -> float:
    """Seconds between checkpoints: those given, else `$CWBENCH_CHECKPOINT_SECONDS`, else 30.

    Raises:
        UsageError: if the variable holds no number.
    """
    if given is not None:
        return _number("checkpoint-seconds", given)
    text = os.environ.get("CWBENCH_CHECKPOINT_SECONDS", "30")
    try:
        return _number("checkpoint-seconds", text)
    except UsageError:
        raise UsageError(f"$CWBENCH_CHECKPOINT_SECONDS is {text!r}, not a number") from None
