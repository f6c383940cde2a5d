"""The command line: arguments in, text out. What it does is in `cwbench.api`."""

from __future__ import annotations

import sys
from typing import Any

import click

import cwbench
from cwbench.cli import catalogue, leaderboard, plot, plugins, results, run, sweep, theory
from cwbench.machine.guests import ending
from cwbench.machine.terminals import writable
from cwbench.running.warned import warn_in_a_line


class _Program(click.Group):
    """The commands; called as the program, it ends with its command, whatever a plugin left."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """As click's."""
        if arguments or options:
            return super().__call__(*arguments, **options)
        for stream in (sys.stdout, sys.stderr):
            writable(stream)
        warn_in_a_line()
        return ending(self.main)


@click.group(
    cls=_Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(cwbench.__version__, prog_name="cwbench")
def main() -> None:
    """Benchmark conditional generative methods by their posteriors, observation by observation.

    \b
    cwbench run --task gaussian-mixture --method cot-fm
    cwbench list
    cwbench describe cot-fm
    """  # noqa: D301 - click reads the character


FAMILIES = (run, sweep, catalogue, plot, plugins, results, leaderboard, theory)
for family in FAMILIES:
    for command in family.COMMANDS:
        main.add_command(command)
