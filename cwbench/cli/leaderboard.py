"""The commands that compare methods: leaderboard, compare, verify."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cwbench.cli.hosting import answer, hosts_guests, leave
from cwbench.cli.options import json_option, names, recorded, reports_errors, where_option
from cwbench.errors import UsageError
from cwbench.machine.cpu import without_collection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cwbench.boards.board import Board
    from cwbench.boards.gathering import Boards

WIDTH = 160
PROBLEM = 2000
"""Characters of what is said of a record that was skipped."""
PROBLEMS = 20
"""How many are named."""
FORMATS = ("table", "md", "csv", "json", "latex", "html")
SUFFIXES = {
    ".md": "md", ".csv": "csv", ".json": "json", ".tex": "latex", ".html": "html", ".htm": "html",
}  # fmt: skip

results_option = click.option(
    "--results",
    type=click.Path(path_type=Path),
    help="Only this directory; default yours ($CWBENCH_RESULTS, else ./cwbench-results) and the "
    "records that come with cwbench.",
)
task_option = click.option(
    "--task", shell_complete=names("task"), help="Names with commas; default all."
)
preset_option = click.option("--preset", help="Names with commas; default all, standard first.")


@click.command()
@task_option
@preset_option
@click.option("--method", shell_complete=names("method"), help="Ranks are among these.")
@click.option("--track", help="fixed, open (preset changed) or external (evaluate).")
@click.option(
    "--sees", help="Methods by what they see: pairs, likelihood, operator or 'exact prior'."
)
@click.option("--sort", default="", help="METRIC or METRIC@nfe=NFE, such as energy@nfe=3.")
@click.option("--format", "form", type=click.Choice(FORMATS), help="Default table, or by --output.")
@click.option("--output", type=click.Path(path_type=Path), help="Write to this file.")
@click.option(
    "--figures", type=click.Path(path_type=Path), help="Also draw figures into this directory."
)
@results_option
@click.option(
    "--against",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Tell what is otherwise than in this results directory, as Markdown.",
)
@reports_errors
@without_collection()
def leaderboard(
    task: str | None,
    preset: str | None,
    method: str | None,
    track: str | None,
    sees: str | None,
    sort: str,
    form: str | None,
    output: Path | None,
    figures: Path | None,
    results: Path | None,
    against: Path | None,
) -> None:
    """Show which methods are best on which task, and which cannot be told apart.

    \b
    cwbench leaderboard --task gaussian-mixture
    cwbench leaderboard --output leaderboard.html
    """  # noqa: D301 - click reads the character
    from cwbench.boards.frames import selected

    form = form or _form(output, against)
    if against and form != "md":
        raise UsageError("--against tells what differs in Markdown; leave --format out, or give md")
    metrics = None if form in ("csv", "json", "html") else [sort.partition("@")[0]] if sort else []
    chosen = {"task": task, "preset": preset, "method": method, "track": track, "sees": sees}
    found = selected(results, **chosen, metrics=metrics)
    _tell_skipped(found.problems, results)
    if results is not None and not results.exists():
        click.echo(f"cwbench: there is no {str(results)!r}; its records are not shown", err=True)
    if sort and not any(_has(board, sort) for board in found.boards):
        every = selected(results, **chosen, metrics=None).boards
        measured = sorted({column.name for board in every for column in board.columns})
        raise UsageError(f"--sort {sort!r} is in no table; on record: {', '.join(measured)}")
    if not found.boards:
        click.echo("cwbench: no records; `cwbench run` makes one", err=True)
    text = _changed(against, found.boards, chosen) if against else _told(found, form, sort, output)
    _write(text, output)
    if figures is not None:
        from cwbench.boards.overview import draw

        try:
            drawn = draw(found.boards, figures)
        except OSError as error:
            message = error.strerror or error
            raise UsageError(f"{str(figures)!r} cannot be written: {message}") from None
        for path in drawn:
            click.echo(f"{path}", err=True)


def _form(output: Path | None, against: Path | None) -> str:
    """The format of a file of that name, else the default.

    Raises:
        UsageError: if its ending is that of another kind of file.
    """
    default = "md" if against else "table"
    ending = output.suffix.lower() if output else ""
    if ending in ("", ".txt"):
        return default
    if ending not in SUFFIXES:
        known = ", ".join(sorted(SUFFIXES))
        raise UsageError(f"--output {str(output)!r}: end it in {known} or .txt, or give --format")
    return SUFFIXES[ending]


def _told(found: Boards, form: str, sort: str, output: Path | None) -> str:
    """The boards in a format."""
    from cwbench.boards import texts

    if form == "table":
        return _rendered(texts.terminal(found.boards, sort), output)
    if form == "html":
        from cwbench.boards.page import page

        return page(found.boards, found.problems)
    return texts.TEXTS[form](found.boards, sort)


def _changed(against: Path, shown: list[Board], chosen: dict[str, str | None]) -> str:
    """What is shown otherwise than in the boards of a results directory."""
    from cwbench.boards.changes import changes
    from cwbench.boards.frames import names_of, parsed_class
    from cwbench.boards.gathering import boards
    from cwbench.records.shipped import sources

    wanted = {f"{kind}s": names_of(chosen[kind]) for kind in ("task", "preset", "method", "track")}
    classes = [parsed_class(name) for name in names_of(chosen["sees"])]
    before = boards(sources(against), sees=classes, **wanted)
    _tell_skipped(before.problems, against)
    return changes(before.boards, shown)


def _tell_skipped(problems: Sequence[str], results: Path | None) -> None:
    """Name what was skipped, at most `PROBLEMS` of them, and how many more."""
    from cwbench.records.runs import results_directory
    from cwbench.records.schema import brief

    for problem in problems[:PROBLEMS]:
        click.echo(f"cwbench: skipped: {brief(problem, PROBLEM)}", err=True)
    if (more := len(problems) - PROBLEMS) > 0:
        named = f"cwbench verify {results_directory(results)}"
        click.echo(f"cwbench: skipped: {more:,} more; `{named}` names all", err=True)


def _has(board: object, sort: str) -> bool:
    """Whether a board has the metric, at the NFE if one is given."""
    from cwbench.boards.board import Board

    assert isinstance(board, Board)  # noqa: S101 - for the type checker; the import is lazy
    metric, _, nfe = sort.partition("@nfe=")
    return board.column(metric, nfe or None) is not None


def _rendered(renderable: object, output: Path | None) -> str:
    """What rich makes of it, in colour on a terminal alone."""
    from io import StringIO

    from rich.console import Console

    screen = Console()
    coloured = output is None and screen.is_terminal
    width = screen.width if coloured else WIDTH
    text = StringIO()
    Console(file=text, width=width, force_terminal=coloured).print(renderable)
    return text.getvalue()


def _write(text: str, output: Path | None) -> None:
    """To a file, whole or not at all, or to the terminal.

    Raises:
        UsageError: if the file cannot be written.
    """
    if output is None:
        click.echo(text.rstrip("\n"))
        return
    from cwbench.machine.files import write_atomically

    try:
        write_atomically(output, text.encode())
    except OSError as error:
        raise UsageError(f"{str(output)!r} cannot be written: {error.strerror or error}") from None
    click.echo(f"{output}", err=True)


@click.command()
@click.argument("method_a", shell_complete=names("method"))
@click.argument("method_b", shell_complete=names("method"))
@task_option
@preset_option
@click.option("--metric", default="", shell_complete=names("metric"), help="Default the main one.")
@click.option("--nfe", default="", help="Default the one that ranks, and the second one.")
@results_option
@json_option
@reports_errors
def compare(
    method_a: str,
    method_b: str,
    task: str | None,
    preset: str | None,
    metric: str,
    nfe: str,
    results: Path | None,
    as_json: bool,
) -> None:
    """Say on which tasks METHOD_A is better than METHOD_B, worse, or level.

    The difference is A - B, paired over seeds and observations, with its 95 % interval. A method
    with settings is named as in the leaderboard: "cot-fm (beta=10)".
    """
    from cwbench.boards.compared import comparison_table
    from cwbench.boards.frames import compared, comparison_row
    from cwbench.records.schema import brief

    found, problems = compared(method_a, method_b, results, task, preset, metric, nfe)
    _tell_skipped(problems, results)
    rows = [comparison_row(one) for one in found]
    if as_json:
        never = [
            row | ({"break_even": "never"} if row["break_even"] == math.inf else {}) for row in rows
        ]
        click.echo(json.dumps(never, indent=1))
    else:
        click.echo(f"{brief(method_a)} - {brief(method_b)}\n")
        click.echo(_rendered(comparison_table(rows), None).rstrip())


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--fresh/--no-fresh", default=True, help="Score stored models on fresh observations.")
@click.option(
    "--fresh-seed", type=click.IntRange(min=0, max=2**63 - 1),
    help="Of the fresh observations, to repeat those of before; default a new one, which is shown.",
)  # fmt: skip
@recorded("task")
@recorded("method")
@recorded("metric")
@where_option
@json_option
@reports_errors
@hosts_guests
def verify(
    directory: Path,
    fresh: bool,
    fresh_seed: int | None,
    tasks: list[str],
    methods: list[str],
    metrics: list[str],
    assignments: tuple[str, ...],
    as_json: bool,
) -> None:
    """Check records before they are submitted: whether they fit themselves and each other.

    Key, track, intervals, floors and counts have to follow from settings and values. Samples that
    are stored are scored again; a stored model is scored on fresh observations, and a gap above
    three standard errors is flagged. What came from a file is named again, by --task, --method or
    --metrics, and has to be what is on record. Folders and files lie where --set says, once for
    each: a record is held against its own, is not rescored where only those of other records are
    given, and is refused by one that no record was made of. What cannot be checked is counted
    apart. DIRECTORY is a results directory.
    """
    from cwbench.running.named import named
    from cwbench.settings import parse_places
    from cwbench.verifying.verify import chosen_seed
    from cwbench.verifying.verify import verify as verify_all

    seed = chosen_seed() if fresh_seed is None else fresh_seed
    given, files = parse_places(assignments), named(tasks, methods, metrics)
    found = list(verify_all(directory, fresh=fresh, settings=given, files=files, fresh_seed=seed))
    if as_json:
        told = [one.as_json() | {"fresh_seed": seed if fresh else None} for one in found]
        answer(json.dumps(told, indent=1))
    else:
        for one in found:
            answer(str(one))
    refused, rescored, drawn = (
        sum(getattr(one, how) for one in found) for how in ("refused", "rescored", "redrawn")
    )
    hashes = sum(one.verdict == "hashes only" for one in found)
    others = sum(bool(one.suite) for one in found)
    summary = (
        f"{len(found)} runs, {refused} with problems; scored again from samples: {rescored}, on "
        f"fresh observations: {drawn}, by hashes only: {hashes}, of another cwbench: {others}"
    )
    if as_json:
        click.echo(summary, err=True)
    else:
        answer(summary)
    if drawn:
        click.echo(f"fresh observations of seed {seed}; --fresh-seed {seed} repeats them", err=True)
    if refused:
        leave(1)


COMMANDS = (leaderboard, compare, verify)
