"""What a task, a method or a metric asks to have cited: `info.citation`, read as BibTeX.

A citation takes one of three forms, told apart by how it is written:

* keys of `cwbench/references.bib`, with commas or spaces between them: what built-ins use
  ("lipman2023flow", "lopezpaz2017revisiting, lueckmann2021benchmarking"). The key "cwbench" is the
  suite itself, for what was made for it and has no paper;
* BibTeX, one entry or several: what a plugin keeps in its class. An entry starts a line with
  "@type{key," and closes its braces;
* the path of a file that ends in ".bib", relative to the folder of the module that defines the
  class: what a plugin ships in its package. All of its entries are cited.

An empty citation cites nothing; `cwbench check` refuses it.
"""

from __future__ import annotations

import functools
import inspect
import re
from pathlib import Path
from typing import Any

from cwbench.errors import ContractError, unknown
from cwbench.machine.files import contents
from cwbench.version import VERSION

REFERENCES = Path(__file__).with_name("references.bib")
SUITE_KEY = "cwbench"
SUITE = f"""@software{{{SUITE_KEY},
  title   = {{cwbench: benchmark of conditional generative methods by their posteriors}},
  author  = {{{{The cwbench developers}}}},
  version = {{{VERSION}}},
  year    = {{2026}}
}}"""

START = re.compile(r"^[ \t]*@\w+\{", re.MULTILINE)
ENTRY = re.compile(r"@\w+\{(?P<key>[^\s,{}]+),\s*\w+\s*=\s*[^\s,].*\}", re.DOTALL)
YEAR = re.compile(r"\byear\s*=\s*[{\"]?\d{4}\b", re.IGNORECASE)
FORMS = (
    'BibTeX ("@misc{key, title = {..}, year = {..}}"), a .bib file beside the class, or keys of '
    "cwbench/references.bib"
)


def entries_of(plugin: type[Any]) -> list[str]:
    """The BibTeX entries that the class of a task, a method or a metric asks to have cited.

    Raises:
        ContractError: if its citation is in none of the three forms, or names what is not there.
    """
    try:
        folder = Path(inspect.getfile(plugin)).parent
        return entries(plugin.info.citation, folder)
    except ContractError as error:
        raise ContractError(f"{plugin.info.name!r}: {error}") from None


def entries(citation: str, folder: Path) -> list[str]:
    """The BibTeX entries that a citation means; `folder` is where its file would lie.

    Raises:
        ContractError: if it is in none of the three forms, or names what is not there.
    """
    citation = citation.strip()
    if not citation:
        return []
    if START.match(citation):
        return in_text(citation)
    if citation.endswith(".bib"):
        return in_text(_read(folder / citation))
    return [_referenced(key, citation) for key in re.split(r"[\s,]+", citation)]


def in_text(text: str) -> list[str]:
    """The entries of a BibTeX text, each as it stands there; what is between them is dropped.

    Raises:
        ContractError: if there is none, or one is not closed, or has no fields or no year.
    """
    starts = [found.start() for found in START.finditer(text)]
    if not starts:
        raise ContractError("there is no BibTeX entry in it")
    return [
        _entry(text[start:end])
        for start, end in zip(starts, [*starts[1:], len(text)], strict=True)
    ]  # fmt: skip


def key_of(entry: str) -> str:
    """The key of a BibTeX entry."""
    found = ENTRY.match(entry)
    assert found is not None  # noqa: S101 - entries come from `in_text`
    return found["key"]


@functools.cache
def references() -> dict[str, str]:
    """The entries of `references.bib` by key, and the suite's own."""
    return {key_of(entry): entry for entry in [*in_text(_read(REFERENCES)), SUITE]}


def _entry(text: str) -> str:
    """The entry that a text starts with, up to the brace that closes it."""
    depth = 0
    for position, character in enumerate(text):
        depth += (character == "{") - (character == "}")
        if character == "}" and depth == 0:
            return _whole(text[: position + 1].strip())
    raise ContractError(f"a BibTeX entry closes not all of its braces: {_shortened(text)}")


def _whole(entry: str) -> str:
    if not ENTRY.fullmatch(entry):
        raise ContractError(f"a BibTeX entry without key or fields: {_shortened(entry)}")
    if not YEAR.search(entry):
        raise ContractError(f"a BibTeX entry names no year: {_shortened(entry)}")
    return entry


def _referenced(key: str, citation: str) -> str:
    if key not in references():
        raise ContractError(
            f"the citation {_shortened(citation)} is none of {FORMS}: "
            f"{unknown('key', key, references())}"
        )
    return references()[key]


def _read(path: Path) -> str:
    try:
        return contents(path).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ContractError(f"the citation's file {path.name} cannot be read: {error}") from error


def _shortened(text: str, length: int = 60) -> str:
    line = " ".join(text.split())
    return repr(line if len(line) <= length else f"{line[:length]}..")
