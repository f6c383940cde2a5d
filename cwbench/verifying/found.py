"""What is found about a record."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from cwbench.records.schema import LONGEST, brief

Verdict = Literal["ok", "of another cwbench", "hashes only", "refused"]
HEADS: dict[Verdict, str] = {
    "ok": "ok", "of another cwbench": "other", "hashes only": "hashes", "refused": "REFUSED",
}  # fmt: skip
"""How a summary of a record begins."""


class Finding(str):
    """A sentence about a record, which is to be known."""

    __slots__ = ()


class Problem(Finding):
    """What refuses a record."""

    __slots__ = ()


class Unchecked(Finding):
    """What could not be checked, and why: `not rescored: no samples`; it is never called sound."""

    __slots__ = ()


@dataclass
class Verified:
    """What was found about a run: `problems` refuse it, `notes` are to be known.

    `unchecked` says what its numbers were not held against.
    """

    directory: Path
    name: str = ""
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    rescored: bool = False
    """Whether stored samples were scored again."""
    redrawn: bool = False
    """Whether a stored model was scored on fresh observations."""
    suite: str = ""
    """The cwbench that made it by its own word, where that is not the one that is installed."""

    def take(self, findings: Iterable[Finding]) -> None:
        """Put each where it belongs."""
        for finding in findings:
            self._list_of(finding).append(str(finding))

    def _list_of(self, finding: Finding) -> list[str]:
        if isinstance(finding, Problem):
            return self.problems
        return self.unchecked if isinstance(finding, Unchecked) else self.notes

    @property
    def refused(self) -> bool:
        """Whether something speaks against it."""
        return bool(self.problems)

    @property
    def sound(self) -> bool:
        """Whether its values were computed again, and nothing speaks against it."""
        return self.verdict == "ok"

    @property
    def verdict(self) -> Verdict:
        """`hashes only` where nothing was computed again: then only its parts fit each other.

        What another cwbench made is not sound by the rules of this one.
        """
        if self.refused:
            return "refused"
        if not (self.rescored or self.redrawn):
            return "hashes only"
        return "of another cwbench" if self.suite else "ok"

    @property
    def how(self) -> str:
        """`rescored, redrawn`, one of both, or `hashes only`."""
        ways = {"rescored": self.rescored, "redrawn": self.redrawn}
        return ", ".join(way for way, taken in ways.items() if taken) or "hashes only"

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "directory": str(self.directory), "name": self.name, "verdict": self.verdict,
            "sound": self.sound, "problems": self.problems, "unchecked": self.unchecked,
            "notes": self.notes, "rescored": self.rescored, "redrawn": self.redrawn,
        }  # fmt: skip

    def __str__(self) -> str:
        lines = [f"{HEADS[self.verdict]:<7} {self.name or self.directory}: {self.how}"]
        lines += [f"  PROBLEM {problem}" for problem in self.problems]
        lines += [f"  {part}" for part in self.unchecked]
        lines += [f"  {note}" for note in self.notes]
        return "\n".join(brief(line, LONGEST) for line in lines)
