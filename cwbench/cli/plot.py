"""The command that draws: plot."""

from __future__ import annotations

from pathlib import Path

import click

from cwbench import registry
from cwbench.cli.hosting import answer, hosts_guests
from cwbench.cli.options import names, recorded, reports_errors, results_option, where_option
from cwbench.cli.sweep import sweep


@click.command()
@click.argument("run", required=False)
@click.option(
    "--task", help="Compare the methods of this task at each NFE.", shell_complete=names("task")
)
@click.option(
    "--sweep",
    "file",
    type=click.Path(path_type=Path),
    help="Draw what is on record of this sweep file against the setting it varies.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="A directory; default beside the record, TASK-figures, and with --sweep FILE-figures.",
)
@recorded("method")
@where_option
@results_option
@reports_errors
@hosts_guests
def plot(
    run: str | None,
    task: str | None,
    file: Path | None,
    output: Path | None,
    methods: list[str],
    assignments: tuple[str, ...],
    results: Path | None,
) -> None:
    """Draw the figures of a run again, from what is stored, or those of a task or a sweep.

    RUN is its directory, its record.json, its id, or the first digits of that. A task or method
    that came from a file is named with it: --task ./file.py:Class --method ./file.py:Class.
    """
    from cwbench.errors import UsageError
    from cwbench.records.lookup import find_record
    from cwbench.records.runs import results_directory
    from cwbench.reporting.run_figures import draw, subject_of
    from cwbench.running.named import named, refuse_unasked
    from cwbench.running.remade import refuse_other_settings
    from cwbench.settings import parse_places

    tasks = [task] if run is not None and task is not None and registry.in_file(task) else []
    task = None if tasks else task
    if (run, task, file).count(None) != 2:
        raise UsageError("give a RUN, --task NAME or --sweep FILE, one of the three")
    if task is not None:
        _plot_task(task, output or Path(f"{task}-figures"), results)
        return
    if file is not None:
        _plot_sweep(file, output or file.with_name(f"{file.stem}-figures"), results)
        return
    record = find_record(str(run), results_directory(results))
    given, files = parse_places(assignments), named(tasks, methods)
    refuse_other_settings([record], given, files)
    refuse_unasked([record], files)
    named_here = given or tasks or methods
    subject = subject_of(record, given, files) if named_here else None
    for path in draw(record, subject, output):
        answer(path)


def _plot_task(task: str, output: Path, results: Path | None) -> None:
    """A figure for each preset of a task on record."""
    from cwbench.boards.frames import selected
    from cwbench.boards.overview import draw_tasks
    from cwbench.machine.files import writable_directory

    found = selected(results, task=task)
    writable_directory(output)
    for path in draw_tasks(found.boards, output):
        answer(path)


def _plot_sweep(file: Path, output: Path, results: Path | None) -> None:
    """A figure for each task of a sweep."""
    from cwbench.machine.files import writable_directory
    from cwbench.reporting.ablation import sweep_figures
    from cwbench.style import saved
    from cwbench.sweeping import file as sweep_file
    from cwbench.sweeping.request import sweep_request
    from cwbench.sweeping.sweep import Planned

    flags = [parameter.opts[0].lstrip("-") for parameter in sweep.params]
    typed = sweep_file.read(file, [*flags, *sweep_file.TABLES])
    arguments = {key.replace("-", "_"): value for key, value in typed.items()}
    if results:
        arguments["results"] = results
    planned = sweep_request(arguments).planned()
    figures = dict(sweep_figures(run for run in planned if isinstance(run, Planned)))
    writable_directory(output)
    for name, figure in figures.items():
        answer(saved(figure, output, name))


COMMANDS = (plot,)
