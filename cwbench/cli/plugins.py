"""The commands for authors of plugins: check one, write a new one."""

from __future__ import annotations

from pathlib import Path

import click

from cwbench import registry
from cwbench.cli.hosting import answer, hosts_guests, leave
from cwbench.cli.options import json_option, names, reports_errors, set_option


@click.command()
@click.argument("name", shell_complete=names(*registry.KINDS))
@click.option(
    "--task",
    shell_complete=names("task"),
    help="Try a method on this task, if it cannot do the small built-in ones.",
)
@set_option
@json_option
@reports_errors
@hosts_guests
def check(name: str, task: str | None, assignments: tuple[str, ...], as_json: bool) -> None:
    """Check that a task, method or metric keeps its contract; NAME or ./file.py:Class.

    Exit 1 if a check fails.
    """
    from cwbench.check import check as check_one
    from cwbench.settings import parse

    report = check_one(name, task=task, settings=parse(assignments))
    answer(report.to_json() if as_json else str(report))
    if not report.passed:
        leave(1)


TRIED_BY: dict[registry.Kind, str] = {
    "task": "--method linear-gaussian --task",
    "method": "--task gaussian-mixture --method",
    "metric": "--task gaussian-mixture --method linear-gaussian --metrics",
}


@click.command()
@click.argument("kind", type=click.Choice(["method", "task", "metric"]))
@click.argument("name")
@click.option("--output", type=click.Path(path_type=Path), help="Default ./NAME.")
@click.option(
    "--sees",
    type=click.Choice(["pairs", "operator"]),
    default="pairs",
    help="What a method sees: training pairs, or the task's operator as well.",
)
@reports_errors
def new(kind: registry.Kind, name: str, output: Path | None, sees: str) -> None:
    """Write a small package with a new method, task or metric that works as written."""
    from cwbench.templates.scaffold import create

    directory = create(kind, name, output, sees)
    click.echo(f"{directory}/src/cwbench_{name.replace('-', '_')}/{kind}.py is yours. Next:")
    click.echo(f"  pip install -e {directory}")
    click.echo(f"  cwbench check {name}")
    click.echo(f"  cwbench run {TRIED_BY[kind]} {name} --preset smoke")


COMMANDS = (check, new)
