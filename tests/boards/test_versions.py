"""Records of an older version are marked wherever they are shown."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import Result

import cwbench
from cwbench import registry
from cwbench.boards import versions
from cwbench.boards.gathering import boards
from cwbench.boards.page import page
from cwbench.boards.versions import MARK
from cwbench.records.shipped import YOURS, Source

Write = Callable[..., Path]
NOISE = np.random.default_rng(0).normal(size=(3, 40))
NOW = {("method", "m"): 3, ("task", "u"): 2, ("metric", "energy"): 2}


@pytest.mark.parametrize("plugin", registry.plugins(), ids=lambda each: f"{each.kind}-{each.name}")
def test_the_source_says_the_version_of_the_class(plugin: registry.Plugin) -> None:
    assert versions.installed(plugin.kind, plugin.name) == plugin.load().info.version


SOURCE = """
from elsewhere import Info, made
from cwbench.metric import MetricInfo as Other

def declared(name, *, version=4, title=""):
    return Info(name=name, version=version, title=title)

def fixed(name):
    return Info(name=name, version=5)

class Plain: info = Info(name="a", version=2)
class Annotated: info: Info = Info(version=3)
class Default: info = declared("a")
class Given: info = declared("a", version=6)
class Fixed: info = fixed("a")
class Heir(Plain): pass
class Unknown: info = made("a")
class Computed: info = Info(version=1 + 1)
"""


def test_what_a_source_says_and_what_it_does_not(tmp_path: Path) -> None:
    (tmp_path / "plugin.py").write_text(SOURCE)
    module = versions.Module(tmp_path / "plugin.py")
    names = ("Plain", "Annotated", "Default", "Given", "Fixed", "Heir", "Unknown", "Computed", "No")
    found = [versions._in_class(module, name) for name in names]
    assert found == [2, 3, 4, 6, 5, 2, None, None, None]
    assert versions.installed("method", "of-nobody") is None


@pytest.fixture
def old(monkeypatch: pytest.MonkeyPatch, write: Write) -> None:
    """`m` is of version 1 and of 2 where 3 is installed; `n`, never registered, beside it."""
    monkeypatch.setattr(versions, "installed", lambda kind, name: NOW.get((kind, name)))
    for seed in range(3):
        ids = {"ew2sq": NOISE[seed] + 5, "energy": NOISE[seed]}
        write(ids, seed=seed)
        write(ids, method="n", seed=seed)
        write(ids, task="u", method="n", seed=seed)


LINE = "of an older version than is installed: "


def shown(cli: Callable[..., Result], results: Path, form: str) -> str:
    done = cli("leaderboard", "--results", results, "--format", form, "--sort", "energy")
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize("form", ["table", "md"])
def test_tables_mark_them(cli: Callable[..., Result], results: Path, old: None, form: str) -> None:
    text = shown(cli, results, form)
    assert f"m{MARK}" in text
    assert f"n{MARK}" not in text
    assert f"energy{MARK}" in text
    assert f"u / quick{MARK}" in text
    assert f"{MARK} {LINE}energy 1 (now 2), m 1 (now 3)" in text
    assert f"{MARK} {LINE}u 1 (now 2), energy 1 (now 2)" in text


def test_latex_marks_them(cli: Callable[..., Result], results: Path, old: None) -> None:
    text = shown(cli, results, "latex")
    assert "m$^\\dagger$ &" in text
    assert f"$^\\dagger$ {LINE}energy 1 (now 2), m 1 (now 3)." in text
    assert MARK not in text


def test_csv_json_and_python_say_so(cli: Callable[..., Result], results: Path, old: None) -> None:
    table = pd.read_csv(io.StringIO(shown(cli, results, "csv")), keep_default_na=False)
    told = {(r.task, r.method, r.metric): r.older for r in table.itertuples()}
    assert told["t", "n", "ew2sq"] == ""
    assert told["t", "m", "ew2sq"] == "m 1 (now 3)"
    assert told["u", "n", "energy"] == "u 1 (now 2), energy 1 (now 2)"
    assert cwbench.leaderboard(results).older.tolist() == table.older.tolist()
    assert '"older": "m 1 (now 3)"' in shown(cli, results, "json")


def test_the_page_is_told(results: Path, old: None, monkeypatch: pytest.MonkeyPatch) -> None:
    packed: list[dict[str, list[dict[str, list[dict[str, str]]]]]] = []
    monkeypatch.setattr("cwbench.boards.page._packed", lambda data: packed.append(data) or "")
    page(boards([Source(results, YOURS)], metrics=None).boards, [])
    first, second = packed[0]["boards"]
    assert {row["label"]: row["older"] for row in first["rows"]} == {"m": "m 1 (now 3)", "n": ""}
    assert {column["older"] for column in first["columns"]} == {"", "energy 1 (now 2)"}
    assert (first["older"], second["older"]) == ("", "u 1 (now 2)")


def test_compare_says_so(results: Path, old: None) -> None:
    assert cwbench.compare("m", "n", results).reason.tolist() == [f"{LINE}m 1 (now 3)"]
