"""The command that makes many runs: sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cwbench.cli.hosting import answer, hosts_guests, leave
from cwbench.cli.options import (
    inception_option,
    json_option,
    names,
    quiet_option,
    reports_errors,
    results_option,
)
from cwbench.records.interruption import SweepInterruptedError


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--task", shell_complete=names("task"), help="Names or ./file.py:Class, with commas.")
@click.option("--method", shell_complete=names("method"), help="Likewise.")
@click.option("--preset", help="Size: smoke, quick (the default), ladder, standard, paper.")
@click.option("--seeds", "--seed", help="0-4 or 0,2,5; default 0.")
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=V1,V2",
    help="As for run; commas and repetition give alternatives. A key that holds a list, such as "
    "preset.nfe, keeps its commas.",
)
@click.option("--nfe", help="Network evaluations per sample, e.g. 1,3,10,adaptive.")
@click.option("--metrics", help="Further metrics, with commas: c2st,./file.py:Class.")
@click.option("--device", help="auto (the default), cpu, cuda or mps.")
@inception_option
@click.option("--keep-samples", is_flag=True, help="Keep samples beyond 64 MiB.")
@results_option
@click.option("--engine", help="local (the default), ray or slurm.")
@click.option("--address", help="Of the Ray cluster; default one on this machine.")
@click.option("--jobs", type=int, help="Runs at a time; default 1, on a cluster what it takes.")
@click.option("--gpus", help="local: devices to hand out, 0,1; clusters: how many a run asks for.")
@click.option("--threads", type=int, help="Of each run; default 1.")
@click.option("--timeout", type=float, metavar="S", help="Seconds after which a run is ended.")
@click.option("--memory", metavar="SIZE", help="Resident memory at which a run is ended: 4GiB.")
@click.option(
    "--grace", type=float, metavar="S", help="Seconds for a checkpoint before the kill; default 10."
)
@click.option(
    "--slurm", multiple=True, metavar="KEY=VALUE", help="Of the Slurm jobs: partition=gpu."
)
@click.option("--retry", help="Do again what ended so: failed,timeout,oom,diverged.")
@click.option(
    "--longer", is_flag=True, help="At four times the steps, judged NFE only: has it converged?"
)
@click.option("--force", is_flag=True, help="Start anew; earlier runs stay until that is ok.")
@click.option(
    "--dry-run", is_flag=True, help="Print the matrix, what is done, and a time; do nothing."
)
@json_option
@quiet_option
@reports_errors
@hosts_guests
def sweep(
    file: Path | None, assignments: tuple[str, ...], slurm: tuple[str, ...], **options: Any
) -> None:
    """Many runs: tasks x methods x settings x seeds, each in a process of its own.

    \b
    cwbench sweep --task gaussian-mixture --method fm,cot-fm --seeds 0-4 --jobs 2
    cwbench sweep FILE.toml

    The same command again does only what is missing. FILE has the flags as keys; flags win.
    """  # noqa: D301 - click reads the character
    from cwbench.settings import parse
    from cwbench.sweeping import file as sweep_file
    from cwbench.sweeping.request import overridden

    options["json"] = options.pop("as_json")
    flags = {name.replace("_", "-"): value for name, value in options.items()}
    given = {name: value for name, value in flags.items() if value not in (None, False)}
    arguments = sweep_file.read(file, [*flags, *sweep_file.TABLES]) if file else {}
    arguments = overridden(arguments, given)
    if assignments:
        from cwbench.sweeping.matrix import assignments as by_key

        arguments["set"] = arguments.get("set", {}) | by_key(assignments)
    if slurm:
        arguments["slurm"] = arguments.get("slurm", {}) | parse(slurm)
    words = {name.replace("-", "_"): value for name, value in arguments.items()}
    if not _swept(words):
        leave(1)


def _swept(arguments: dict[str, Any]) -> bool:
    """Carry out a sweep, or say what it would do; whether all runs have a result."""
    from cwbench.sweeping.request import sweep_request
    from cwbench.sweeping.sweep import past_runs
    from cwbench.sweeping.tables import outcome_table, plan_json, plan_table

    as_json, stopped = arguments.get("json", False), None
    request = sweep_request(arguments)
    if arguments.get("dry_run"):
        runs, spent = request.planned(), past_runs(request.results)
        answer(plan_json(runs, spent) if as_json else plan_table(runs, spent))
        return True
    try:
        records = request.carry_out(quiet=arguments.get("quiet", False) or as_json)
    except SweepInterruptedError as interruption:
        stopped, records = interruption, interruption.records
    everything = ",\n".join(record.to_json().rstrip() for record in records)
    answer(f"[{everything}]" if as_json else outcome_table(records))
    if stopped:
        click.echo(f"cwbench: {stopped}", err=True)
    return not stopped and all(record.status in ("ok", "skipped") for record in records)


COMMANDS = (sweep,)
