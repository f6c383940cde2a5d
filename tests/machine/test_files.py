"""Files are whole or absent, whatever fails."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from cwbench.errors import UsageError
from cwbench.machine.files import writable_directory, write_atomically


def test_content_arrives_with_the_users_permissions(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    before = os.umask(0o027)
    try:
        write_atomically(path, b"content")
    finally:
        os.umask(before)
    assert path.read_bytes() == b"content"
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_failure_keeps_the_old_file_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fails(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, fails)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new" * 1000)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_interruption_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "file", b"new")
    assert list(tmp_path.iterdir()) == []


def test_full_device_is_an_os_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")
    original = Path.open
    monkeypatch.setattr(Path, "open", lambda self, mode: original(full, "wb"))
    with pytest.raises(OSError, match="No space left"):
        write_atomically(tmp_path / "file", b"new")
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


def test_writable_directory_is_made_and_left_empty(tmp_path: Path) -> None:
    directory = writable_directory(tmp_path / "a" / "b")
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize("inner", ["", "runs/deeper"])
def test_a_file_in_the_place_of_the_results_directory(tmp_path: Path, inner: str) -> None:
    (tmp_path / "results").write_text("mine")
    with pytest.raises(UsageError, match=r"cannot be written: .*--results DIR"):
        writable_directory(tmp_path / "results" / inner)
    assert (tmp_path / "results").read_text() == "mine"
