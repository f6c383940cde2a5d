"""The commands that say what there is: list, describe."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from cwbench import registry
from cwbench.cli.hosting import answer, hosts_guests
from cwbench.cli.options import json_option, names, reports_errors, results_option, set_option


@click.command("list")
@click.argument("kind", required=False, type=click.Choice(["tasks", "methods", "metrics"]))
@click.option(
    "--check", is_flag=True, help="Import each in a process of its own; show the broken ones."
)
@json_option
@reports_errors
def list_plugins(kind: str | None, check: bool, as_json: bool) -> None:
    """List tasks, methods and metrics; nothing is imported.

    A name that is claimed twice, or is none, is refused; the others are listed and can be used.
    """
    chosen = [p for p in registry.plugins() if kind is None or f"{p.kind}s" == kind]
    errors: dict[str, str | None] = {}
    if check:
        from cwbench.check.importing import import_errors

        errors = import_errors(chosen)
    refused = registry.refused()
    if as_json:
        rows: list[dict[str, str | None]] = [
            dict[str, str | None](
                kind=p.kind, name=p.name, target=p.target,
                distribution=p.distribution, version=p.version,
                **({"error": errors[p.name]} if check else {}),
            )
            for p in chosen
        ]  # fmt: skip
        rows += [{"kind": None, "name": name, "error": why} for name, why in refused.items()]
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
        for name, why in refused.items():
            click.echo(f"refused\n  {name!r}: {why}")
    if any(errors.values()) or (check and refused):
        sys.exit(1)


@click.command()
@click.argument("plugins", nargs=-1, metavar="NAME...", shell_complete=names(*registry.KINDS))
@click.option(
    "--bibtex",
    is_flag=True,
    help="Only what to cite, each paper once; without NAME, for everything on record.",
)
@set_option
@results_option
@reports_errors
@hosts_guests
def describe(
    plugins: tuple[str, ...], bibtex: bool, assignments: tuple[str, ...], results: Path | None
) -> None:
    """Say what a task, method or metric is under the settings given: defaults, presets, citation.

    Of a method, what it needs and sees. Of a task with an exact posterior, how far it is from
    Gaussian.
    """
    from cwbench.judging.difficulty import difficulty
    from cwbench.reporting.description import described_task, description, difficulty_text
    from cwbench.running.request import preset_of
    from cwbench.settings import parse

    if not plugins and not bibtex:
        raise click.UsageError("Missing argument 'NAME...'; `cwbench list` shows the names.")
    given = parse(assignments)
    tasks = {name: described_task(name, given) for name in plugins}
    texts = {name: description(name, task, given) for name, task in tasks.items()}
    if bibtex:
        from cwbench.reporting.citations import citations, names_on_record

        answer(citations(plugins or names_on_record(results)))
        return
    for place, (name, text) in enumerate(texts.items()):
        answer(f"\n\n{text}" if place else text)
        task = tasks[name]
        if task and task.has_posterior:
            found = difficulty(task, preset_of(task, "quick"))
            answer(f"\n{difficulty_text(task, found)}")


COMMANDS = (list_plugins, describe)
