"""The command line: arguments in, text out. What it does is in `cwbench.api`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import cwbench
from cwbench import registry
from cwbench.cli import leaderboard as cli_leaderboard
from cwbench.cli import plugins as cli_plugins
from cwbench.cli import results as cli_results
from cwbench.cli.options import (
    inception_option,
    json_option,
    metrics_option,
    names,
    preset_option,
    quiet_option,
    reports_errors,
    results_option,
    seed_option,
    set_option,
    task_option,
)
from cwbench.cli.theory import theory
from cwbench.records.interruption import RunInterruptedError, SweepInterruptedError

if TYPE_CHECKING:
    from cwbench.records.record import Record


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(cwbench.__version__, prog_name="cwbench")
def main() -> None:
    """Benchmark conditional generative methods by their posteriors, observation by observation.

    \b
    cwbench run --task gaussian-mixture --method cot-fm
    cwbench list
    cwbench describe cot-fm
    """  # noqa: D301 - click reads the character


@main.command()
@task_option
@click.option(
    "--method",
    required=True,
    shell_complete=names("method"),
    help="A method's name, or ./file.py:Class.",
)
@preset_option
@seed_option
@set_option
@click.option("--nfe", help="Network evaluations per sample, e.g. 1,3,10,adaptive.")
@metrics_option
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or mps.")
@inception_option
@click.option("--keep-samples", is_flag=True, help="Keep samples beyond 64 MiB.")
@results_option
@click.option("--force", is_flag=True, help="Forget the earlier run and start anew.")
@click.option("--track", metavar="tensorboard[:DIR]", help="Follow the fit in TensorBoard.")
@json_option
@quiet_option
@reports_errors
def run(
    task: str,
    method: str,
    preset: str,
    seed: int,
    assignments: tuple[str, ...],
    nfe: str | None,
    metrics: list[str],
    device: str,
    inception_weights: Path | None,
    keep_samples: bool,
    results: Path | None,
    force: bool,
    track: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Fit a method on a task and measure its posteriors.

    The same command again computes only what is missing.
    """
    from cwbench.api import run as run_one
    from cwbench.running.tracking import tracker
    from cwbench.settings import parse

    callbacks = [tracker(track)] if track else []
    grid = nfe.split(",") if nfe is not None else None
    report(
        lambda: run_one(
            task, method, preset, seed, parse(assignments), grid, results, metrics=metrics,
            device=device, keep_samples=keep_samples, force=force, quiet=quiet or as_json,
            callbacks=callbacks, inception_weights=inception_weights,
        ),
        as_json=as_json,
    )  # fmt: skip


@main.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--task", shell_complete=names("task"), help="Names or ./file.py:Class, with commas.")
@click.option("--method", shell_complete=names("method"), help="Likewise.")
@click.option("--preset", help="Size: smoke, quick (the default), standard, paper.")
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
@click.option("--force", is_flag=True, help="Forget the earlier runs and start anew.")
@click.option(
    "--dry-run", is_flag=True, help="Print the matrix, what is done, and a time; do nothing."
)
@json_option
@quiet_option
@reports_errors
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
    said = {name: value for name, value in flags.items() if value not in (None, False)}
    words = sweep_file.read(file, [*flags, *sweep_file.TABLES]) if file else {}
    words = overridden(words, said)
    if assignments:
        from cwbench.sweeping.matrix import assignments as by_key

        words["set"] = words.get("set", {}) | by_key(assignments)
    if slurm:
        words["slurm"] = words.get("slurm", {}) | parse(slurm)
    _swept({name.replace("-", "_"): value for name, value in words.items()})


def _swept(words: dict[str, Any]) -> None:
    """Carry out a sweep, or say what it would do; exit 1 if a run has no result."""
    from cwbench.sweeping.request import asked
    from cwbench.sweeping.sweep import seconds_on_record
    from cwbench.sweeping.tables import outcome_table, plan_table

    as_json, stopped = words.get("json", False), None
    with redirect_stdout(sys.stderr):  # what a plugin prints is no part of the answer
        request = asked(words)
        if words.get("dry_run"):
            plan = plan_table(request.planned(), seconds_on_record(request.results))
        else:
            try:
                records = request.carry_out(quiet=words.get("quiet", False) or as_json)
            except SweepInterruptedError as interruption:
                stopped, records = interruption, interruption.records
    if words.get("dry_run"):
        click.echo(plan)
        return
    everything = ",\n".join(record.to_json().rstrip() for record in records)
    click.echo(f"[{everything}]" if as_json else outcome_table(records))
    if stopped:
        click.echo(f"cwbench: {stopped}", err=True)
    if stopped or any(record.status not in ("ok", "skipped") for record in records):
        sys.exit(1)


def report(make_record: Callable[[], Record], *, as_json: bool) -> None:
    """Make a record and print it; exit 1 if it has no result."""
    from cwbench.records.tables import run_table

    with redirect_stdout(sys.stderr):  # what a plugin prints is no part of the answer
        try:
            record = make_record()
        except RunInterruptedError as stopped:
            record = stopped.record
    if os.environ.get("RANK", "0") != "0" and record.directory is None:
        return  # one of several processes on a fit: the first reports
    click.echo(record.to_json() if as_json else run_table(record), nl=not as_json)
    if record.status not in ("ok", "skipped"):
        click.echo(
            f"cwbench: {record.status}: {record.error}; see {record.directory}/log.txt", err=True
        )
        sys.exit(1)


@main.command("list")
@click.argument("kind", required=False, type=click.Choice(["tasks", "methods", "metrics"]))
@click.option(
    "--check", is_flag=True, help="Import each in a process of its own; show the broken ones."
)
@json_option
@reports_errors
def list_plugins(kind: str | None, check: bool, as_json: bool) -> None:
    """List tasks, methods and metrics; nothing is imported."""
    chosen = [p for p in registry.plugins() if kind is None or f"{p.kind}s" == kind]
    errors = registry.check_all(chosen) if check else {}
    if as_json:
        rows: list[dict[str, str | None]] = [
            dict[str, str | None](
                kind=p.kind, name=p.name, target=p.target,
                distribution=p.distribution, version=p.version,
                **({"error": errors[p.name]} if check else {}),
            )
            for p in chosen
        ]  # fmt: skip
        click.echo(json.dumps(rows, indent=1))
    else:
        for group in registry.KINDS:
            members = [p for p in chosen if p.kind == group]
            if members:
                click.echo(f"{group}s")
            for plugin in members:
                error = errors.get(plugin.name)
                state = f"  BROKEN: {error}" if error else "  ok" if check else ""
                origin = f"{plugin.distribution} {plugin.version}"
                click.echo(f"  {plugin.name:<30} {origin}{state}")
    if any(errors.values()):
        sys.exit(1)


@main.command()
@click.argument("plugins", nargs=-1, metavar="NAME...", shell_complete=names(*registry.KINDS))
@click.option(
    "--bibtex",
    is_flag=True,
    help="Only what to cite, each paper once; without NAME, for everything on record.",
)
@set_option
@results_option
@reports_errors
def describe(
    plugins: tuple[str, ...], bibtex: bool, assignments: tuple[str, ...], results: Path | None
) -> None:
    """Say what a task, method or metric is: settings, presets, citation.

    Of a task with an exact posterior, how far it is from Gaussian, under the settings given.
    """
    from cwbench.judging.difficulty import difficulty
    from cwbench.reporting.description import described_task, description, difficulty_text
    from cwbench.running.request import preset_of
    from cwbench.settings import parse

    if not plugins and not bibtex:
        raise click.UsageError("Missing argument 'NAME...'; `cwbench list` shows the names.")
    texts = {name: description(name) for name in plugins}
    given = parse(assignments)
    tasks = {name: described_task(name, given) for name in plugins}
    if bibtex:
        from cwbench.reporting.citations import citations, names_on_record

        click.echo(citations(plugins or names_on_record(results)))
        return
    for place, (name, text) in enumerate(texts.items()):
        click.echo(f"\n\n{text}" if place else text)
        task = tasks[name]
        if task and task.has_posterior:
            found = difficulty(task, preset_of(task, "quick"))
            click.echo(f"\n{difficulty_text(task, found)}")


@main.command()
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
    help="A directory; default TASK-figures, and with --sweep FILE-figures.",
)
@results_option
@reports_errors
def plot(
    run: str | None, task: str | None, file: Path | None, output: Path | None, results: Path | None
) -> None:
    """Draw the figures of a run again, from what is stored, or those of a task or a sweep.

    RUN is its directory, its record.json, its id, or the first digits of that.
    """
    from cwbench.errors import UsageError
    from cwbench.records.lookup import find_record
    from cwbench.records.runs import results_directory
    from cwbench.reporting.run_figures import draw

    if (run, task, file).count(None) != 2:
        raise UsageError("give a RUN, --task NAME or --sweep FILE, one of the three")
    if task is not None:
        _plot_task(task, output or Path(f"{task}-figures"), results)
        return
    if file is not None:
        _plot_sweep(file, output or file.with_name(f"{file.stem}-figures"), results)
        return
    record = find_record(str(run), results_directory(results))
    for path in draw(record):
        click.echo(path)


def _plot_task(task: str, output: Path, results: Path | None) -> None:
    """A figure for each preset of a task on record."""
    from cwbench.boards.frames import selected
    from cwbench.boards.overview import draw_tasks
    from cwbench.machine.files import writable_directory

    found = selected(results, task=task)
    writable_directory(output)
    for path in draw_tasks(found.boards, output):
        click.echo(path)


def _plot_sweep(file: Path, output: Path, results: Path | None) -> None:
    """A figure for each task of a sweep."""
    from cwbench.machine.files import writable_directory
    from cwbench.reporting.ablation import sweep_figures
    from cwbench.sweeping import file as sweep_file
    from cwbench.sweeping.request import asked

    flags = [parameter.opts[0].lstrip("-") for parameter in sweep.params]
    words = sweep_file.read(file, [*flags, *sweep_file.TABLES])
    words = {key.replace("-", "_"): value for key, value in words.items()}
    if results:
        words["results"] = results
    figures = dict(sweep_figures(asked(words).planned()))
    writable_directory(output)
    for name, figure in figures.items():
        figure.savefig(output / f"{name}.png")
        click.echo(output / f"{name}.png")


@main.command()
@click.argument("task", shell_complete=names("task"))
@preset_option
@seed_option
@set_option
@click.option("--output", type=click.Path(path_type=Path), help="Default TASK.safetensors.")
@reports_errors
def export(
    task: str, preset: str, seed: int, assignments: tuple[str, ...], output: Path | None
) -> None:
    """Write training pairs and observations for a program of your own.

    Its samples, 2n for each observation, come back by `cwbench evaluate`.
    """
    from cwbench.running.exchange import export as write
    from cwbench.running.request import resolve
    from cwbench.settings import parse

    request = resolve(task, "prior", preset=preset, seed=seed, given=parse(assignments))
    path = output or Path(f"{request.task.info.name}.safetensors")
    for name, tensor in write(request.task, request.preset, seed, path).items():
        click.echo(f"{name:<8} {tuple(tensor.shape)}")
    shape = (request.preset.observations, 2 * request.preset.samples, *request.task.x_shape)
    click.echo(f"{path}: answer with samples of shape {shape}")


@main.command()
@click.option(
    "--samples",
    required=True,
    type=click.Path(path_type=Path),
    help=".npy, or .safetensors with a tensor `samples`; shape as `cwbench export` says.",
)
@task_option
@preset_option
@set_option
@click.option("--name", help="What the record calls them; default the file's name.")
@metrics_option
@results_option
@json_option
@quiet_option
@reports_errors
def evaluate(
    samples: Path,
    task: str,
    preset: str,
    assignments: tuple[str, ...],
    name: str | None,
    metrics: list[str],
    results: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Judge samples that were made elsewhere; nothing is fitted."""
    from cwbench.api import evaluate as evaluate_one
    from cwbench.settings import parse

    report(
        lambda: evaluate_one(
            samples, task, preset, settings=parse(assignments), name=name, results=results,
            metrics=metrics, quiet=quiet or as_json,
        ),
        as_json=as_json,
    )  # fmt: skip


COMMANDS = (*cli_plugins.COMMANDS, *cli_results.COMMANDS, *cli_leaderboard.COMMANDS, theory)
for command in COMMANDS:
    main.add_command(command)
