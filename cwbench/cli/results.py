"""The commands that look into results: status, logs, why, score, seal, doctor, prune."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cwbench import registry
from cwbench.cli.hosting import answer, hosts_guests, leave
from cwbench.cli.options import (
    inception_option,
    json_option,
    metrics_option,
    quiet_option,
    recorded,
    reports_errors,
    results_option,
    where_option,
)
from cwbench.errors import CwbenchError

if TYPE_CHECKING:
    from cwbench.records.record import Record

WIDTH = 100
RUN = "A run's directory, its record.json, its id, or the first digits of that."


def show(renderable: Any) -> None:
    """Print tables, in colour on a terminal, never wider than 100 columns."""
    from rich.console import Console

    terminal = Console()
    width = min(WIDTH, terminal.width) if terminal.is_terminal else WIDTH
    Console(width=width).print(renderable)


def found_results(results: Path | None) -> Path:
    """The results directory to read."""
    from cwbench.records.runs import results_directory

    return results_directory(results)


@click.command()
@results_option
@click.option("--watch", is_flag=True, help="Show it again and again, until Ctrl-C.")
@click.option(
    "--every",
    default=2.0,
    show_default=True,
    type=click.FloatRange(0.1),
    help="Seconds between, with --watch.",
)
@json_option
@reports_errors
def status(results: Path | None, watch: bool, every: float, as_json: bool) -> None:
    """Show in which state every run is: methods by seeds, and what went wrong."""
    from cwbench.records.runs import walked
    from cwbench.reporting.status import status_table, statuses

    place = found_results(results)
    for problem in walked(place).strays.values():
        click.echo(f"cwbench: skipped: {problem}", err=True)
    if watch:
        _repeat(lambda: status_table(statuses(place), place), every)
    elif as_json:
        rows = [{**vars(run), "directory": str(run.directory)} for run in statuses(place)]
        click.echo(json.dumps(rows, indent=1))
    else:
        show(status_table(statuses(place), place))


def _repeat(view: Callable[[], Any], seconds: float) -> None:
    """In place on a terminal, one after the other elsewhere."""
    from rich.live import Live

    try:
        if not sys.stdout.isatty():
            while True:
                show(view())
                time.sleep(seconds)
        with Live(view(), auto_refresh=False, screen=True) as live:
            while True:
                time.sleep(seconds)
                live.update(view(), refresh=True)
    except KeyboardInterrupt:
        return


@click.command()
@click.argument("run")
@click.option("-f", "--follow", is_flag=True, help="Go on while the run is running.")
@click.option("-n", "last", type=click.IntRange(0), help="The last LINES only.", metavar="LINES")
@results_option
@reports_errors
def logs(run: str, follow: bool, last: int | None, results: Path | None) -> None:
    """Print the log of a run.

    RUN is its directory, its record.json, its id, or the first digits of that.
    """
    from cwbench.records.logs import followed, lines
    from cwbench.records.lookup import find_run

    directory = find_run(run, found_results(results))
    try:
        for line in followed(directory, last) if follow else lines(directory, last):
            click.echo(line)
    except KeyboardInterrupt:
        return


@click.command()
@click.argument("run")
@click.argument("other", required=False)
@results_option
@json_option
@reports_errors
def why(run: str, other: str | None, results: Path | None, as_json: bool) -> None:
    """Say what differs between a run and the nearest one on record, or OTHER.

    That is why it was computed anew. RUN is its directory, its record.json, its id, or the first
    digits of that.
    """
    from cwbench.records.lookup import find_record, results_of
    from cwbench.reporting.differences import compare, nearest, text

    place = found_results(results)
    record = find_record(run, place)
    if other:
        difference = compare(record, find_record(other, place))
    else:
        inside = results_of(record.directory) if record.directory else None
        near, problems = nearest(record, inside or place)
        for problem in problems:
            click.echo(f"cwbench: skipped: {problem}", err=True)
        if near is None:
            click.echo("null" if as_json else f"{record.run_id} is the only run on record")
            return
        difference = near
    if as_json:
        click.echo(json.dumps(difference.as_json(), indent=1))
    else:
        show(text(difference, chosen=bool(other)))


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@recorded("task")
@recorded("method")
@metrics_option
@where_option
@inception_option
@results_option
@quiet_option
@reports_errors
@hosts_guests
def score(
    runs: tuple[str, ...],
    tasks: list[str],
    methods: list[str],
    metrics: list[str],
    assignments: tuple[str, ...],
    inception_weights: Path | None,
    results: Path | None,
    quiet: bool,
) -> None:
    """Measure what a record lacks, or has of an older metric, without fitting anything.

    Samples are those stored, or they are drawn again from the stored model. A task or method that
    came from a file is named again, and has to be the one on record. RUN is a run's directory, its
    record.json, its id, or the first digits of that.
    """
    from cwbench.machine.weights import use_inception_weights
    from cwbench.records.lookup import find_record
    from cwbench.running.named import named, refuse_unasked
    from cwbench.running.remade import refuse_other_settings
    from cwbench.running.score import score as score_one
    from cwbench.settings import parse_places

    use_inception_weights(inception_weights)
    for metric in metrics:
        registry.load("metric", metric)
    place = found_results(results)
    chosen = {record.directory: record for record in (find_record(run, place) for run in runs)}
    given, files = parse_places(assignments), named(tasks, methods)
    refuse_other_settings(chosen.values(), given, files)
    refuse_unasked(chosen.values(), files)
    failed = False
    for record in chosen.values():
        try:
            scored = score_one(
                record, place, metrics=metrics, settings=given, files=files, quiet=quiet
            )
        except KeyboardInterrupt:
            leave(1)
        except CwbenchError as error:
            click.echo(f"cwbench: {record.run_id}: {error}", err=True)
            failed = True
            continue
        new = [i for i, entry in scored.metrics.items() if entry != record.metrics.get(i)]
        added = ", ".join(new) if new else "nothing was missing"
        answer(f"{record.run_id}: {added}")
        for identifier in new:
            _tell_source(record, scored, identifier)
        failed = failed or scored.status != "ok"
    if failed:
        leave(1)


def _tell_source(before: Record, now: Record, identifier: str) -> None:
    """Where a value was replaced by one of another source, say which."""
    old, new = before.metrics.get(identifier), now.metrics[identifier]
    if old is not None and old.source_sha256 != new.source_sha256:
        was, found = ((each.source_sha256 or "none")[:8] for each in (old, new))
        click.echo(
            f"cwbench: {before.run_id}: {identifier} was of source {was}, it is measured again by "
            f"{found}", err=True,
        )  # fmt: skip


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@results_option
@reports_errors
def seal(runs: tuple[str, ...], results: Path | None) -> None:
    """Seal records that were edited by hand, and mark them as that.

    A record whose seal is broken is refused everywhere. RUN is its directory, its record.json, its
    id, or the first digits of that.
    """
    from cwbench.records.lookup import find_run, run_id_of
    from cwbench.records.runs import seal_anew, single_writer

    for directory in [find_run(run, found_results(results)) for run in runs]:
        try:
            with single_writer(directory):
                done = seal_anew(directory)
        except OSError as error:
            raise CwbenchError(f"{directory}/record.json: {error.strerror or error}") from None
        click.echo(f"{run_id_of(directory)}: {'sealed, edited by hand' if done else 'is sealed'}")


@click.command()
@results_option
@json_option
@reports_errors
def doctor(results: Path | None, as_json: bool) -> None:
    """Check versions, devices, results, caches and plugins; exit 1 if something is broken."""
    from cwbench.check.doctor import findings, report

    found = list(findings(found_results(results)))
    if as_json:
        click.echo(json.dumps([vars(each) for each in found], indent=1))
    else:
        show(report(found))
    broken = sum(each.state == "broken" for each in found)
    if broken:
        click.echo(f"cwbench: {broken} broken", err=True)
        sys.exit(1)


@click.command()
@results_option
@click.option("--dry-run", is_flag=True, help="Print what would be removed; remove nothing.")
@click.option(
    "--uninstalled", is_flag=True, help="Also runs whose task or method is not installed any more."
)
@click.option(
    "--outdated",
    is_flag=True,
    help="Also runs of a task or method of which a later version is installed.",
)
@reports_errors
@hosts_guests
def prune(results: Path | None, dry_run: bool, uninstalled: bool, outdated: bool) -> None:
    """Remove checkpoints of finished runs, leftovers of killed ones, and caches.

    Runs go only when asked, by --uninstalled or --outdated.
    """
    from cwbench.records.prune import plan, remove, size_text

    place = found_results(results)
    items = plan(place, uninstalled=uninstalled, outdated=outdated)
    removed, problems = (items, []) if dry_run else remove(items)
    for item in removed:
        where = item.path.relative_to(place)
        answer(f"{size_text(item.size):>10}  {item.kind}  {where}  ({item.reason})")
    for problem in problems:
        click.echo(f"cwbench: not removed: {problem}", err=True)
    freed = size_text(sum(item.size for item in removed))
    answer(f"{len(removed)} items, {freed} {'would be freed' if dry_run else 'freed'}")
    if problems:
        leave(1)


COMMANDS = (status, logs, why, score, seal, doctor, prune)
