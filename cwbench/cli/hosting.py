"""Commands that run a plugin's code: their answer is their own, whatever a guest does.

`hosts_guests` marks such a command and `answer` is how it answers. All else that is written to
standard output, by whatever way, goes to standard error; what a plugin starts ends with the
command; and a plugin that raises or exits is one line.
"""

from __future__ import annotations

import functools
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, NamedTuple, NoReturn

import click

from cwbench import registry
from cwbench.errors import CwbenchError, message_of
from cwbench.machine.guests import alone, apart, visiting

KEY = "cwbench.answers"


class _Answers(NamedTuple):
    """Where answers go, and the process that gives them: what a plugin forked gives none."""

    stream: IO[str]
    process: int


def hosts_guests(command: Callable[..., Any]) -> Callable[..., Any]:
    """Let a command run the code of plugins as guests; it ends with a status by `leave`.

    The errors that it raises are those of ours (`reports_errors` shows them).
    """

    @functools.wraps(command)
    def wrapped(*arguments: Any, **options: Any) -> Any:
        with apart() as answers, alone(), visiting():
            click.get_current_context().meta[KEY] = _Answers(answers, os.getpid())
            try:
                return command(*arguments, **options)
            except (KeyboardInterrupt, CwbenchError):
                raise
            except Exception as failure:
                place = _of_guest(failure)
                if place is None:
                    raise
                raise CwbenchError(f"{place}: {message_of(failure)}") from failure
            except BaseException as failure:
                raise CwbenchError(f"a plugin ended the command: {_said(failure)}") from failure

    return wrapped


def answers() -> IO[str]:
    """What a command answers to."""
    found = click.get_current_context().meta.get(KEY)
    if found is None:
        return sys.stdout
    if found.process != os.getpid():
        os._exit(0)
    stream: IO[str] = found.stream
    return stream


def answer(text: object, *, nl: bool = True) -> None:
    """Print a part of the answer."""
    click.echo(text, answers(), nl=nl)


def leave(status: int) -> NoReturn:
    """End the command with an exit status; `sys.exit` would be taken for a plugin's."""
    click.get_current_context().exit(status)


def _said(failure: BaseException) -> str:
    if isinstance(failure, SystemExit) and not isinstance(failure.code, str):
        return f"it exited with status {failure.code or 0}"
    return message_of(failure)


def _of_guest(failure: BaseException) -> str | None:
    """The last line of a plugin's code that an error came through; None where it is our own."""
    outside = [p for p in registry.plugins() if p.distribution != "cwbench"]
    theirs = {p.target.partition(":")[0].partition(".")[0] for p in outside}
    places = [
        f"{Path(frame.f_code.co_filename).name}, line {line}"
        for frame, line in traceback.walk_tb(failure.__traceback__)
        if _package(frame.f_globals) in theirs or _package(frame.f_globals).startswith(FILE)
    ]
    return places[-1] if places else None


FILE = "cwbench_file_"
"""How the module of a plugin's file begins (`cwbench.registry`)."""


def _package(names: dict[str, Any]) -> str:
    return str(names.get("__name__", "")).partition(".")[0]
