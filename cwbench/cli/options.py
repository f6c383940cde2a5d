"""What the commands share: options, completion of names, errors shown in a line."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from cwbench import registry
from cwbench.errors import CwbenchError


def names(*kinds: registry.Kind) -> Callable[..., list[str]]:
    """Complete registered names by TAB, from metadata alone."""

    def complete(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
        known = (p.name for p in registry.plugins() if p.kind in kinds)
        return [name for name in known if name.startswith(incomplete)]

    return complete


def reports_errors(command: Callable[..., Any]) -> Callable[..., Any]:
    """Print errors of ours as one line without a traceback, exit 2: nothing was computed."""

    @functools.wraps(command)
    def wrapped(*arguments: Any, **options: Any) -> Any:
        try:
            return command(*arguments, **options)
        except CwbenchError as error:
            from cwbench.records.schema import shown

            click.echo(f"cwbench: {shown(str(error))}", err=True)
            sys.exit(2)

    return wrapped


def listed(_: click.Context, __: click.Parameter, value: str) -> list[str]:
    """`a,b` as a list."""
    return [part.strip() for part in value.split(",") if part.strip()]


task_option = click.option(
    "--task", required=True, shell_complete=names("task"), help="A task's name, or ./file.py:Class."
)
preset_option = click.option(
    "--preset",
    default="quick",
    show_default=True,
    help="Size: smoke, quick, ladder, standard or paper.",
)
seed_option = click.option(
    "--seed", default=0, show_default=True, help="Of data, initialisation and noise."
)
set_option = click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="task.NAME, method.NAME or preset.NAME; a bare NAME where exactly one has it.",
)
where_option = click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=PATH",
    help="Where a folder or file lies that records name by its content, e.g. root=FOLDER; again "
    "for further ones, of which each record takes its own.",
)
metrics_option = click.option(
    "--metrics",
    default="",
    callback=listed,
    help="Further metrics, with commas: c2st,w2sq-marginal,./file.py:Class.",
)


def recorded(kind: registry.Kind) -> Callable[..., Any]:
    """Name the file of what is on record: nothing is imported because a record names it."""
    option = "metrics" if kind == "metric" else kind
    return click.option(
        f"--{option}",
        f"{kind}s",
        default="",
        callback=listed,
        metavar="FILE:CLASS",
        help=f"The file of a {kind} on record that came from one, ./file.py:Class.",
    )


inception_option = click.option(
    "--inception-weights",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Of FID and KID; default $CWBENCH_INCEPTION_WEIGHTS, else downloaded once when needed.",
)
results_option = click.option(
    "--results",
    type=click.Path(path_type=Path),
    help="Results directory; default $CWBENCH_RESULTS, else ./cwbench-results.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
figures_option = click.option(
    "--figures/--no-figures", default=True, help="Draw the run beside its record (default)."
)
quiet_option = click.option("--quiet", is_flag=True, help="No progress; the result only.")
