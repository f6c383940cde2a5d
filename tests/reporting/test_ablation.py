"""The figures of a sweep: what is on the axis, and the values that are drawn."""

from __future__ import annotations

from pathlib import Path

import pytest

import cwbench
from cwbench.errors import UsageError
from cwbench.reporting.ablation import axes, sweep_figures, swept_key
from cwbench.sweeping.file import read
from cwbench.sweeping.request import sweep_request

SWEEPS = sorted((Path(__file__).parents[2] / "sweeps").glob("*.toml"))


def test_the_axis_is_the_one_key_with_several_numbers() -> None:
    assert swept_key([{"a": "1", "b": "x"}, {"a": 2, "b": "y"}, {"a": "auto"}]) == "a"
    assert swept_key([{"a": 1, "b": "x"}, {"a": 1, "b": "y"}]) is None
    with pytest.raises(UsageError, match="a and b"):
        swept_key([{"a": 1, "b": 1}, {"a": 2, "b": 2}])


@pytest.fixture
def words(results):
    return {
        "task": "gaussian-linear", "method": "linear-gaussian,cot-fm", "preset": "smoke",
        "seeds": "0", "nfe": "1,3", "results": results,
        "set": {"method.beta": [0.1, 10], "preset.steps": [20]},
    }  # fmt: skip


def test_values_on_record_are_drawn_where_they_belong(words, results) -> None:
    with pytest.raises(UsageError, match="cwbench sweep"):
        list(sweep_figures(sweep_request(words).planned()))
    values = {}
    for beta in (0.1, 10):
        record = cwbench.run(
            "gaussian-linear", "cot-fm", "smoke", 0, {"beta": beta, "steps": 20}, [1, 3],
            results, figures=False, quiet=True,
        )  # fmt: skip
        values[beta] = {nfe: record.value("ew2sq", nfe=nfe) for nfe in (1, 3)}
    cwbench.run(
        "gaussian-linear", "linear-gaussian", "smoke", 0, {"steps": 20}, None, results,
        figures=False, quiet=True,
    )  # fmt: skip
    ((task, figure),) = sweep_figures(sweep_request(words).planned())
    assert task == "gaussian-linear"
    assert [ax.get_title() for ax in figure.axes] == ["NFE 1", "NFE 3"]
    for ax, nfe in zip(figure.axes, (1, 3), strict=True):
        (curve,) = [
            line for line in ax.lines if len(line.get_xdata()) == 2 and line.get_marker() == "o"
        ]
        assert list(curve.get_xdata()) == [0.1, 10]
        assert list(curve.get_ydata()) == pytest.approx([values[b][nfe] for b in (0.1, 10)])
        assert ax.get_xscale() == "log"


@pytest.mark.parametrize("file", SWEEPS, ids=lambda path: path.stem)
def test_ready_sweeps_can_be_carried_out(file, results) -> None:
    keys = ["task", "method", "preset", "seeds", "nfe", "metrics"]
    content = read(file, [*keys, "set"])
    runs = sweep_request(content | {"results": results}).planned()
    assert len(runs) >= 9
    axes(runs)
