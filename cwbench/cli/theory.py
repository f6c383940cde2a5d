"""The command that recomputes the paper's statements."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from cwbench.cli.options import reports_errors


@click.command()
@click.option(
    "--output", type=click.Path(path_type=Path), help="Write a page with figures into DIR.",
    metavar="DIR",
)  # fmt: skip
@click.option("--only", multiple=True, metavar="NAME", help="This statement; may be given again.")
@reports_errors
def theory(output: Path | None, only: tuple[str, ...]) -> None:
    """Recompute the paper's statements: pass or fail for each, half a minute.

    \b
    equality, joint, relaxed, geodesics, duality, particles

    Exit 1 if one fails.
    """  # noqa: D301 - click reads the character
    from cwbench.errors import unknown
    from cwbench.machine.cpu import single_threaded
    from cwbench.theory import STATEMENTS
    from cwbench.theory.page import write

    for name in only:
        if name not in STATEMENTS:
            raise unknown("statement", name, STATEMENTS)
    outcomes = {}
    for name in only or STATEMENTS:
        started = time.perf_counter()
        with single_threaded():
            outcomes[name] = STATEMENTS[name]()
        seconds = time.perf_counter() - started
        click.echo(f"{name}: {outcomes[name].title} ({seconds:.1f} s)")
        for check in outcomes[name].checks:
            click.echo(f"  {check}")
    if output:
        for path in write(outcomes, output):
            click.echo(path)
    failed = sum(not check.passed for one in outcomes.values() for check in one.checks)
    if failed:
        click.echo(f"cwbench: {failed} checks failed", err=True)
        sys.exit(1)


COMMANDS = (theory,)
