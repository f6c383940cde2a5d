"""The statements as a page: one HTML file that holds its figures, and these as PNG beside it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from html import escape
from pathlib import Path

from cwbench.machine.files import writable_directory, write_atomically
from cwbench.style import png
from cwbench.theory.statement import Outcome

HEAD = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>cwbench theory</title>
<style>
body { font: 16px/1.5 sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem; }
img { max-width: 100%; }
table { border-collapse: collapse; font-size: 85%; }
td { padding: .1rem .8rem .1rem 0; vertical-align: top; overflow-wrap: anywhere; }
td:first-child, td:nth-child(3) { white-space: nowrap; overflow-wrap: normal; }
.pass { color: #05671f; } .fail { color: #b00020; font-weight: bold; }
</style>
<h1>Conditional Wasserstein distances, recomputed</h1>
<p>Statements of <a href="https://arxiv.org/abs/2403.18705">Conditional Wasserstein Distances with
Applications in Bayesian OT Flow Matching</a> (Chemseddine, Hagemann, Steidl, Wald, 2025), computed
by <code>cwbench theory</code> from data of its own.</p>
"""


def write(outcomes: Mapping[str, Outcome], directory: Path) -> list[Path]:
    """Write `index.html` and a figure for each statement; their paths.

    Raises:
        UsageError: if the directory cannot be written.
    """
    writable_directory(directory)
    page, paths = HEAD, []
    for name, outcome in outcomes.items():
        image = png(outcome.figure)
        paths.append(directory / f"{name}.png")
        write_atomically(paths[-1], image)
        page += _section(name, outcome, base64.b64encode(image).decode())
    index = directory / "index.html"
    write_atomically(index, f"{page}</html>\n".encode())
    return [index, *paths]


def _section(name: str, outcome: Outcome, image: str) -> str:
    rows = "".join(
        f'<tr><td class="{"pass" if check.passed else "fail"}">'
        f"{'pass' if check.passed else 'FAIL'}</td><td>{escape(check.what)}</td>"
        f"<td>{check.value:.5g}</td><td>{escape(check.held_to)}</td></tr>\n"
        for check in outcome.checks
    )
    return (
        f'<h2 id="{escape(name)}">{escape(outcome.title)}</h2>\n<p>{escape(outcome.text)}</p>\n'
        f'<img alt="{escape(outcome.title)}" src="data:image/png;base64,{image}">\n'
        f"<table>{rows}</table>\n"
    )
