"""In many dimensions several distances decide together: none may contradict the one that ranks."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_runs import NOISE, Write, judged, main_cells

import cwbench


def many_dimensions(write: Write, energy: float) -> None:
    """`n` is better than `m` by ew2sq; by the energy distance as given."""
    for seed in range(5):
        for name, shift in (("m", 0.0), ("n", 1.0)):
            ids = {"ew2sq": 5 - shift + 0.1 * NOISE[seed], "energy": energy * shift + NOISE[seed]}
            write(ids, method=name, seed=seed, task_part={"x_shape": [5, 5]})


@pytest.mark.parametrize(("energy", "verdict"), [(-5, "better"), (0, "better"), (5, "no verdict")])
def test_in_many_dimensions_the_distances_must_not_contradict(
    results: Path, write: Write, energy: float, verdict: str
) -> None:
    many_dimensions(write, energy)
    found = cwbench.compare("n", "m", results)
    assert found.verdict.tolist() == [verdict]
    (board,) = judged(results)
    tied = [cell.tied for cell in main_cells(board).values()]
    assert tied == ([True, True] if verdict == "no verdict" else [True, False])


@pytest.mark.parametrize(("side", "verdict"), [(15, "better"), (16, "no verdict")])
@pytest.mark.parametrize("outside", ["energy-white", "complement-error", "ew2sq-leading-10"])
def test_from_256_dimensions_on_what_lies_outside_must_not_contradict(
    results: Path, write: Write, side: int, verdict: str, outside: str
) -> None:
    """`n` is better than `m` by ew2sq and energy, and worse by a distance that never ranks."""
    for seed in range(5):
        for name, shift in (("m", 0.0), ("n", 1.0)):
            ids = dict.fromkeys(("ew2sq", "energy"), 5 - shift + 0.1 * NOISE[seed])
            ids[outside] = 5 * shift + NOISE[seed]
            unranked = {"ranked": {outside: False}}
            write(ids, method=name, seed=seed, task_part={"x_shape": [1, side, side]}, **unranked)
    found = cwbench.compare("n", "m", results)
    assert found.verdict.tolist() == [verdict]
    (board,) = judged(results)
    cells = main_cells(board)
    tied = [cells[name].tied for name in ("n", "m")]
    assert tied == ([True, True] if verdict == "no verdict" else [True, False])
    others = [board.cell(row, board.column(outside)) for row in board.rows]
    assert {cell.rank for cell in others if cell} <= {None}


def test_a_distance_that_one_method_lacks_is_asked_of_the_others(
    results: Path, write: Write
) -> None:
    """By a record from before it was computed, it is not lost for all."""
    for seed in range(5):
        for name, shift in (("m", 0.0), ("n", 1.0), ("old", 2.0)):
            ids = {
                "ew2sq": 5 - shift + 0.1 * NOISE[seed],
                "energy-white": shift + 0.1 * NOISE[seed],
            }
            if name == "old":
                del ids["energy-white"]
            write(ids, method=name, seed=seed, task_part={"x_shape": [20, 20]})
    (board,) = judged(results)
    assert {name: cell.rank for name, cell in main_cells(board).items()} == {
        "old": (1, 1),
        "n": (2, 3),
        "m": (2, 3),
    }
