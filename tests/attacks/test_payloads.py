"""Texts in records that terminals obey, spreadsheets compute or nobody can read: shown, never more.

Each payload stands in every text of a record that is shown somewhere, and in its log. Each output
is read as its reader does (a spreadsheet its cells, a browser the data of its page, LaTeX its
macros): what is obeyed, computed or set there is wrong, and what does not stand there is lost.
"""

from __future__ import annotations

import base64
import csv
import html
import io
import json
import os
import re
import shutil
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from attacks.counts import Attack, Counts, Hung, limited
from click.testing import CliRunner
from made_runs import write_run

from cwbench.cli.main import main
from cwbench.records.runs import read

PAYLOADS = {
    "bell": "\a", "backspace": "a\b\b\b", "escape": "\x1b", "clear": "\x1b[2J\x1b[H",
    "colour": "\x1b[31mred\x1b[0m", "title": "\x1b]0;owned\x07", "clipboard": "\x1b]52;c;bHM=\x07",
    "link": "\x1b]8;;http://x\x1b\\here\x1b]8;;\x1b\\", "c1": "\x9b31mred", "return": "safe\rfake",
    "null": "a\x00b", "delete": "a\x7f", "override": "\u202egpj.exe", "isolate": "\u2066a\u2069",
    "mark": "\u200fabc", "embedding": "\u202aabc\u202c", "separator": "a\u2028b", "surrogate":
    "\ud800", "formula": "=cmd|' /C calc'!A0", "plus": "+1+1", "minus": "-1+1", "at": "@SUM(1)",
    "tab": "\t=1+1", "macros": "\\input{x}%&#_$^~}", "markup": "<img src=x onerror=f()>|[a](b)`*",
    "mathematics": "$\\frac{$", "console": "[red]a[/red][/]", "long": "x" * 5_000,
    "huge": "y" * 10_000_000,
}  # fmt: skip

OBEYED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""What no output holds."""
LONGEST = 30_000
"""Characters of a line of any output; JSON tells whole what a record may hold, 20,000."""

SECONDS = 60
"""Of a command; a busy machine takes its time."""
BEGIN = "\0"
"""Before every text of an output, and nowhere else."""
ROWS = ("t (", "m (", "n (")
OUTPUTS: dict[str, tuple[str, ...]] = {
    "leaderboard --results DIR": ROWS,
    "leaderboard --results DIR --format md": ROWS,
    "leaderboard --results DIR --format csv": (*ROWS, BEGIN),
    "leaderboard --results DIR --format json": (*ROWS, BEGIN),
    "leaderboard --results DIR --format latex": ROWS,
    "leaderboard --results DIR --format html": (*ROWS, BEGIN),
    "status --results DIR": (*ROWS[1:], "failed "),
    "status --results DIR --json": (*ROWS[1:], BEGIN),
    "logs RUN": ("",),
    "why RUN OTHER": ROWS[1:],
    "why RUN OTHER --json": (BEGIN,),
    "compare --results DIR -- A B": ROWS,
    "verify DIR --no-fresh": ROWS[1:],
    "verify DIR --no-fresh --json": ROWS[1:],
}
"""Commands, each with what stands before the payload in its output; `BEGIN`: a text is one."""


def infected(results: Path, payload: str) -> tuple[Path, Path, Path]:
    """Methods with the payload wherever a text of a record is shown; runs of m, n, one failed.

    The third method's role is the payload: the one text that a table has as it is.
    """
    short = payload[:3_000]
    part = {"changed": {short: short}, "params": {short: short}, "distribution": short}

    def run(method: str, seed: int, **options: Any) -> Path:
        own = {"role": short} if method == "o" else {"changed": {short: payload}}
        own |= {"params": {short: f"{short} {method}"}}
        values = {"ew2sq@nfe=3": [1.0 + seed, 2.0, 3.0], "ew2sq": [0.5 + seed, 2.0, 2.5]}
        return write_run(
            results, {} if options else values, method=method, seed=seed,
            task_part=part | {"group": short, "fingerprint": short}, method_part=part | own,
            environment={"platform": short}, diagnostics={short: short}, settings={short: short},
            **options,
        )  # fmt: skip

    made = [run(method, seed) for method in "mno" for seed in range(3)]
    failed = run("m", 3, status="failed", error=payload)
    (failed / "log.txt").write_bytes(payload.encode(errors="surrogatepass"))
    return made[0], made[3], failed


def seen(payload: str, words: str) -> str:
    """The first characters of a payload as they may be shown, without space."""
    if words.startswith("logs"):  # a file of bytes, shown line by line
        told = payload[:40].encode(errors="surrogatepass").decode(errors="replace")
        payload = "".join(told.splitlines())
    return squeezed(OBEYED.sub(lambda found: f"\\x{ord(found[0]):02x}", payload[:40]))[:30]


def squeezed(text: str) -> str:
    """Tables break lines at any space."""
    return re.sub(r"\s", "", text)


def texts(output: str, words: str) -> list[str]:
    """What a reader of this output has before him."""
    if "csv" in words:
        return [cell.removeprefix("'") for row in cells(output) for cell in row]
    if "json" in words:
        return list(strings(json.loads(output)))
    if "html" in words:
        return [html.unescape(DATA.sub("", output)), *strings(page_data(output))]
    if "md" in words:
        return [re.sub(r"\\([\\`*_{}\[\]<>#|~$&!])", r"\1", output)]
    return [latex_read(output)] if "latex" in words else [output, folded(output)]


def folded(output: str) -> str:
    """The names in a table on a terminal, which may fold: what is left of two spaces."""
    lines = (re.sub(r"^ ?[\d-]* {2,}", "", line).strip() for line in output.splitlines())
    return "".join(line.partition("  ")[0] for line in lines)


def cells(output: str) -> Iterable[list[str]]:
    """The cells of a spreadsheet."""
    return csv.reader(io.StringIO(output))


def strings(value: Any) -> Iterator[str]:
    """All texts in JSON, keys too."""
    if isinstance(value, str):
        yield value
    for part in value if isinstance(value, list) else ():
        yield from strings(part)
    for key, part in value.items() if isinstance(value, dict) else ():
        yield key
        yield from strings(part)


DATA = re.compile(r'(?<=id="data">)[^<]*')


def page_data(output: str) -> Any:
    """What the page inflates."""
    found = DATA.search(output)
    return json.loads(zlib.decompress(base64.b64decode(found[0]))) if found else None


SPELLED = {
    "textbackslash": "\\", "textasciicircum": "^", "textasciitilde": "~", "textless": "<",
    "textgreater": ">", "textbar": "|",
}  # fmt: skip
OURS = {
    "begin", "end", "centering", "small", "caption", "texttt", "toprule", "midrule", "bottomrule",
    "mathbf", "scriptsize", "pm", "usepackage", *SPELLED,
}  # fmt: skip


def latex_read(output: str) -> str:
    """A table as it is set, as far as texts go."""
    told = re.sub(r"\\(text[a-z]+)\{\}", lambda found: SPELLED[found[1]], output)
    return re.sub(r"\\([%&_#${}])", r"\1", told)


def computed(output: str) -> bool:
    """Whether a spreadsheet would."""
    return any(
        cell.startswith(("=", "+", "@", "-", "\t", "\r")) and not _is_number(cell)
        for row in cells(output)
        for cell in row
    )


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def set_by_latex(output: str) -> bool:
    """Whether macros, comments, columns or groups are not those of the table."""
    bare = re.sub(r"\\[%&_#${},]", "", output.partition("\n")[2])
    columns = {line.count("&") for line in bare.splitlines() if line.endswith("\\\\")}
    return (
        not {*re.findall(r"\\([A-Za-z]+)", bare)} <= OURS
        or any(mark in bare for mark in "%#_^~")
        or len(columns) != 1
        or bare.count("{") != bare.count("}")
        or bool(bare.count("$") % 2)
    )


def set_by_markdown(output: str) -> bool:
    """Whether there are links, elements, code or columns that are not those of the table."""
    lines = [line for line in output.splitlines() if line.startswith("|")]
    columns = {len(re.findall(r"(?<!\\)\|", line)) for line in lines}
    return len(columns) != 1 or re.search(r"(?<!\\)[<\[`]", output) is not None


WRONG: dict[str, Callable[[str], bool]] = {
    "csv": computed, "latex": set_by_latex, "md": set_by_markdown,
    "html": lambda output: "<img src=x" in output,
}  # fmt: skip


def counted(output: str, errors: str, words: str, payload: str) -> dict[str, int]:
    """What fell in an output."""
    try:
        told = texts(output, words)
    except ValueError:  # no JSON
        return {"lost": 1}
    obeyed = any(map(OBEYED.search, (output, errors, *told)))
    wrong = any(form in words and check(output) for form, check in WRONG.items())
    whole = any(form in words for form in ("csv", "html"))
    long = not whole and max(map(len, output.splitlines()), default=0) > LONGEST
    there = BEGIN + BEGIN.join(map(squeezed, told))
    lost = any(squeezed(before) + seen(payload, words) not in there for before in OUTPUTS[words])
    return {"wrong": int(obeyed or wrong or long), "lost": int(lost)}


def payloads(
    place: Path, n: int, chosen: Mapping[str, str] = PAYLOADS, outputs: Iterable[str] = OUTPUTS
) -> Counts:
    """n payloads in every output."""
    counts, before = Counts(), os.environ.get("CWBENCH_RESULTS")
    try:
        for name, payload in list(chosen.items())[-n:]:
            results = place / name
            os.environ["CWBENCH_RESULTS"] = str(results)
            one, other, failed = infected(results, payload)
            labels = [record.label for run in (one, other) if (record := read(run))]
            stand = dict(
                zip(("DIR", "RUN", "OTHER"), map(str, (results, failed, other)), strict=True)
            )
            stand |= dict(zip("AB", labels, strict=True))
            for words in outputs:
                said = [stand.get(word, word) for word in words.split()]
                try:
                    with limited(SECONDS):  # without `color` click takes escapes out
                        done = CliRunner().invoke(main, said, color=True)
                except Hung:
                    counts += Counts(1, hung=1)
                    continue
                crashed = done.exception is not None and not isinstance(done.exception, SystemExit)
                fell = counted(done.stdout, done.stderr, words, payload)
                counts += Counts(1, crashed=int(crashed), **fell)
            shutil.rmtree(results)
    finally:
        os.environ.pop("CWBENCH_RESULTS")
        if before is not None:
            os.environ["CWBENCH_RESULTS"] = before
    return counts


ATTACKS = [Attack("payloads in records, by output", payloads, len(PAYLOADS))]


@pytest.mark.parametrize("name", ["clear", "formula", "console"])
def test_a_payload_is_shown(tmp_path: Path, name: str) -> None:
    assert payloads(tmp_path, 1, {name: PAYLOADS[name]}) == Counts(len(OUTPUTS))


NOTHING = re.compile("(?!)")
ESCAPES: list[tuple[str, str, str, Any]] = [
    ("formula", "csv", "cwbench.boards.formats.COMPUTED", ()),
    ("markup", "md", "cwbench.boards.markup.MARKDOWN", {}),
    ("macros", "latex", "cwbench.boards.markup.LATEX", {}),
    ("override", "html", "cwbench.records.schema.HIDDEN", NOTHING),
    ("clear", "leaderboard --results DIR", "cwbench.records.schema.HIDDEN", NOTHING),
    ("clear", "why RUN OTHER --json", "cwbench.records.schema.HIDDEN", NOTHING),
    ("clear", "verify DIR --no-fresh", "cwbench.records.schema.HIDDEN", NOTHING),
]


@pytest.mark.parametrize(("name", "form", "escape", "none"), ESCAPES)
def test_without_its_escape_it_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, form: str, escape: str, none: Any
) -> None:
    """The same holds with nothing shown at all."""
    (words,) = [words for words in OUTPUTS if words.endswith(form)]
    monkeypatch.setattr(escape, none)
    assert payloads(tmp_path, 1, {name: PAYLOADS[name]}, [words]).wrong == 1
    assert counted("[]", "", words, PAYLOADS[name])["lost"] == 1


@pytest.mark.attacks
def test_in_full(tmp_path: Path) -> None:
    assert payloads(tmp_path, len(PAYLOADS)) == Counts(len(PAYLOADS) * len(OUTPUTS))
