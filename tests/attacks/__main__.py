"""All attacks in full, as the table of counts in `docs/trust.md`; a part of a title chooses some.

python tests/attacks [TITLE]
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))  # as pytest has it

import click  # noqa: E402
from attacks.counts import Attack, Counts  # noqa: E402

COLUMNS = [part.name for part in fields(Counts)]


def modules() -> Iterator[ModuleType]:
    """All modules of attacks here."""
    for path in sorted(HERE.glob("test_*.py")):
        yield importlib.import_module(f"attacks.{path.stem}")


def listed() -> Iterator[Attack]:
    """The attacks of all modules."""
    for module in modules():
        yield from module.ATTACKS


def beyond() -> str:
    """What no check finds, by the modules that say so."""
    found = [each for module in modules() for each in getattr(module, "BEYOND", {}).items()]
    return "\n".join(["| | |", "|---|---|", *(f"| {what} | {why} |" for what, why in found)])


def row(title: str, counts: Counts) -> str:
    """A row of the table."""
    return f"| {title} | " + " | ".join(f"{getattr(counts, name):,}" for name in COLUMNS) + " |"


def main(wanted: str = "") -> int:
    """Print the table, row by row; 1 if anything fell."""
    if wanted == "--beyond":
        click.echo(beyond())
        return 0
    click.echo(f"| attack | {' | '.join(COLUMNS)} |\n|---|{'---:|' * len(COLUMNS)}")
    total = Counts()
    for attack in (each for each in listed() if wanted in each.title):
        with tempfile.TemporaryDirectory() as place:
            counts = attack.counts(Path(place), attack.full)
        click.echo(row(attack.title, counts))
        total += counts
    click.echo(row("**all**", total))
    return int(total != Counts(tried=total.tried))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
