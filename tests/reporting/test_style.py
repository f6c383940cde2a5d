"""The look of all figures is seaborn's, without its import."""

from __future__ import annotations

import subprocess
import sys

import matplotlib as mpl
import seaborn as sns

from cwbench.style import LOOK, PALETTE, style

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
