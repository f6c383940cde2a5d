"""The figures run on odd input without warnings, say what they show, and hide nothing."""

from __future__ import annotations

import io
import itertools

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure

from cwbench.errors import UsageError
from cwbench.reporting.figures import (
    corner,
    flow_paths,
    heat_map,
    metric_against_nfe,
    vote_matrix,
)


def points(n, d, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


def texts(figure):
    """All words of a rendered figure: ticks, labels, titles, legends and notes."""
    figure.savefig(io.BytesIO(), format="png", dpi=40)
    return "\n".join(item.get_text() for item in figure.findobj(mpl.text.Text))


def visible(figure):
    return [ax for ax in figure.axes if ax.axison]


def written(ax):
    """What stands in each cell of a summary, by row and column."""
    return {(int(t.get_position()[1]), int(t.get_position()[0])): t.get_text() for t in ax.texts}


def table(**values):
    rows = [
        {"method": method, "nfe": nfe, "value": v, "low": v - 0.01, "high": v + 0.01, "floor": 0.07}
        for method, by_nfe in values.items()
        for nfe, v in by_nfe.items()
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize("d", [1, 2, 3, 6])
def test_corner_has_a_panel_for_each_pair(d):
    figure = corner(points(300, d), points(400, d, 1), truth=np.zeros(d), title="observation 0")
    assert len(visible(figure)) == d * (d + 1) // 2
    words = texts(figure)
    for word in ["observation 0", "exact posterior", "model", "true x", f"$x_{{{d}}}$"]:
        assert word in words


def test_corner_says_what_it_leaves_out():
    model = points(50, 64)
    model[:3, 5] = np.nan
    words = texts(corner(model, points(100, 64, 1), title="digits"))
    assert "first 6 of 64 coordinates" in words
    assert "3 not finite, not shown" in words
    assert "$x_{7}$" not in words


def test_corner_flattens_images_and_takes_names():
    names = ["a", "b", "c", "d"]
    words = texts(corner(points(9, 4).reshape(9, 2, 2), points(9, 4), names=names, title="t"))
    assert all(f"\n{name}\n" in f"\n{words}\n" for name in names)


@pytest.mark.parametrize(("n", "k"), [(1, 1), (1, 500), (3, 25)])
def test_corner_of_few_samples(n, k):
    texts(corner(points(n, 3), points(k, 3, 1), title="few"))


def test_corner_of_constant_and_proportional_coordinates():
    exact = points(200, 3)
    exact[:, 0] = 0.1
    exact[:, 2] = 2 * exact[:, 1]
    texts(corner(exact + 0.01 * points(200, 3, 1), exact, title="degenerate"))
    texts(corner(np.zeros((30, 2)), np.zeros((30, 2)), title="a point"))


def test_corner_keeps_all_exact_samples_and_most_of_the_models_in_view():
    exact, model = points(500, 1), points(500, 1, 1)
    model[0] = 1e6  # one stray sample must not squeeze the rest into one bin
    low, high = visible(corner(model, exact, title="stray"))[0].get_xlim()
    assert low < exact.min()
    assert exact.max() < high < 20


def test_regions_hold_the_mass_they_claim():
    ax = visible(corner(points(5, 2), points(20_000, 2), title="normal"))[1]
    contours = next(c for c in ax.collections if isinstance(c, ContourSet))
    outer, inner = (
        path.contains_points(points(5_000, 2, 1)).mean() for path in contours.get_paths()
    )
    assert outer == pytest.approx(0.95, abs=0.02)  # the outlines: the hole of the ring counts
    assert inner == pytest.approx(0.5, abs=0.03)


def test_corner_without_a_finite_sample_says_so():
    figure = corner(np.full((5, 2), np.nan), points(5, 2), title="diverged")
    assert "no finite sample" in texts(figure)


def test_corner_refuses_samples_of_another_shape():
    with pytest.raises(UsageError, match="have 2 coordinates, the exact posterior's 3"):
        corner(points(5, 2), points(5, 3), title="t")
    with pytest.raises(UsageError, match="2 names were given for 3"):
        corner(points(5, 3), points(5, 3), names=["a", "b"], title="t")


@pytest.mark.parametrize(
    ("d", "labels"),
    [(1, ["t", "x"]), (2, ["$x_1$", "$x_2$"]), (5, ["principal direction 1 (", "direction 2 ("])],
)
def test_flow_paths_labels_its_axes(d, labels):
    paths = points(11 * 20, d).reshape(11, 20, d)
    words = texts(flow_paths(paths, points(300, d, 1), title="paths of fm"))
    for word in ["paths of fm", "latent", "path, sample", "exact posterior", *labels]:
        assert word in words


@pytest.mark.parametrize(("steps", "n", "k"), [(0, 1, 1), (1, 2, 30), (3, 500, 3)])
@pytest.mark.parametrize("d", [1, 2, 4])
def test_flow_paths_of_odd_sizes(steps, n, k, d):
    paths = points((steps + 1) * n, d).reshape(steps + 1, n, d)
    words = texts(flow_paths(paths, points(k, d, 1), title="t"))
    assert ("100 of 500" in words) == (n == 500)


def test_flow_paths_ends_on_the_samples():
    paths = points(4 * 30, 2).reshape(4, 30, 2)
    ax = flow_paths(paths, points(100, 2), title="t").axes[0]
    assert np.allclose(ax.collections[-1].get_offsets(), paths[-1])
    assert np.allclose(ax.collections[-2].get_offsets(), paths[0])


def test_flow_paths_projects_on_the_exact_posteriors_directions():
    exact = points(2000, 3) * np.array([0.1, 5.0, 1.0])
    paths = np.stack([np.zeros((4, 3)), np.eye(4, 3)])
    ax = flow_paths(paths, exact, title="t").axes[0]
    ends = np.abs(ax.collections[-1].get_offsets() - ax.collections[-2].get_offsets())
    assert np.allclose(ends, [[0, 0], [1, 0], [0, 1], [0, 0]], atol=0.05)


def test_the_ticks_of_the_nfe_figure_stand_apart():
    """Also those of a chain of a thousand calls beside methods that have one or none."""
    data = table(fm={1: 1.0, 3: 0.2, 10: 0.1, "adaptive": 0.05}, npe={None: 0.1},
                 mmps={100: 0.1}, chain={1010: 0.1})  # fmt: skip
    data["method"] = data["method"].replace("chain", "latent-mcmc\n(+ likelihood, 1,000 calls)")
    figure = metric_against_nfe(data, metric="ew2sq", title="gaussian-linear / ladder")
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in figure.axes[0].get_xticklabels()]
    for left, right in itertools.pairwise(boxes):
        assert left.x1 < right.x0


def test_flow_paths_that_diverged_say_so():
    assert "no finite path" in texts(
        flow_paths(np.full((2, 3, 2), np.inf), points(9, 2), title="t")
    )


def test_nfe_figure_carries_its_labels():
    data = table(fm={1: 1.0, 3: 0.2, "adaptive": 0.05}, oracle={None: 0.001})
    figure = metric_against_nfe(data, metric="ew2sq", title="gaussian-mixture")
    words = texts(figure)
    for word in ["gaussian-mixture", "ew2sq", "fm", "oracle", "sampling floor (plug-in",
                 "of two exact draws)", "one\nshot", "adaptive\n(ranked)", "NFE"]:  # fmt: skip
        assert word in words
    ticks = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert ticks == ["one\nshot", "1", "3", "adaptive\n(ranked)"]
    assert figure.axes[0].get_yscale() == "symlog"
    assert "linear below 0.01" in words


def drawn_values(figure):
    lines = figure.axes[0].get_lines()
    return sorted(
        round(float(y), 9) for line in lines if line.get_marker() in tuple("osD^vPX<>*")
        for y in line.get_ydata()
    )  # fmt: skip


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([0.5, 0.4, 0.3], "linear"),
        ([5.0, 0.5, 0.05], "log"),
        ([5.0, 0.5, -0.002], "symlog"),
        ([0.003, 0.0, -0.002], "linear"),
        ([-1.0, -0.5, -2.0], "linear"),
    ],
)
def test_no_value_is_hidden_whatever_its_sign(values, scale):
    data = table(fm=dict(zip([1, 3, 10], values, strict=True))).assign(floor=np.nan)
    figure = metric_against_nfe(data, metric="ew2sq", title="t", main_nfe=3)
    texts(figure)
    ax = figure.axes[0]
    assert ax.get_yscale() == scale
    assert drawn_values(figure) == sorted(values)
    low, high = ax.get_ylim()
    assert low <= data["low"].min()
    assert data["high"].max() <= high


def test_absent_values_are_named_and_nfe_may_be_text():
    data = table(fm={"1": 1.0, "3": 0.5}, gan={None: 0.4}).astype({"nfe": object})
    data.loc[0, ["value", "low", "high"]] = None
    words = texts(metric_against_nfe(data, metric="ew1", title="t"))
    assert "fm\n(no value at NFE 1)" in words
    assert "(ranked)" not in words


def test_a_missing_interval_is_no_reason_to_hide_the_value():
    data = table(fm={1: 1.0}).assign(low=None, high=None, floor=None)
    assert drawn_values(metric_against_nfe(data, metric="ew1", title="t")) == [1.0]


def test_all_values_absent_or_no_rows_gives_an_informative_panel():
    data = table(fm={1: 1.0, 3: 0.5}).assign(value=None, low=None, high=None)
    for rows in (data, data.iloc[:0]):
        words = texts(metric_against_nfe(rows, metric="ew2sq", title="t"))
        assert "no value of ew2sq" in words


def test_one_nfe_and_many_methods():
    methods = {f"method-{i}": {"adaptive": 0.1 * (i + 1)} for i in range(14)}
    words = texts(metric_against_nfe(table(**methods), metric="energy", title="t"))
    assert all(name in words for name in methods)


def test_bad_tables_are_refused():
    with pytest.raises(UsageError, match="lacks high, floor"):
        metric_against_nfe(table(fm={1: 1.0})[["method", "nfe", "value", "low"]],
                           metric="m", title="t")  # fmt: skip
    twice = pd.concat([table(fm={1: 1.0})] * 2)
    with pytest.raises(UsageError, match="'fm' has more than one row at NFE 1"):
        metric_against_nfe(twice, metric="m", title="t")


def test_global_settings_and_pyplot_are_left_alone():
    import matplotlib.pyplot as plt

    before = dict(mpl.rcParams)
    data = table(fm={1: 1.0})
    copy = data.copy()
    figure = metric_against_nfe(data, metric="m", title="t")
    corner(points(30, 2), points(30, 2), title="t")
    assert isinstance(figure, Figure)
    assert dict(mpl.rcParams) == before
    assert plt.get_fignums() == []
    pd.testing.assert_frame_equal(data, copy)


def test_summaries_colour_each_cell_by_its_value_and_leave_absent_ones_free() -> None:
    """Blue to red on a logarithmic scale from 1/34 to 34; what is beyond has the ends' colours."""
    table = pd.DataFrame(
        [[1.0, np.nan], [34.0, 34.0**-0.5], [1e3, -0.1]],
        index=["a", "b", "c"], columns=["s", "t"],
    )  # fmt: skip
    texts = pd.DataFrame(
        [["1.0", ""], ["34", "0.17"], ["1000", "−0.1"]], ["a", "b", "c"], ["s", "t"]
    )
    bold = np.array([[True, False], [False, False], [False, False]])
    ax, bar = heat_map(table, texts, bold=bold, breaks=[2], title="errors").axes
    colours = mpl.colormaps["RdBu_r"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b", "c"]
    assert ax.yaxis_inverted()
    found = {(int(p.get_y()), int(p.get_x())): p.get_facecolor() for p in ax.patches}
    expected = {(0, 0): 0.5, (1, 0): 1.0, (1, 1): 0.25, (2, 0): 1.0, (2, 1): 0.0}
    assert found.keys() == expected.keys()
    for place, value in expected.items():
        assert np.allclose(found[place], colours(value), atol=0.01), place
    assert written(ax) == {
        (0, 0): "1.0", (1, 0): "34", (1, 1): "0.17", (2, 0): "1000", (2, 1): "−0.1",
    }  # fmt: skip
    assert [text.get_text() for text in ax.texts if text.get_fontweight() == "bold"] == ["1.0"]
    assert [line.get_ydata()[0] for line in ax.lines] == [2]
    assert [label.get_text() for label in bar.get_yticklabels()] == [
        "0.03", "0.1", "0.3", "1", "3", "10", "30",
    ]  # fmt: skip


def test_votes_are_written_from_the_row_against_the_column() -> None:
    votes = pd.DataFrame(
        [[None, (2, 1, 0)], [(0, 1, 2), None]], index=["a", "b"], columns=["a", "b"], dtype=object
    )
    (ax,) = vote_matrix(votes, title="votes").axes
    assert written(ax) == {(0, 1): "2–1–0", (1, 0): "0–1–2"}
    won, lost = ({int(p.get_y()): p.get_facecolor() for p in ax.patches}[i] for i in (0, 1))
    assert won[2] > won[0]  # blue
    assert lost[0] > lost[2]  # red
