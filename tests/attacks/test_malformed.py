"""Records that are no records: one never stops a reader, and what is skipped is named.

They are generated from the schema: every field is left out, or holds something that it must not,
and every reader that works on a directory of records is called in this process.
"""

from __future__ import annotations

import copy
import json
import os
import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attacks.counts import Attack, Counts, Hung, limited
from attacks.test_payloads import page_data
from click.testing import CliRunner
from made_runs import write_run

from cwbench.cli.main import main

SECONDS = 60
"""Of a reader; a busy machine takes its time."""
ABSENT = object()
HUGE = "7" * 400
RAW: dict[Any, str] = {
    "a NaN": "NaN", "400 digits": HUGE, "1e999": "1e999", "a lone surrogate": '"\\ud800"',
}  # fmt: skip
"""What stands in the file as it is: no JSON that Python writes."""
BAD: dict[str, Any] = {
    "absent": ABSENT, "null": None, "a list": [[1]], "a text": "x", "a number": -3,
    "an escape": "\x1b[31mred\x1b[0m\u202e", "mathematics": "$\\frac{$", "10 MB": "A" * 10**7,
    "a path": "../../../../t.py:T",
}  # fmt: skip
KINDS = (*BAD, *RAW)

READERS: dict[str, tuple[str, ...]] = {
    "table": ("leaderboard", "--results", "{}"),
    "md": ("leaderboard", "--results", "{}", "--format", "md"),
    "csv": ("leaderboard", "--results", "{}", "--format", "csv"),
    "json": ("leaderboard", "--results", "{}", "--format", "json"),
    "latex": ("leaderboard", "--results", "{}", "--format", "latex"),
    "html": ("leaderboard", "--results", "{}", "--format", "html"),
    "compare": ("compare", "honest", "honest-2", "--results", "{}"),
    "status": ("status", "--results", "{}"),
    "verify": ("verify", "{}", "--no-fresh"),
    "prune": ("prune", "--dry-run", "--results", "{}"),
}  # fmt: skip
QUICK = ("table", "csv", "json", "compare", "status", "verify")
FIGURES = ("leaderboard", "--results", "{}", "--figures", "{}/drawn")


def fields(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The places in a record, its parts too."""
    if path:
        yield path
    for key, part in value.items() if isinstance(value, dict) else ():
        yield from fields(part, (*path, key))


def malformed(content: dict[str, Any], path: tuple[str, ...], kind: str) -> str:
    """The text of a record with something else in one field."""
    changed = copy.deepcopy(content)
    part = changed
    for key in path[:-1]:
        part = part[key]
    if BAD.get(kind) is ABSENT:
        del part[path[-1]]
    else:
        part[path[-1]] = BAD.get(kind, "RAW")
    return json.dumps(changed).replace('"RAW"', RAW.get(kind, ""))


def two_honest(results: Path) -> dict[str, Any]:
    """Two methods that can be compared; the content of a record like theirs."""
    for method in ("honest", "honest-2"):
        for seed in range(3):
            values = [1.0 + 0.1 * seed, 2.0, 3.0 + seed]
            write_run(results, {"ew2sq": values}, method=method, seed=seed)
    place = write_run(results, {"ew2sq": [1.0, 2.5, 3.0]}, method="other")
    content: dict[str, Any] = json.loads((place / "record.json").read_text())
    shutil.rmtree(place)
    return content


def attacked(place: Path, path: tuple[str, ...], readers: dict[str, tuple[str, ...]]) -> Counts:
    """One field of as many records as there are kinds; every reader reads them all at once."""
    results = place / "results"
    content = two_honest(results)
    for number, kind in enumerate(KINDS):
        there = results / "runs" / "t" / "other" / "quick" / f"{number:016x}" / "seed-0"
        there.mkdir(parents=True)
        (there / "record.json").write_text(malformed(content, path, kind))
    total = Counts()
    for reader in readers:
        called = [part.format(results) for part in readers[reader]]
        try:
            with limited(SECONDS):
                total += judged(reader, CliRunner().invoke(main, called, color=True))
        except Hung:
            total += Counts(tried=len(KINDS), hung=1)
    shutil.rmtree(place)
    return total


def judged(reader: str, done: Any) -> Counts:
    """What came of one call: a crash, or an answer without what is honest, or with an escape."""
    failed = done.exception is not None and not isinstance(done.exception, SystemExit)
    assert not done.output.startswith("Usage:"), done.output
    crashed = failed or "Traceback" in done.output
    lost = not crashed and reader != "prune" and not both_named(reader, done.stdout)
    obeyed = "\x1b[31m" in done.output or "\u202e" in done.output
    return Counts(
        tried=len(KINDS), lost=int(lost), wrong=int(obeyed or len(done.output) > 3 * 10**6),
        crashed=int(crashed),
    )  # fmt: skip


def both_named(reader: str, told: str) -> bool:
    """Whether both honest methods are there: the name of one is a part of the other's."""
    if reader == "html":
        told = json.dumps(page_data(told))
    return {*re.findall(r"(?<![\w-])honest(?:-2)?(?![\w-])", told)} == {"honest", "honest-2"}


def attack(place: Path, n: int, readers: dict[str, tuple[str, ...]] | None = None) -> Counts:
    """All kinds in n fields, before every reader."""
    paths = list(fields(two_honest(place / "first")))
    order = random.Random(1)  # noqa: S311 - no secret
    total = Counts()
    for path in order.sample(paths, min(n, len(paths))):
        total += attacked(place / "next", path, readers or READERS | {"figures": FIGURES})
    return total


ATTACKS = (Attack("malformed records", attack, 10**6),)


@pytest.mark.parametrize(
    "n", [2, pytest.param(10**6, marks=pytest.mark.attacks)], ids=["twin", "full"]
)
def test_no_malformed_record_stops_a_reader(tmp_path: Path, n: int) -> None:
    readers = {name: READERS[name] for name in QUICK} if n < 10 else None
    counts = attack(tmp_path, n, readers)
    assert counts == Counts(tried=counts.tried)


def test_what_is_skipped_is_named(tmp_path: Path) -> None:
    content = two_honest(tmp_path)
    place = tmp_path / "runs" / "t" / "other" / "quick" / ("0" * 16) / "seed-0"
    place.mkdir(parents=True)
    (place / "record.json").write_text(malformed(content, ("metrics", "ew2sq", "value"), "a text"))
    done = CliRunner().invoke(main, ["leaderboard", "--results", str(tmp_path)])
    assert str(place / "record.json") in done.output


def test_a_directory_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest is shown; the superuser, who runs tests in containers, reads everything."""
    two_honest(tmp_path)
    closed, scandir = str(tmp_path / "runs" / "t" / "honest-2"), os.scandir

    def refusing(place: str) -> Any:
        if place == closed:
            raise PermissionError(13, "Permission denied", place)
        return scandir(place)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.warns(UserWarning, match=r"skipped: .*honest-2 cannot be read"):
        done = CliRunner().invoke(main, ["leaderboard", "--results", str(tmp_path)])
    assert done.exit_code == 0
    assert re.search(r"(?<![\w-])honest(?![\w-])", done.stdout)
    assert "honest-2" not in done.stdout
