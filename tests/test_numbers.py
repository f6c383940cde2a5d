"""The committed table of versions, source hashes and `smoke` values: no number moves unseen."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from cwbench import registry
from results.numbers import (
    ROOT,
    SAME,
    Row,
    close,
    kept,
    measured,
    moves,
    read_table,
    unseen,
    write_table,
)
from results.sources import Tree, dumped, hashes

ACROSS = 0.01
"""Share of its size by which a number may differ on another processor.

Measured between AVX2 and PyTorch, MKL and oneDNN held to SSE: .0012 at most (`sinkhorn-fm`).
"""

ACROSS_TRAINED = 0.7
"""The same on `digits`, whose features are a classifier's that is trained on the spot.

Measured: .35, in a kernel distance near 0, whose size is that of its floor.
"""

COMMAND = "python -m results.numbers"


def test_every_change_of_sources_raised_a_version_or_was_proven_to_move_nothing() -> None:
    table, present = read_table(), hashes()
    assert set(table) == set(present), f"built-ins came or went; type: {COMMAND}"
    versions = {key: registry.load(*key).cls.info.version for key in present}  # type: ignore[arg-type]  # (kind, name)
    risen = [" ".join(key) for key in present if table[key].version != versions[key]]
    assert not risen, f"versions rose of {risen}; type: {COMMAND}"
    changed = [" ".join(key) for key in present if table[key].sources != present[key]]
    assert not changed, f"sources changed of {changed}; type: {COMMAND}"


@pytest.mark.slow
def test_the_numbers_are_those_of_the_table() -> None:
    table, present = read_table(), measured(ROOT)
    far = [
        f"{' '.join(key)}: {label} {row.values[label]} -> {present[key].values.get(label)}"
        for key, row in table.items()
        for label in row.values
        if label not in present[key].values
        or not close(row.values, present[key].values, label, across(label))
    ]
    assert not far


def across(label: str) -> float:
    return ACROSS_TRAINED if "digits" in label.split() else ACROSS


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A checkout of eight modules, by hand."""
    files = {
        "cwbench/__init__.py": "from cwbench.unrelated import nothing\n__version__ = '1'\n",
        "cwbench/unrelated.py": "nothing = 0\n",
        "cwbench/base.py": "import cwbench\nfrom cwbench.ot import distance\n",
        "cwbench/ot/__init__.py": "from cwbench.ot.far import far\nfrom .near import distance\n",
        "cwbench/ot/near.py": "def distance():\n    from cwbench import late\n    return late.x\n",
        "cwbench/ot/far.py": "far = 1\n",
        "cwbench/late.py": (
            "from typing import TYPE_CHECKING\n"
            "if TYPE_CHECKING:\n    from cwbench.unrelated import nothing\n"
            "x = 1\n"
        ),
        "tasks/cwbench_tasks/one.py": "import torch\nfrom cwbench import base\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_imports_are_followed_through_faces_and_into_functions(tree: Path) -> None:
    assert Tree(tree).closure(["cwbench_tasks.one"]) == {
        "cwbench_tasks.one", "cwbench.base", "cwbench.ot.near", "cwbench.late",
    }  # fmt: skip


def test_a_hash_changes_with_what_is_imported_and_with_nothing_else(tree: Path) -> None:
    def digest() -> str:
        return Tree(tree).digest(["cwbench_tasks.one"])

    before = digest()
    (tree / "cwbench/unrelated.py").write_text("nothing = 5\n")
    (tree / "cwbench/ot/far.py").write_text("far = 5\n")
    (tree / "cwbench/base.py").write_text(
        '"""Said."""\nimport cwbench  # why\n\n\nfrom cwbench.ot import (\n    distance,\n)\n'
    )
    assert digest() == before
    (tree / "cwbench/late.py").write_text("x = 2\n")
    assert digest() != before


def test_docstrings_do_not_count_and_strings_that_are_used_do() -> None:
    def text(source: str) -> str:
        return dumped(ast.parse(source))

    plain = text("def f(a):\n    return a + 'x'")
    assert text('def f(a):  # why\n    """Says."""\n    return (a\n        + "x")') == plain
    assert text("def f(a):\n    return a + 'y'") != plain
    assert text("def f(b):\n    return b + 'x'") != plain


def test_a_trainer_counts_for_methods_and_judging_for_all() -> None:
    tree = Tree(ROOT)
    trainer = tree.closure(tree.within(("cwbench.judging", "cwbench.training")))
    assert "cwbench.training.context" in trainer
    assert "cwbench.judging.by_observation" in trainer
    assert not {name for name in trainer if name.startswith(("cwbench.running", "cwbench.cli"))}


def row(version: int = 1, sources: str = "a", **values: float) -> Row:
    return Row(version, sources, {name.replace("_", " ", 2): v for name, v in values.items()})


def test_a_number_that_moved_is_named_unless_a_version_rose_that_it_depends_on() -> None:
    key = ("method", "fm")
    moved = {key: row(fm_moons_ew2sq=1 + 1e-5)}
    before = {key: row(fm_moons_ew2sq=1.0)}
    assert moves(before, {key: row(fm_moons_ew2sq=1 + SAME / 2)}) == []
    assert moves(before, moved) == ["method fm: fm moons ew2sq 1.0 -> 1.00001"]
    assert moves(before, {key: row()}) == ["method fm: fm moons ew2sq 1.0 -> None"]
    assert moves(before, {key: row(version=2, fm_moons_ew2sq=5.0)}) == []
    metric = ("metric", "ew2sq")
    assert moves({**before, metric: row()}, {**moved, metric: row(version=2)}) == []


def test_a_value_near_0_is_as_large_as_its_plug_in_or_its_floor() -> None:
    """On a processor with AVX-512 the second moved by .048, a third of its floor."""
    run = "knn digits kd"
    for part, size in (("plug_in", 0.5), ("floor", -0.146)):
        then, now = {run: 0.028, f"{run} {part}": size}, {run: -0.020, f"{run} {part}": size}
        assert close(then, now, run, 0.35)
        assert not close(then, now, run, 0.05)
    large = {f"{run} plug_in": 0.5, f"{run} floor": 5.0}
    assert not close({run: 0.028} | large, {run: -0.020} | large, run, 0.05)


def test_only_changed_sources_under_one_version_have_to_be_proven() -> None:
    assert unseen(row(sources="a"), row(sources="b"))
    assert not unseen(row(sources="a"), row(sources="a"))
    assert not unseen(row(1, "a"), row(2, "b"))


def test_a_debiased_number_near_zero_is_as_large_as_its_plug_in() -> None:
    a, b = {"m t e": 1e-9, "m t e plug_in": 1.0}, {"m t e": 3e-9, "m t e plug_in": 1.0}
    assert close(a, b, "m t e", 1e-6)
    assert not close({"m t e": 1e-9}, {"m t e": 3e-9}, "m t e", 1e-6)


def test_numbers_that_did_not_move_keep_their_digits_on_paper(tmp_path: Path) -> None:
    key = ("task", "moons")
    known = {key: row(sources="a", knn_moons_ew2sq=1.0)}
    rows = kept(known, {key: row(sources="b", knn_moons_ew2sq=1 + 1e-8)})
    assert rows == {key: row(sources="b", knn_moons_ew2sq=1.0)}
    write_table(rows, tmp_path / "numbers.csv")
    assert read_table(tmp_path / "numbers.csv") == rows
