"""Locks that are files: one holder, whoever died and whenever."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cwbench.machine import locks
from cwbench.sweeping.announce import announced
from cwbench.sweeping.request import sweep_request
from cwbench.sweeping.sweep import Planned

HOST = socket.gethostname()
NOBODY = 2**22 + 1
"""No process has this number: it is above the largest that Linux gives."""
DEAD = f"{HOST} {NOBODY}\n"


@pytest.fixture
def holder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(locks.VARIABLE, "files")
    return tmp_path / locks.HOLDER


def test_who_is_overtaken_at_a_take_over_leaves_the_new_holder(
    holder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another takes over after the look, and a third is there as soon as the name is free."""
    holder.write_text(DEAD)
    another = f"{HOST} {os.getppid()}\n"
    kill, rename = os.kill, Path.rename

    def looked(number: int, signal: int) -> None:
        if number == NOBODY:
            holder.write_text(another)
        kill(number, signal)

    def renamed(path: Path, to: Path) -> Path:
        moved = rename(path, to)
        holder.write_text("elsewhere 1\n")
        return moved

    monkeypatch.setattr(os, "kill", looked)
    monkeypatch.setattr(Path, "rename", renamed)
    assert locks.claim(holder.parent) is None
    assert holder.read_text() == another
    assert list(holder.parent.iterdir()) == [holder]


def test_a_claim_given_back_removes_no_file_of_others(holder: Path) -> None:
    lock = locks.claim(holder.parent)
    assert lock is not None
    holder.write_text("elsewhere 1\n")  # somebody removed ours by hand, and another claimed
    locks.release(lock)
    assert holder.read_text() == "elsewhere 1\n"


def test_who_is_killed_taking_over_keeps_nobody_out(
    holder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file under which a dead one's is removed is taken over like any other."""
    holder.write_text(DEAD)
    guards: set[Path] = set()
    unlink = locks._unlink

    def killed(path: Path, content: str) -> None:
        if path == holder:
            guards.update(set(holder.parent.iterdir()) - {holder})
        else:
            unlink(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(locks, "_unlink", killed)
        assert locks.claim(holder.parent) is None
    (guard,) = guards
    guard.write_text(f"{HOST} {NOBODY + 1}\n")
    lock = locks.claim(holder.parent)
    assert lock is not None
    assert list(holder.parent.iterdir()) == [holder]
    locks.release(lock)
    assert not list(holder.parent.iterdir())


def test_no_holder_is_ever_seen_half_written(holder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither is a full disk left with a file that keeps everybody out."""

    def full(*_: Any) -> int:
        assert not holder.exists()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as disk:
        disk.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space left"):
            locks.claim(holder.parent)
    assert not list(holder.parent.iterdir())


def test_what_cannot_be_removed_is_held(holder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    holder.write_text(DEAD)
    monkeypatch.setattr(locks, "_unlink", lambda *_: None)
    assert locks.claim(holder.parent) is None
    assert holder.read_text() == DEAD


@pytest.mark.parametrize("content", ["", "a", f"{HOST} -1\n", "\0" * 40])
def test_an_unreadable_holder_is_nobody_after_a_minute(holder: Path, content: str) -> None:
    """As an earlier version left it when it was killed between opening and writing."""
    holder.write_text(content)
    assert locks.claim(holder.parent) is None  # it may be about to be written
    long_ago = time.time() - 61
    os.utime(holder, (long_ago, long_ago))
    assert not locks.claimed(holder.parent)
    lock = locks.claim(holder.parent)
    assert lock is not None
    locks.release(lock)


def test_a_number_that_was_given_again_holds_nothing(holder: Path) -> None:
    """A process that began at another time than the holder is another one."""
    claiming = (
        "import sys; from pathlib import Path; from cwbench.machine.locks import claim; "
        "claim(Path(sys.argv[1])); print(flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", claiming, holder.parent],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    with process:
        assert process.stdout
        process.stdout.readline()
        assert locks.claimed(holder.parent)
        host, number, began, token = holder.read_text().split()
        assert (host, number) == (HOST, str(process.pid))
        holder.write_text(f"{host} {number} {int(began) - 1} {token}\n")
        assert not locks.claimed(holder.parent)
        holder.write_text(f"{host} {number} {began} {token}\n")
        process.kill()
        time.sleep(0.2)
        assert not locks.claimed(holder.parent)  # dead, though its parent has not asked yet


def test_an_own_number_that_holds_nothing_is_that_of_a_dead_one(holder: Path) -> None:
    """In a container that is started again every process has its number from before."""
    holder.write_text(f"{HOST} {os.getpid()} {locks._began(os.getpid())} 0123456789abcdef\n")
    assert not locks.claimed(holder.parent)
    lock = locks.claim(holder.parent)
    assert lock is not None
    assert locks.claimed(holder.parent)
    assert locks.claim(holder.parent) is None
    locks.release(lock)


def test_without_hard_links_there_is_one_holder_too(
    holder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refused)
    holder.write_text(DEAD)
    lock = locks.claim(holder.parent)
    assert lock is not None
    assert locks.claim(holder.parent) is None
    assert list(holder.parent.iterdir()) == [holder]
    locks.release(lock)
    assert not list(holder.parent.iterdir())


@pytest.mark.parametrize("mode", ["files", "flock"])
def test_a_sweep_says_which_file_keeps_a_run_from_it(
    holder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """A killed holder on another host is waited for as long as nobody removes it."""
    monkeypatch.setenv(locks.VARIABLE, mode)
    words = {"task": "gaussian-linear", "method": "prior", "preset": "smoke"}
    (run,) = sweep_request(words | {"results": holder.parent}).planned()
    assert isinstance(run, Planned)
    with announced([run], quiet=False) as reports:
        reports.busy(run)
    line = capsys.readouterr().err
    assert "another process does it" in line
    told = f"if none does, remove {run.runner.directory / locks.HOLDER}\n"
    assert line.endswith(told) == (mode == "files")


def test_where_no_lock_can_be_made_it_says_that_it_may_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = os.open

    def refusing(path: Any, flags: int, *given: Any) -> int:
        if flags & os.O_CREAT:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return original(path, flags, *given)

    monkeypatch.setattr(os, "open", refusing)
    with pytest.raises(PermissionError):
        locks.claim(tmp_path)


SHARING = """
import os, signal, subprocess, sys
from pathlib import Path
from cwbench.machine import locks
lock = locks.claim(Path(sys.argv[1]))
child = subprocess.Popen(["sleep", "60"], pass_fds=[lock], stdout=-3, stderr=-3)
locks.share(lock, child.pid)
print(child.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("way", ["files", "flock"])
def test_a_killed_worker_leaves_the_lock_to_its_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """As long as the job lives nobody else writes there; then its file is a dead one's."""
    monkeypatch.setenv(locks.VARIABLE, way)
    killed = subprocess.run(
        [sys.executable, "-c", SHARING, tmp_path], capture_output=True, text=True, check=False
    )
    job = int(killed.stdout)
    try:
        assert locks.claimed(tmp_path)
        assert locks.claim(tmp_path) is None
    finally:
        os.kill(job, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while locks.claimed(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.01)
    lock = locks.claim(tmp_path)
    assert lock is not None
    locks.release(lock)
    assert not (tmp_path / locks.HOLDER).exists()


def test_a_lock_that_is_shared_goes_with_its_release(holder: Path) -> None:
    lock = locks.claim(holder.parent)
    assert lock is not None
    with subprocess.Popen(["sleep", "60"]) as job:
        locks.share(lock, job.pid)
        assert len(holder.read_text().splitlines()) == 2
        assert locks.claimed(holder.parent)
        locks.release(lock)
        assert not holder.exists()
        job.kill()
