"""Boards: what may be compared with each other, and what came of it.

A board is a task (with its version, settings and data), a preset (with its values) and a track. Its
rows are fits that differ in nothing but the seed, its columns a metric (with its version) at an
NFE. Whatever differs in anything else stands on another board or in another column: such numbers
never meet. Samplers without NFE stand in every column of their metric, ranked by the number of
calls that they are judged at (`cwbench.boards.calls`).

A cell holds the values of all seeds at all observations. One with a bad or missing seed shows the
others, and ranks below every cell that is complete; nothing is imputed. Controls bound the scale
and are not ranked, nor are methods with fewer than three seeds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, cast

import numpy as np

from cwbench.boards import calls
from cwbench.boards.cells import Array, Cell, Cells, Codes
from cwbench.boards.moderation import Moderated, moderated
from cwbench.boards.row import Row
from cwbench.boards.statistics import LEAST_SEEDS, Direction
from cwbench.boards.versions import MARK, explained, older
from cwbench.dimensions import judged_together
from cwbench.records.facts import POSTERIOR_VARIANCE
from cwbench.records.measured import Kind
from cwbench.records.record import from_file, method_label
from cwbench.records.tables import GAUSSIAN_GAP, LEAST_GAP


class Column(NamedTuple):
    """A metric at an NFE; empty `nfe` where no sampler on the board has one."""

    metric: str
    nfe: str
    version: int
    n_observations: int
    n_samples: int
    source: str = ""
    """The first digits of the hash of a metric's file: another once it is edited."""

    @property
    def name(self) -> str:
        """`ew2sq@nfe=10`, as in a record."""
        return f"{self.metric}@nfe={self.nfe}" if self.nfe else self.metric

    @property
    def older(self) -> str:
        """As of a row, of the metric."""
        return older("metric", self.metric, self.version)

    @property
    def order(self) -> tuple[Any, ...]:
        """By metric, then NFE with the adaptive solver last."""
        number = float(self.nfe) if self.nfe.isdigit() else math.inf
        return (self.metric, number, self.nfe, self.version, *self[3:])


@dataclass(frozen=True)
class Spread:
    """Moderated variances between seeds by the places of rows, NaN where not moderated."""

    found: Moderated
    among: Codes
    """With how many each is moderated, itself among them."""

    @classmethod
    def within(cls, pools: Iterable[Codes], means: Array) -> Spread:
        """Those within each pool of places, from the means by seed of all rows."""
        found = Moderated(*np.full((2, len(means)), np.nan))
        among = np.zeros(len(means), np.int64)
        for pool in pools:
            for every, part in zip(found, moderated(means[pool]) or (), strict=False):
                every[pool], among[pool] = part, len(pool)
        return cls(found, among)

    def of(self, rows: Sequence[Row]) -> Moderated | None:
        """Those of some rows, None unless all of them have one."""
        wanted = [row.place for row in rows]
        if not self.among[wanted].all():
            return None
        return Moderated(*(every[wanted] for every in self.found))

    def count(self, rows: Iterable[Row]) -> int:
        """How many methods moderate those of some rows."""
        return sum({row.apart: int(self.among[row.place]) for row in rows}.values())


@dataclass
class Board:
    """A task, preset and track with its rows, columns and cells."""

    task: Mapping[str, Any]
    preset: str
    track: str
    title: str
    rows: list[Row]
    columns: dict[Column, Kind]
    """With how the metric is to be read."""
    cells: dict[Column, Cells]
    """With a place for each row, also for those that are not shown."""
    pools: Sequence[Codes]
    """The places of methods ranked at the same calls, also not shown; controls are not trained."""
    spreads: dict[Column, Spread] = field(default_factory=dict)
    controls: dict[str, Codes] = field(default_factory=dict)
    """The places of those that others are measured by, also where they are not shown."""
    longer: dict[int, Row] = field(default_factory=dict)
    """By the place of a row its runs at four times the steps, which are not shown."""
    shared_fits: Mapping[str, float] = field(default_factory=dict)
    """Seconds that took what several runs share, by what it is, also of rows that are not shown."""

    @property
    def name(self) -> str:
        """`task / preset`, with the track where it is not the fixed one."""
        return f"{self.title} / {self.preset}" + (f" / {self.track}" * (self.track != "fixed"))

    @cached_property
    def older(self) -> str:
        """As of a row, of the task."""
        if from_file(self.task):
            return ""
        return older("task", self.task["name"], self.task["version"])

    @property
    def marked(self) -> str:
        """The name, marked where the task is of an older version."""
        return self.name + MARK * bool(self.older)

    def explained(self, columns: Iterable[Column]) -> str:
        """What is marked where these columns are shown, a line; else empty."""
        shown = [*(column.older for column in columns), *(row.older for row in self.rows)]
        return explained([self.older, *shown])

    @property
    def group(self) -> str:
        """The task group that has one vote."""
        return str(self.task["group"] or self.task["name"])

    @cached_property
    def gaussian_gap(self) -> float | None:
        """How far posteriors are from Gaussian, as runs measured it; None where none did."""
        return self._fact(GAUSSIAN_GAP)

    @cached_property
    def posterior_variance(self) -> float | None:
        """The mean of tr Cov(posterior) over observations, as runs measured it; None likewise."""
        return self._fact(POSTERIOR_VARIANCE)

    def _fact(self, name: str) -> float | None:
        """A fact of the task that each run measured: the median, which an odd run does not move."""
        facts = (run.content["diagnostics"] for row in self.rows for run in row.runs)
        found = [fact[name] for fact in facts if name in fact]
        numbers = [number for number in found if isinstance(number, float | int)]
        return float(np.median(numbers)) if numbers else None

    @property
    def nearly_gaussian(self) -> bool:
        """Whether two moments are nearly the answer: such a task has no vote."""
        return self.gaussian_gap is not None and self.gaussian_gap < LEAST_GAP

    @property
    def remark(self) -> str:
        """What has to be known of a task whose verdicts do not count across tasks, else empty."""
        if not self.nearly_gaussian:
            return ""
        return (
            f"nearly Gaussian: the gap is {self.gaussian_gap:.3f}, below {LEAST_GAP:.2f}; two "
            "moments are nearly the answer, and the task has no vote"
        )

    @property
    def dimension(self) -> int | None:
        """Of x."""
        return dimension_of(self.task)

    @property
    def distances(self) -> tuple[str, ...]:
        """Those shown and judged together: a verdict needs that none contradicts another."""
        return judged_together(self.dimension)

    @property
    def together(self) -> bool:
        """Whether a verdict needs several distances that do not contradict each other."""
        return bool(self.distances)

    @property
    def main_metric(self) -> str:
        """The one that ranks."""
        return str(self.task.get("main_metric", "ew2sq"))

    def column(self, metric: str, nfe: object = None) -> Column | None:
        """The column of a metric at an NFE, or where none is given at the NFE that is judged.

        Of several versions, or files of one name, the one with the most cells; without that NFE the
        one nearest above.
        """
        found = [c for c in self.columns if c.metric == metric]
        wanted = str(self.task["main_nfe"] if nfe is None else nfe)
        at = [c for c in found if c.nfe == wanted] or [c for c in found if not c.nfe]
        if not at and nfe is None and found:
            last = max(found, key=lambda c: c.order)
            at = [c for c in found if c.nfe == last.nfe]
        return max(at, key=lambda c: (self._filled(c), c.version), default=None)

    def _filled(self, column: Column) -> int:
        """How many rows have something in a column, longer runs apart."""
        twins = [twin.place for twin in self.longer.values()]
        return int(np.delete(self.cells[column].there, twins).sum())

    @cached_property
    def main(self) -> Column | None:
        """The column that ranks."""
        return self.column(self.main_metric)

    @property
    def second(self) -> Column | None:
        """The main metric at few evaluations."""
        column = self.column(self.main_metric, self.task["second_nfe"])
        return column if column != self.main else None

    def spread(self, column: Column) -> Spread:
        """How far seeds are apart in a column, of the methods of a pool with enough of them."""
        if column not in self.spreads:
            cells = self.cells[column]
            pools = [pool[cells.count[pool] >= LEAST_SEEDS] for pool in self.pools]
            valued = cells.values.shape[-1]  # none where every run of a column diverged
            means = cells.values.mean(-1) if valued else np.full(cells.present.shape, np.nan)
            self.spreads[column] = Spread.within(pools, means)
        return self.spreads[column]

    def direction(self, column: Column) -> Direction:
        """In which a column gets better."""
        return cast("Direction", self.columns[column].direction)

    def cell(self, row: Row, column: Column | None) -> Cell | None:
        """What a row scores in a column."""
        return self.cells[column].cell(row.place) if column in self.cells else None

    def control(self, name: str, column: Column | None) -> Cell | None:
        """What a control scores in a column, shown or not; of several rows the first."""
        if column not in self.cells:
            return None
        cells = self.cells[column]
        return next((cells.cell(p) for p in self.controls.get(name, ()) if cells.count[p]), None)

    def ordered(self, column: Column | None) -> list[Row]:
        """Methods from best to worst by what they see, those without all seeds below.

        Controls are last.
        """
        if column is None:
            return sorted(self.rows, key=lambda row: (row.standing, row.label))
        cells, sign = self.cells[column], -1 if self.direction(column) == "higher" else 1
        none, incomplete = np.isnan(cells.mean), cells.there & ~cells.complete
        signed = np.where(none, 0.0, sign * cells.mean)

        def place(row: Row) -> tuple[tuple[int, int], bool, bool, float, str]:
            at = row.place
            return row.standing, none[at], incomplete[at], signed[at], row.label

        return sorted(self.rows, key=place)

    @cached_property
    def beside(self) -> dict[int, dict[int, Row]]:
        """By the place of a row the same sampler at other numbers of calls, by their number."""
        return calls.beside(self.rows)

    def lines(self, column: Column | None) -> list[Row]:
        """As `ordered`, without what stands beside another row."""
        placed = {row.place for others in self.beside.values() for row in others.values()}
        return [row for row in self.ordered(column) if row.place not in placed]

    @property
    def mixed(self) -> bool:
        """Whether methods of several classes stand here, which are ranked apart."""
        return len({row.sees for row in self.rows if row.role == "method"} | {"pairs"}) > 1


def dimension_of(task: Mapping[str, Any]) -> int | None:
    """Of x, None where it is not known."""
    shape = task["x_shape"]
    return math.prod(shape) if shape is not None else None


def title_of(task: Mapping[str, Any]) -> str:
    """`gaussian-mixture (noise=0.05)`."""
    return method_label(task["name"], task.get("changed", {}))
