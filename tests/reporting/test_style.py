"""The look of all figures is seaborn's, without its import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import pytest
import seaborn as sns
from matplotlib.figure import Figure

from cwbench.style import LOOK, PALETTE, saved, style

SMALL_TICKS = {
    "axes.linewidth": 0.8, "xtick.major.size": 3, "ytick.major.size": 3,
    "xtick.major.width": 0.8, "ytick.major.width": 0.8,
}  # fmt: skip


def test_the_look_is_seaborns() -> None:
    theirs = sns.axes_style("ticks", SMALL_TICKS) | sns.plotting_context("paper", rc=SMALL_TICKS)
    theirs.pop("image.cmap")  # every picture names its own
    assert theirs == LOOK
    assert list(sns.color_palette("colorblind")) == PALETTE


def test_a_style_outlives_no_figure() -> None:
    before = dict(mpl.rcParams)
    with style():
        assert mpl.rcParams["text.color"] == ".15"
    assert dict(mpl.rcParams) == before


def test_the_page_of_boards_imports_neither_seaborn_nor_all_of_scipy_stats() -> None:
    heavy = ["seaborn", "scipy.stats", "torch"]
    code = f"import sys, cwbench.boards.page; print(*set({heavy}) & {{*sys.modules}})"
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, check=True, capture_output=True, text=True)
    assert done.stdout.split() == []


def test_a_figure_is_written_under_a_name_that_systems_take(tmp_path: Path) -> None:
    """Whole, or not at all: what stood there stays."""
    long = [f"board ../x.py:T {end} ä" * 40 for end in ("a", "b")]
    paths = [saved(Figure(), tmp_path / "new", name) for name in ("a b=1", *long)]
    assert paths[0].name == "a-b=1.png"
    assert len({*paths}) == len([*(tmp_path / "new").iterdir()]) == 3
    assert all(len(path.name.encode()) < 230 and path.parent.name == "new" for path in paths)
    assert paths[0].read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="savefig"), pytest.MonkeyPatch.context() as patched:
        patched.setattr(Figure, "savefig", raising)
        saved(Figure(), tmp_path / "new", "a b=1")
    assert paths[0].read_bytes().startswith(b"\x89PNG")


def raising(*_: object, **__: object) -> None:
    raise ValueError("savefig")
