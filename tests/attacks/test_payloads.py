"""Texts in records that terminals obey, spreadsheets compute or nobody can read: shown, never more.

24 payloads stand in every text of a record that is shown somewhere, and in its log; each output is
searched for what a terminal would obey, for cells that a spreadsheet would compute, and for lines
that are too long.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attacks.counts import Attack, Counts
from click.testing import CliRunner
from conftest import ENTRY, METHOD_PART, TASK_PART

from cwbench.cli.main import main

PAYLOADS = {
    "bell": "\a", "backspace": "a\b\b\b", "escape": "\x1b", "clear": "\x1b[2J\x1b[H",
    "colour": "\x1b[31mred\x1b[0m", "title": "\x1b]0;owned\x07", "clipboard": "\x1b]52;c;bHM=\x07",
    "link": "\x1b]8;;http://x\x1b\\here\x1b]8;;\x1b\\", "c1": "\x9b31mred", "return": "safe\rfake",
    "null": "a\x00b", "delete": "a\x7f", "override": "\u202egpj.exe", "isolate": "\u2066a\u2069",
    "mark": "\u200fabc", "embedding": "\u202aabc\u202c", "separator": "a\u2028b", "surrogate":
    "\ud800", "formula": "=cmd|' /C calc'!A0", "plus": "+1+1", "minus": "-1+1", "at": "@SUM(1)",
    "long": "x" * 5_000, "huge": "y" * 10_000_000,
}  # fmt: skip

OBEYED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""What no output holds."""
LONGEST = 30_000
"""Characters of a line of any output; JSON tells whole what a record may hold, 20,000."""

OUTPUTS = (
    "leaderboard", "leaderboard --format md", "leaderboard --format csv",
    "leaderboard --format json", "leaderboard --format latex", "status", "status --json",
    "logs RUN", "why RUN", "why RUN --json", "compare m n", "verify RUN",
)  # fmt: skip


def infected(results: Path, payload: str) -> Path:
    """Two runs with the payload wherever a text of a record is shown, one of which failed."""
    directory = Path()
    for seed, (method, status) in enumerate([("m", "ok"), ("n", "ok"), ("m", "failed")]):
        short = payload[:6_000]
        part = {"changed": {short: payload}, "distribution": short, "role": "method"}
        content: dict[str, Any] = {
            "schema": 1, "run_id": f"{'a' * 16}-{seed}", "fit_key": "a" * 64, "status": status,
            "error": payload if status == "failed" else None,
            "task": TASK_PART | part | {"group": short, "role": ""},
            "method": METHOD_PART | part | {"name": method}, "preset": "smoke",
            "preset_values": {short: short}, "settings": {short: short}, "track": "fixed",
            "seed": seed, "metrics": {"ew2sq@nfe=10": ENTRY}, "diagnostics": {short: short},
            "cost": {}, "environment": {"platform": short}, "files": {},
            "started": "2025-01-01T00:00:00+00:00", "finished": "2025-01-01T00:00:01+00:00",
        }  # fmt: skip
        directory = results / "runs" / "t" / method / "smoke" / ("a" * 16) / f"seed-{seed}"
        directory.mkdir(parents=True)
        (directory / "record.json").write_text(json.dumps(content))
        (directory / "log.txt").write_bytes(payload.encode(errors="surrogatepass"))
    return directory


def counted(output: str, name: str) -> dict[str, int]:
    """What fell in an output."""
    obeyed = OBEYED.search(output) is not None
    computed = "csv" in name and any(
        cell.startswith(("=", "+", "@", "-")) and not _is_number(cell)
        for row in csv.reader(io.StringIO(output))
        for cell in row
    )
    long = max(map(len, output.splitlines()), default=0) > LONGEST and "csv" not in name
    return {"wrong": int(obeyed or computed or long)}


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def payloads(place: Path, n: int) -> Counts:
    """n payloads in every output."""
    counts, before = Counts(), os.environ.get("CWBENCH_RESULTS")
    try:
        for name, payload in list(PAYLOADS.items())[-n:]:
            results = place / name
            directory = infected(results, payload)
            os.environ["CWBENCH_RESULTS"] = str(results)
            for words in OUTPUTS:
                arguments = [str(directory) if a == "RUN" else a for a in words.split()]
                arguments += ["--results", str(results)] * ("RUN" not in words)
                done = CliRunner().invoke(main, arguments)
                crashed = done.exception is not None and not isinstance(done.exception, SystemExit)
                counts += Counts(1, crashed=int(crashed), **counted(done.output, words))
    finally:
        os.environ.pop("CWBENCH_RESULTS")
        if before is not None:
            os.environ["CWBENCH_RESULTS"] = before
    return counts


ATTACKS = [Attack("payloads in records, by output", payloads, len(PAYLOADS))]


@pytest.mark.parametrize("name", ["clear", "formula"])
def test_a_payload_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, cli: Callable[..., Any]
) -> None:
    monkeypatch.setattr("attacks.test_payloads.PAYLOADS", {name: PAYLOADS[name]})
    assert payloads(tmp_path, 1) == Counts(len(OUTPUTS))


@pytest.mark.attacks
def test_in_full(tmp_path: Path) -> None:
    assert payloads(tmp_path, len(PAYLOADS)) == Counts(len(PAYLOADS) * len(OUTPUTS))
