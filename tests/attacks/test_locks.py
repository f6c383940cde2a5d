"""Processes that claim one directory at once, in the place of a holder that was killed.

Each round has a dead holder's file, and in half of them a file under which another, dead too, was
taking over. One of them all is to hold the directory, and nothing else is to be left in it.
"""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path

import pytest
from attacks.counts import Attack

from cwbench.machine.locks import HOLDER, VARIABLE

CLAIMANTS = 4
CLAIM = """
import sys, time
from pathlib import Path
from cwbench.machine.locks import claim, release
place = Path(sys.argv[1])
for line in sys.stdin:
    start = float(line)
    while time.monotonic() < start:
        pass
    lock = claim(place)
    print(int(lock is not None), flush=True)
    sys.stdin.readline()
    if lock is not None:
        release(lock)
    print(flush=True)
"""


def claims(place: Path, count: int) -> Counter[str]:
    """How many rounds had two holders (`wrong`), none (`hung`), or files left over (`lost`)."""
    counts = Counter(tried=0, wrong=0, hung=0, lost=0)
    rng = random.Random(1)  # noqa: S311 - no secret
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", CLAIM, place], stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE, env=os.environ | {VARIABLE: "files"}, text=True,
                )
            )
            for _ in range(CLAIMANTS)
        ]  # fmt: skip
        for number in range(count):
            _leave_dead(place, guarded=bool(number % 2))
            held = sum(map(int, _all_say(processes, f"{_soon(rng)}")))
            left = {path.name for path in place.iterdir()} - {HOLDER}
            _all_say(processes, "")
            left |= {path.name for path in place.iterdir()}
            counts.update(tried=1, wrong=held > 1, hung=not held, lost=bool(left))
            for path in place.iterdir():
                path.unlink()
    return counts


def _leave_dead(place: Path, *, guarded: bool) -> None:
    dead = f"{socket.gethostname()} {2**22 + 1} 1 {os.urandom(8).hex()}\n"
    (place / HOLDER).write_text(dead)
    if guarded:
        name = sha256(f"{HOLDER} {dead}".encode()).hexdigest()[:16]
        (place / f"{HOLDER}.{name}").write_text(dead.replace(" 1 ", " 2 "))


def _soon(rng: random.Random) -> float:
    return time.monotonic() + 0.002 + 0.002 * rng.random()


def _all_say(processes: list[subprocess.Popen[str]], line: str) -> list[str]:
    for process in processes:
        assert process.stdin
        process.stdin.write(f"{line}\n")
        process.stdin.flush()
    return [process.stdout.readline() for process in processes if process.stdout]


ATTACKS = (Attack("a killed holder's lock file, claimed by four at once", claims, 2_000),)


def test_one_of_many_takes_over(tmp_path: Path) -> None:
    counts = claims(tmp_path, 40)
    assert counts == Counter(tried=40)


@pytest.mark.attacks
def test_one_of_many_takes_over_in_full(tmp_path: Path) -> None:
    (attack,) = ATTACKS
    assert attack.run(tmp_path, attack.full) == Counter(tried=attack.full)
