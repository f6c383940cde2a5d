"""What to cite for the plugins one has used, as BibTeX."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from cwbench import registry
from cwbench.citations import SUITE, entries_of, references
from cwbench.errors import UsageError, unknown
from cwbench.records.frame import load_records

THEORY = "chemseddine2025conditional"
"""The paper whose distance the suite measures."""

TITLE = re.compile(r"\btitle\s*=\s*(.*?)[,\n]\s*\w+\s*=", re.DOTALL | re.IGNORECASE)


def citations(names: Iterable[str]) -> str:
    """The BibTeX of several plugins, of the theory and of the suite, each paper once.

    Raises:
        UsageError: if there is none of a name.
        ContractError: if a plugin cannot be imported or its citation cannot be read.
    """
    known = {plugin.name: plugin for plugin in registry.plugins()}
    entries: list[str] = []
    for name in names:
        if name not in known:
            raise unknown("name", name, known)
        entries += entries_of(known[name].load())
    entries = [entry for entry in entries if entry != SUITE]
    once: dict[str, str] = {}
    for entry in [*entries, references()[THEORY], SUITE]:
        once.setdefault(_paper(entry), entry)
    return "\n\n".join(once.values())


def names_on_record(results: Path | None) -> list[str]:
    """The tasks, methods and metrics of all records that are installed here.

    Raises:
        UsageError: if there are no records.
    """
    frame = load_records(results)
    if frame.empty:
        raise UsageError("there are no records to cite for; type: cwbench describe --bibtex NAME")
    installed = {plugin.name for plugin in registry.plugins()}
    used = (name for column in ("task", "method", "metric") for name in frame[column].unique())
    return [name for name in used if name in installed]


def _paper(entry: str) -> str:
    """What tells papers apart: the title, however braced and wrapped; plugins choose their keys."""
    title = TITLE.search(entry)
    return re.sub(r"[^a-z0-9]+", " ", re.sub(r"[{}]", "", title[1] if title else entry).lower())
