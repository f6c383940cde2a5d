"""Encodings without our letters: the answer is there, with others in their place."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cwbench.machine.terminals import writable

ENCODINGS = ["latin-1", "cp1252", "koi8-r", "ascii", "utf-8"]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_any_text_is_written(encoding: str) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, errors="strict")
    writable(stream)
    stream.write("── 0.1 ± 0.2 漢 β \ud800 \udcff\n")
    stream.flush()
    found = raw.getvalue()
    text = found.decode(encoding, errors="replace")
    assert text.startswith(("── 0.1", "-- 0.1"))
    assert text.partition("0.1 ")[2].startswith(("± 0.2", "+- 0.2"))
    assert found.endswith(b" \xff\n")  # the byte of a file's name


@pytest.mark.parametrize("encoding", ["koi8-r"])
def test_the_program_tells_its_tables(store: Callable[..., Path], encoding: str) -> None:
    store()
    done = subprocess.run(
        [sys.executable, "-m", "cwbench", "leaderboard"], capture_output=True, check=False,
        env=os.environ | {"PYTHONIOENCODING": encoding},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert b"+-" in done.stdout
