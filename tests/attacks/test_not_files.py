"""FIFOs, devices, directories, and a terabyte, where a file should be: refused by name, at once."""

from __future__ import annotations

import os
import re
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attacks.counts import Attack, Counts, Hung, limited
from made_runs import write_run

import cwbench
from cwbench.errors import CwbenchError, UsageError
from cwbench.machine.files import contents
from cwbench.machine.tensors import kept
from cwbench.records import index, runs
from cwbench.records.logs import last_line, lines
from cwbench.records.values import observed
from cwbench.reporting.status import statuses
from cwbench.running.exchange import stored_sampler
from cwbench.sweeping import file as sweep_file
from cwbench.sweeping.request import sweep_request
from cwbench.training import checkpoint

SECONDS = 30


def fifo(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def directory(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir(parents=True)


def device(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to("/dev/zero")


def terabyte(path: Path) -> None:
    """Of zeros, which take no room on the disk."""
    path.unlink(missing_ok=True)
    with path.open("wb") as file:
        file.truncate(10**12)


def readers(results: Path, run: Path) -> dict[str, list[Callable[[], Any]]]:
    """What reads a file, by its name below the results."""
    place = str(run.relative_to(results))
    samples, sweep = results / "samples.npy", results / "sweep.toml"
    task = cwbench.load_task("gaussian-linear")
    every: list[Callable[[], Any]] = [
        lambda: observed(results), lambda: cwbench.load_records(results),
        lambda: statuses(results), lambda: cwbench.leaderboard(results),
    ]  # fmt: skip
    return {
        f"{place}/record.json": every,
        f"{place}/observations.parquet": every,
        f"{place}/.lock": [lambda: runs.is_running(run)],
        f"{place}/log.txt": [lambda: last_line(run), lambda: lines(run)],
        f"{place}/step-000000001-0123456789abcdef.pt": [lambda: checkpoint.load(run)],
        index.NAME: every,
        ".cache/floor.safetensors": [lambda: kept(results / ".cache" / "floor.safetensors")],
        "samples.npy": [lambda: stored_sampler(samples, task, task.info.presets["smoke"])],
        "sweep.toml": [lambda: sweep_file.read(sweep, ["task"])],
    }


MAKE = (fifo, directory, device, terabyte)


def attack(place: Path, n: int) -> Counts:
    """Every file becomes each of n kinds of what is none, before everything that reads it."""
    counts: Counter[str] = Counter()
    for make in MAKE[:n]:
        results = place / make.__name__
        run = write_run(results, {"ew2sq": [1.0, 2.0]})
        (results / ".cache").mkdir()
        for name, calls in readers(results, run).items():
            before = (results / name).read_bytes() if (results / name).is_file() else None
            make(results / name)
            for call in calls:
                counts["tried"] += 1
                try:
                    with limited(SECONDS), warnings.catch_warnings(action="ignore"):
                        call()
                except Hung:
                    counts["hung"] += 1
                except (CwbenchError, OSError):
                    pass
                except Exception:  # noqa: BLE001 - counted
                    counts["crashed"] += 1
            (results / name).rmdir() if make is directory else (results / name).unlink()
            if before is not None:
                (results / name).write_bytes(before)
    return Counts(**counts)


ATTACKS = [Attack("FIFOs, directories, devices and terabytes for files", attack, len(MAKE))]


def test_no_reader_waits_or_crashes(tmp_path: Path) -> None:
    assert attack(tmp_path, len(MAKE)) == Counts(4 * 19)


def test_what_it_is_stands_in_the_error(tmp_path: Path) -> None:
    run = write_run(tmp_path, {"ew2sq": [1.0, 2.0]})
    fifo(run / "record.json")
    (problem,) = observed(tmp_path).problems.values()
    assert problem == f"{run}/record.json is a FIFO, not a file; move it away"
    with pytest.raises(CwbenchError, match="is a device"):
        contents(Path("/dev/zero"))


@pytest.mark.parametrize("make", [fifo, directory])
@pytest.mark.parametrize("name", ["log.txt", ".lock", "record.json"])
def test_a_run_refuses_them_by_name(
    run: Callable[..., cwbench.Record], name: str, make: Callable[[Path], None]
) -> None:
    place = run("prior").directory
    assert place
    (place / "record.json").unlink()
    make(place / name)
    with (
        limited(SECONDS),
        pytest.raises(CwbenchError, match=rf"{re.escape(name)} is a .*not a file"),
    ):
        run("prior")


@pytest.mark.parametrize(
    "content", [b"", b"\x93NUMPY", b"\x93NUMPY\x01\x00\x76\x00{'descr'", b"x" * 100]
)
def test_an_empty_or_broken_npy(tmp_path: Path, content: bytes) -> None:
    task = cwbench.load_task("gaussian-linear")
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(UsageError, match=r"a\.npy cannot be read as samples"):
        stored_sampler(tmp_path / "a.npy", task, task.info.presets["smoke"])


def test_a_npy_whose_header_promises_more_than_there_is(tmp_path: Path) -> None:
    path, task = tmp_path / "lying.npy", cwbench.load_task("gaussian-linear")
    np.save(path, np.zeros((3, 4), np.float32))
    header = path.read_bytes()
    lying = header.replace(b"(3, 4)", b"(3000000000, 4)")[: len(header) + 9]
    path.write_bytes(lying.replace(b" " * 9 + b"\n", b"\n", 1))
    with pytest.raises(UsageError, match="its header says"):
        stored_sampler(path, task, task.info.presets["smoke"])


def test_a_million_combinations_are_refused_at_once() -> None:
    words = {"task": "gaussian-linear", "method": "fm", "seeds": "0-9999"}
    many = ",".join(map(str, range(1, 101)))
    request = sweep_request(words | {"set": {"method.ema": many}})
    with pytest.raises(UsageError, match="1,000,000 combinations"):
        request.matrix.combinations()


@pytest.mark.parametrize("name", ["jobs", "threads", "timeout", "grace", "checkpoint_seconds"])
@pytest.mark.parametrize("value", [float("inf"), float("nan"), 10**400, "nan"])
def test_numbers_that_are_none(name: str, value: object) -> None:
    with pytest.raises(UsageError, match="a number is needed"):
        sweep_request({"task": "gaussian-linear", "method": "prior", name: value})
    with pytest.raises(UsageError):
        sweep_request({"task": "gaussian-linear", "method": "prior", "memory": f"1{'0' * 400}B"})
