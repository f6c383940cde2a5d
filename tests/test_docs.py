"""The code in README, CONTRIBUTING and the guide runs, or says why it does not.

Blocks of Python are executed, of TOML parsed, and the `cwbench` commands of shell blocks (indented
ones are such) carried out in this process, page by page in one directory, from top to bottom. A
block fenced as `text` is no code. HTML comments before a block say more:

    not run: why        it is left out
    slow                it runs under the marker `slow`
    tested with: WORDS  these end each command that makes runs, such as `--preset smoke`
    file: NAME          the directory of every page has it as that file
    leaderboard         what `results/build.py` makes begins; `end of leaderboard`: it ends
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from markdown_it import MarkdownIt
from PIL import Image

import cwbench
from cwbench import api
from cwbench.cli.main import main
from cwbench.records.record import Record

ROOT = Path(__file__).parents[1]
GUIDE = sorted((ROOT / "docs").glob("*.md"))
PAGES = {p.relative_to(ROOT).as_posix(): p
         for p in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *GUIDE]}  # fmt: skip
SAID = re.compile(
    r"<!-- (not run|slow|tested with|file|leaderboard|differences|values|table"
    r"|end of leaderboard|end of differences|end of values|end of table)(?:: (.+?))? -->"
)
MAKES_RUNS = {"run", "sweep", "evaluate", "export"}


@dataclass(frozen=True)
class Block:
    """A block of code: where it is, in what language, and what the comments before it say."""

    place: str
    language: str
    text: str
    said: dict[str, str] = field(hash=False)


def blocks(page: str) -> Iterator[Block]:
    said: dict[str, str] = {}
    for token in MarkdownIt("commonmark").parse(PAGES[page].read_text()):
        if token.type == "html_block":
            comments = SAID.findall(token.content)
            assert len(comments) == token.content.count("<!--"), f"{page}: {token.content}"
            said |= comments
        elif token.type in ("fence", "code_block") and token.map:
            language = token.info.strip() if token.type == "fence" else "sh"
            yield Block(f"{page}:{token.map[0] + 1}", language, token.content, said)
            said = {}
        elif token.nesting >= 0:
            said = {}


BLOCKS = {page: list(blocks(page)) for page in PAGES}
SLOW = [page for page in PAGES if any("slow" in block.said for block in BLOCKS[page])]


def test_every_block_is_run_or_says_why_not() -> None:
    for block in (b for page in BLOCKS.values() for b in page):
        assert block.language in {"python", "sh", "toml", "text"}, block.place
        assert block.language != "text" or not block.said, block.place
        assert len(block.said.get("not run", "a reason")) > 6, block.place
        if block.language == "sh" and "not run" not in block.said:
            assert commands(block), block.place
    done = [b for page in BLOCKS.values() for b in page if "not run" not in b.said]
    assert len([b for b in done if b.language in ("python", "sh")]) > 30


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """A directory with the files that the pages speak of."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CWBENCH_RESULTS", raising=False)
    for block in (b for page in BLOCKS.values() for b in page if "file" in b.said):
        (tmp_path / block.said["file"]).write_text(block.text)
    (tmp_path / "pictures").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (40, 16, 16), dtype=np.uint8)
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / "pictures" / f"{number}.png")
    page = request.node.callspec.params["page"] if hasattr(request.node, "callspec") else ""
    shows = any(".show(" in block.text for block in BLOCKS.get(page, ()))
    slow = request.node.get_closest_marker("slow") is not None
    _drawn_once(monkeypatch, by_method=slow or shows)
    return tmp_path


DRAWN: set[str] = set()
"""The tasks of which a fast test of this process has drawn figures."""


def _drawn_once(monkeypatch: pytest.MonkeyPatch, *, by_method: bool) -> None:
    """Figures take longer than a smoke run: the first run on a task has them.

    In slow tests, and on a page that shows figures, that of each method on it has, page by page.
    """
    draw, drawn = api._draw_figures, set() if by_method else DRAWN

    def draw_first(record: Record, *model: Any) -> None:
        name = record.task["name"] + f" {record.method['name']}" * by_method
        if name not in drawn:
            drawn.add(name)
            draw(record, *model)

    monkeypatch.setattr(api, "_draw_figures", draw_first)


LONG = {f"docs/{name}.md" for name in ("machines", "methods", "reading", "tasks")}
"""Their code takes seconds: with the slow tests."""


@pytest.mark.parametrize(
    "page", [pytest.param(p, marks=pytest.mark.slow if p in LONG else ()) for p in PAGES]
)
def test_the_code_of_a_page_runs(page: str, place: Path) -> None:
    carry_out(page, [b for b in BLOCKS[page] if not {"slow", "not run"} & set(b.said)])


@pytest.mark.slow
@pytest.mark.parametrize("page", SLOW)
def test_the_slow_code_of_a_page_runs(page: str, place: Path) -> None:
    carry_out(page, [b for b in BLOCKS[page] if "slow" in b.said])


def carry_out(page: str, chosen: list[Block]) -> None:
    if any(re.search(r"\bRUN\b", block.text) for block in chosen):
        cwbench.run("two-moons", "knn", preset="smoke", quiet=True)
    for block in chosen:
        try:
            if block.language == "python":
                exec(compile(block.text, block.place, "exec"), {"__name__": "page"})  # noqa: S102 - our own text
            elif block.language == "toml":
                assert tomllib.loads(block.text)
            elif block.language == "sh":
                for command in commands(block):
                    obey(command)
        except Exception as error:
            error.add_note(f"in {block.place}")
            raise


def commands(block: Block) -> list[list[str]]:
    """The commands of a block, all of cwbench, with the words that they are tested with."""
    found = []
    for line in block.text.splitlines():
        words = shlex.split(line, comments=True)
        if words:
            assert words[0] == "cwbench", f"{block.place}: {line!r} is no command of cwbench"
            more = block.said.get("tested with", "") if words[1] in MAKES_RUNS else ""
            found.append([*words[1:], *shlex.split(more)])
    return found


def obey(words: list[str]) -> None:
    """Carry out a command; RUN is the latest run."""
    if "RUN" in words:
        latest = max(
            Path("cwbench-results/runs").rglob("record.json"), key=lambda p: p.stat().st_mtime
        )
        words = [str(latest.parent) if word == "RUN" else word for word in words]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, f"cwbench {shlex.join(words)}\n{done.output}\n{done.stderr}"


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_sentences_exist(page: str) -> None:
    for code in re.findall(r"`cwbench ([a-z][^`]*)`", PAGES[page].read_text()):
        told = CliRunner().invoke(main, [code.split()[0], "--help"])
        assert told.exit_code == 0, code
        assert set(re.findall(r"--[a-z-]+", code)) <= set(re.findall(r"--[a-z-]+", told.output)), (
            code
        )


def test_the_methods_of_the_page_learn(place: Path) -> None:
    """Least squares is `linear-gaussian` without its penalty, so it has to score like it."""
    known, mine = (
        cwbench.run("gaussian-linear", name, preset="smoke", quiet=True, figures=False)
        for name in ("linear-gaussian", "./mine.py:Mine")
    )
    assert mine.value("ew2sq") == pytest.approx(known.value("ew2sq"), abs=0.01)


class Loaded(HTMLParser):
    """What a browser fetches by itself on opening a page."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        relation = given.get("rel") or ""
        if tag != "a" and not (tag == "link" and relation in {"canonical", "next", "prev"}):
            self.urls += [
                given[name] or "" for name in ("src", "href", "data", "srcset") if name in given
            ]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The guide, built as `make docs` does: a broken link or anchor is an error."""
    directory = tmp_path_factory.mktemp("site")
    pytest.importorskip("material", reason="needs the extra docs")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", directory]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return directory


def test_the_guide_builds_and_loads_nothing_from_the_network(site: Path) -> None:
    pages = [p for p in site.rglob("*.html") if p.name != "404.html"]
    assert len(pages) == len(GUIDE) + 1, "and the leaderboard's"
    for page in pages:
        loaded = Loaded()
        loaded.feed(page.read_text())
        assert loaded.urls or page.name == "leaderboard.html"
        assert [url for url in loaded.urls if re.match(r"(https?:)?//", url)] == [], page
        for url in loaded.urls:
            if not url.startswith(("data:", "#")):
                assert (page.parent / url.partition("#")[0].partition("?")[0]).exists(), (page, url)
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\(\s*['\"]?(https?:)?//", sheet.read_text()), sheet


@pytest.mark.parametrize("page", [*PAGES, "benchmarks/README.md", "results/README.md"])
def test_linked_files_exist(page: str) -> None:
    """Links out of the guide, into the repository, are not seen by mkdocs; nor are headings."""
    text = (ROOT / page).read_text()
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", text):
        file = ROOT / page if not target else (ROOT / page).parent / target
        assert file.exists(), target
        assert not anchor or anchor in headings(file), f"{target}#{anchor}"


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and mkdocs make them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


NUMBERS = {
    "d = 20, n = 400: 0.785": "are .79 of the",
    "d =  5, n = 400: 0.193": ".193 (in units",
    "s = 0.6: true 0.324, minus floor -0.379, debiased +0.188": "scores −.38 that way",
    "64 stripes: joint 0.016, conditional 2.000": "the joint distance is .016",
    "exact posterior: FID's formula 0.015, PSNR 14.54": "the exact posterior .015",
    "its mean, n times: FID's formula 0.789, PSNR 14.57": "14.57 dB against 14.54",
    "prior, blind to y: FID's formula 0.017": "FID's formula gives it .017",
}


@pytest.mark.slow
def test_numbers_in_the_guide_are_those_that_its_script_prints(tmp_path: Path) -> None:
    """Rounded there; 0.188 / 0.324 is the resolution of .58 that the text speaks of."""
    script = [sys.executable, ROOT / "docs" / "draw.py", tmp_path]
    printed = subprocess.run(script, capture_output=True, text=True, check=True).stdout
    text = " ".join((ROOT / "docs" / "reading.md").read_text().split())
    for computed, written in NUMBERS.items():
        assert computed in printed, printed
        assert written in text
    assert "about .58 at scale .6" in text
    assert len(list(tmp_path.glob("*.png"))) == 5


def test_figures_come_from_the_committed_script() -> None:
    script = (ROOT / "docs" / "draw.py").read_text()
    drawn = re.search(r"for draw in \((.*?)\)", script)
    assert drawn
    figures = {p.stem for p in (ROOT / "docs" / "figures").iterdir()}
    alone = figures & {p.stem for p in (ROOT / "docs").glob("*.py")}  # each has its script
    assert figures - alone == set(drawn[1].split(", "))
