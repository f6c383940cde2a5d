"""The commands that make a record: run, evaluate; and export, which says what to evaluate."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from cwbench.cli.hosting import answer, answers, hosts_guests, leave
from cwbench.cli.options import (
    figures_option,
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
from cwbench.records.interruption import RunInterruptedError

if TYPE_CHECKING:
    from cwbench.records.record import Record


@click.command()
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
@click.option("--force", is_flag=True, help="Start anew; the earlier run stays until that is ok.")
@click.option(
    "--longer", is_flag=True, help="At four times the steps, judged NFE only: has it converged?"
)
@click.option("--track", metavar="tensorboard[:DIR]", help="Follow the fit in TensorBoard.")
@figures_option
@json_option
@quiet_option
@reports_errors
@hosts_guests
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
    longer: bool,
    track: str | None,
    figures: bool,
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
            callbacks=callbacks, inception_weights=inception_weights, figures=figures,
            longer=longer,
        ),
        as_json=as_json,
    )  # fmt: skip


def report(make_record: Callable[[], Record], *, as_json: bool) -> None:
    """Make a record and print it; exit 1 if it has no result."""
    from cwbench.records.schema import brief
    from cwbench.records.tables import REASON, run_table

    try:
        record = make_record()
    except RunInterruptedError as stopped:
        record = stopped.record
    if os.environ.get("RANK", "0") != "0" and record.directory is None:
        return  # one of several processes on a fit: the first reports
    table = record.to_bytes().decode() if as_json else run_table(record, width_of(answers()))
    answer(table, nl=not as_json)
    if record.status not in ("ok", "skipped"):
        reason = brief(record.error or "", REASON)
        click.echo(f"cwbench: {record.status}: {reason}; see {record.directory}/log.txt", err=True)
        leave(1)


def width_of(stream: IO[str]) -> int:
    """Characters of a line: those of the terminal, where it is one."""
    from cwbench.records.tables import WIDTH

    with suppress(OSError, ValueError):
        if stream.isatty():
            return min(WIDTH, os.get_terminal_size(stream.fileno()).columns)
    return WIDTH


@click.command()
@click.argument("task", shell_complete=names("task"))
@preset_option
@seed_option
@set_option
@click.option("--output", type=click.Path(path_type=Path), help="Default TASK.safetensors.")
@reports_errors
@hosts_guests
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
        answer(f"{name:<8} {tuple(tensor.shape)}")
    shape = (request.preset.observations, 2 * request.preset.samples, *request.task.x_shape)
    answer(f"{path}: answer with samples of shape {shape}")


@click.command()
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
@figures_option
@json_option
@quiet_option
@reports_errors
@hosts_guests
def evaluate(
    samples: Path,
    task: str,
    preset: str,
    assignments: tuple[str, ...],
    name: str | None,
    metrics: list[str],
    results: Path | None,
    figures: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Judge samples that were made elsewhere; nothing is fitted."""
    from cwbench.api import evaluate as evaluate_one
    from cwbench.settings import parse

    report(
        lambda: evaluate_one(
            samples, task, preset, settings=parse(assignments), name=name, results=results,
            metrics=metrics, quiet=quiet or as_json, figures=figures,
        ),
        as_json=as_json,
    )  # fmt: skip


COMMANDS = (run, export, evaluate)
