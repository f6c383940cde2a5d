"""Output where the encoding lacks letters: a letter is replaced, and never ends a command."""

from __future__ import annotations

import codecs
import io
from typing import IO

NAME = "cwbench"
"""Of the error handler, as Python's codecs know it."""

PLAIN = {
    "─": "-", "–": "-", "—": "-", "−": "-", "±": "+-", "×": "x", "·": ".", "…": "...", "≤": "<=",
    "≥": ">=", "→": "->", "†": "+", "²": "^2", "β": "beta", "ε": "eps", "λ": "lambda", "τ": "tau",
    "━": "-", "╸": "-", "╺": "-", "│": "|", "✓": "v", "✗": "x", "“": '"', "”": '"', "’": "'",
}  # fmt: skip


def writable(stream: IO[str] | None) -> None:
    """Let a stream take any text, as far as its encoding has it."""
    if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
        stream.reconfigure(errors=NAME)


def _plain(failure: UnicodeError) -> tuple[str | bytes, int]:
    """What stands for letters that cannot be encoded; bytes of file names stay themselves."""
    if not isinstance(failure, UnicodeEncodeError):
        raise failure
    letters = failure.object[failure.start : failure.end]
    if all("\udc80" <= letter <= "\udcff" for letter in letters):
        return bytes(ord(letter) - 0xDC00 for letter in letters), failure.end
    return "".join(PLAIN.get(letter, "?") for letter in letters), failure.end


codecs.register_error(NAME, _plain)
