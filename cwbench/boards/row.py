"""A row of a board: a method with its settings, and the runs that it is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from cwbench.boards import calls
from cwbench.boards.versions import MARK, older
from cwbench.known.classes import CLASSES, Sees, sees
from cwbench.records.record import from_file
from cwbench.records.schema import brief


@dataclass(frozen=True)
class Run:
    """One seed: the record's content without metrics, and where it is from."""

    content: Mapping[str, Any]
    origin: str
    results: Path
    name: str
    """Of its directory below the results."""

    @property
    def directory(self) -> Path:
        """Where it is from."""
        return self.results / self.name

    @property
    def seed(self) -> int:
        """Of data, initialisation and noise."""
        return int(self.content["seed"])

    @property
    def status(self) -> str:
        """How it ended."""
        return str(self.content["status"])

    @property
    def suite(self) -> str:
        """The version of cwbench that made it, by its own word."""
        return brief(str(self.content["environment"].get("cwbench")), 40)

    @property
    def fit_seconds(self) -> float | None:
        """Of the fit, with those of another run for what they share; None without a result."""
        cost = self.content["cost"]
        if self.status != "ok" or cost.get("fit_seconds") is None:
            return None
        return float(cost["fit_seconds"] + (cost.get("shared_seconds") or 0.0))

    @property
    def found_fit(self) -> str:
        """What it took from another run without saying at what cost, as early ones; else empty."""
        cost = self.content["cost"]
        return "" if cost.get("steps") or "shared_seconds" in cost else self.shared_fit

    @property
    def shared_fit(self) -> str:
        """What it shares with other runs of its seed, `""` for nothing."""
        diagnostics = self.content["diagnostics"]
        return str(diagnostics.get("prior_sha256") or diagnostics.get("shared_fit") or "")

    @property
    def error(self) -> str:
        """What went wrong, the first line."""
        return (self.content["error"] or "").partition("\n")[0]


@dataclass
class Row:
    """A method with its settings: runs that differ in the seed alone."""

    key: str
    label: str
    place: int
    """Among all rows of its board, also those that are not shown."""
    runs: list[Run] = field(default_factory=list)

    @property
    def method(self) -> Mapping[str, Any]:
        """As in the record."""
        return cast("Mapping[str, Any]", self.runs[0].content["method"])

    @cached_property
    def role(self) -> str:
        """`method`, or for a control `lower` or `upper`."""
        return str(self.method["role"])

    @cached_property
    def sees(self) -> Sees:
        """What the method saw of the task; ranks are among those that saw the same."""
        return sees(self.method.get("needs", ()))

    @cached_property
    def used(self) -> float | None:
        """Network evaluations a draw, as counted, where its settings say how many."""
        own = self.role == "method" and self.sees != "pairs" and self.one_shot
        used = self.sampling("", "evaluations") if own else None
        return used if used and used > calls.ONE_SHOT else None

    @cached_property
    def calls(self) -> int | None:
        """The number of them that it stands at."""
        return calls.level(self.used) if self.used else None

    @property
    def fewer(self) -> str:
        """How many it takes, where that is not the number that it stands at."""
        if self.used is None or calls.at(self.used, cast("int", self.calls)):
            return ""
        return f"takes {self.used:,.0f} calls a draw"

    def seeds(self, valued: str | None) -> str:
        """How many of the seeds have a value, where one has; none is missed that was not asked."""
        if valued is not None:
            return valued
        return f"0/{len(self.attempted)}" if self.failures or not self.attempted else "–"

    @property
    def apart(self) -> int:
        """The calls that it is ranked apart for; 0 where they are those that are judged."""
        return 0 if self.calls in (None, calls.JUDGED) else self.calls or 0

    @property
    def among(self) -> str:
        """What those have in common that it is ranked among: what they see, other calls."""
        return self.sees + (f", {self.apart:,} calls" if self.apart else "")

    @property
    def standing(self) -> tuple[int, int]:
        """Where these stand: by how much they see, then by calls; controls last."""
        return (CLASSES.index(self.sees) if self.role == "method" else len(CLASSES)), self.apart

    @cached_property
    def older(self) -> str:
        """The method with its version and the one installed, if that is later; else empty.

        Several versions of cwbench that made its runs are told, too.
        """
        method, suites = self.method, {run.suite for run in self.runs}
        old = "" if from_file(method) else older("method", method["name"], method["version"])
        mixed = f"{method['name']} (by cwbench {', '.join(sorted(suites))})"
        return ", ".join(filter(None, (old, mixed * (len(suites) > 1))))

    @property
    def marked(self) -> str:
        """The label, marked where the method is of an older version."""
        return self.label + MARK * bool(self.older)

    @property
    def origin(self) -> str:
        """`cwbench`, `yours`, or both."""
        return " + ".join(sorted({run.origin for run in self.runs}, reverse=True))

    @property
    def excused(self) -> str:
        """The checks of `cwbench check` that the method says it cannot pass, with its reasons."""
        reasons = self.method.get("excused", {}) if self.role == "method" else {}
        return "; ".join(f"excused from the check {name}: {why}" for name, why in reasons.items())

    @property
    def skipped(self) -> str:
        """The reason if the method cannot do the task, else empty."""
        reasons = [run.error for run in self.runs if run.status == "skipped"]
        return reasons[0] if len(reasons) == len(self.runs) else ""

    @property
    def attempted(self) -> list[Run]:
        """The runs that were not skipped."""
        return [run for run in self.runs if run.status != "skipped"]

    @property
    def failures(self) -> list[Run]:
        """The runs that ended without a result."""
        return [run for run in self.attempted if run.status != "ok"]

    def cost(self, *names: str) -> float | None:
        """The mean over runs of a cost, as `"fit_seconds"` or `"sampling", "10", "seconds"`."""
        found = [_within(cost, names) for cost in self._costs]
        numbers = [number for number in found if isinstance(number, (int, float))]
        return sum(numbers) / len(numbers) if numbers else None

    @cached_property
    def _costs(self) -> list[dict[str, Any]]:
        """Of the runs with a result."""
        return [run.content["cost"] for run in self.runs if run.content["status"] == "ok"]

    def sampling(self, nfe: str, name: str) -> float | None:
        """`seconds`, or `evaluations`, `jacobians`, `operators` a draw, of sampling at an NFE."""
        if self.one_shot:
            return self.cost("sampling", "1", name)
        return self.cost("sampling", nfe, name)

    @cached_property
    def one_shot(self) -> bool:
        """Whether one pass is all there is: sampling was counted once, at 1."""
        return all(set(run.content["cost"].get("sampling", {})) <= {"1"} for run in self.runs)


def _within(content: Any, names: Sequence[str]) -> Any:
    for name in names:
        content = content.get(name) if isinstance(content, dict) else None
    return content
