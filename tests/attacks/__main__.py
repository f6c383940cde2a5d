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

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))  # as pytest has it

import click  # noqa: E402
from attacks.counts import Attack, Counts  # noqa: E402

COLUMNS = [part.name for part in fields(Counts)]


def listed() -> Iterator[Attack]:
    """The attacks of all modules here, by the name of the module."""
    for path in sorted(HERE.glob("test_*.py")):
        module = importlib.import_module(f"attacks.{path.stem}")
        yield from getattr(module, "ATTACKS", ())


def row(title: str, counts: Counts) -> str:
    """A row of the table."""
    return f"| {title} | " + " | ".join(f"{getattr(counts, name):,}" for name in COLUMNS) + " |"


def main(wanted: str = "") -> int:
    """Print the table, row by row; 1 if anything fell."""
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
