"""Numbers in the sentences of a page: what each of them is stands behind it, in a comment.

    `tds` has .009<!-- ladder / gaussian-mixture-informative / mode-weights / tds -->

No reader of the page sees it; `python -m docs.findings` writes the number that it asks for. Its
parts, in any order, are a preset, a task, a metric or a fact that a run diagnosed (or `seconds` of
the draws for an observation, `jacobians`, `operators` of a draw), `NFE 3` or `NFE judged`, `seed 0`
(or `lowest seed`, `highest seed`: of the values of single seeds; `all seeds`) and methods:

    A            the value of a method
    A - B        the paired difference
    A over B     the ratio of two values
    A below B    by how many per cent A is less than B
    A above B    by how many per cent it is more
    half of A    half the interval of its value; likewise its `floor`, `deviation` over seeds
    A repays B   the observations from which on training A has repaid itself

`A@20` is the sampler A at 20 calls; `A and B`, each any of these, have to come to the same text. A
part that is left out is that of the number before it in the same paragraph. Four comments ask for
nothing: `as set` stands behind the value of a setting, `in results/FILE` behind what a test takes
from a table there, `not kept` behind what a command in the same paragraph prints, whose records are
not kept, `from elsewhere` behind what others published. `<!-- table: not kept -->` stands before a
table of such numbers, which ends with `<!-- end of table -->`. Words, ranges of several methods and
whole numbers without a comment are held by readers alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from cwbench.boards.board import Board
from cwbench.boards.comparison import against
from cwbench.boards.costs import cost_of, repaid
from cwbench.boards.row import Row
from cwbench.boards.statistics import Interval

NUMBER = r"−?(?:\d[\d,]*)?\.?\d+"
MARKED = re.compile(
    rf"(?<![-+−\d.,])(?P<number>{NUMBER}(?:\s+±\s+{NUMBER})?)<!--\s+(?P<parts>[^>]*?)\s+-->",
    re.DOTALL,
)
"""A number and what it is."""
BARE = re.compile(r"−?\d*\.\d+|\d+(?=\s*%|\s+(?:to|and)\s+\d+\s*%|\s+per\s+cent)")
"""What has to be marked where it stands in a sentence: decimals and per cents."""
SILENT = re.compile(
    r"`[^`]*`|\]\([^)]*\)|^#.*?$|95 %\s+interval|\b\d+\.\d+\.\d+\b", re.DOTALL | re.MULTILINE
)
"""What is no sentence, and versions."""
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
TOLD = re.compile(
    r"(?P<before>[^\n]*(?:\n[^\n]+)*)\n\n<!-- table: (?P<what>not kept|in results/\S+) -->\n"
    r"(?P<rows>(?:\n\|[^\n]*)+)\n\n<!-- end of table -->"
)
"""A table of which that holds as a whole."""
PARAGRAPH = re.compile(r"\n\s*\n|\n(?=- )")
UNASKED = re.compile(r"as set|not kept|from elsewhere|in results/\S+")
COMMAND = re.compile(r"`(?:cwbench|python -m)[ .\n]")
EXTREMES: dict[str, Callable[[Iterable[float]], float]] = {"lowest": min, "highest": max}
SEEDS = {"lowest seed": "lowest", "highest seed": "highest", "all seeds": ""}
OF = re.compile(r"(half|floor|deviation) of (.+)")
BETWEEN = re.compile(r" (-|over|below|above|repays) ")
ALIKE = " and "
SAMPLING = ("seconds", "evaluations", "jacobians", "operators")


@dataclass(frozen=True)
class Asked:
    """What a number is; `seed` is `""` for the mean over all."""

    preset: str = ""
    task: str = ""
    metric: str = "ew2sq"
    nfe: str = ""
    seed: str = ""
    methods: str = ""

    def with_parts(self, parts: Iterable[str], known: Known) -> Asked:
        """The same but for these parts.

        Raises:
            LookupError: if two are of one kind, or nothing known has such a name.
        """
        found: dict[str, str] = {}
        for part in parts:
            kind, name = known.named(part)
            if kind in found:
                raise LookupError(f"{found[kind]!r} and {name!r} are both a {kind}")
            found[kind] = name
        return replace(self, **found)


@dataclass(frozen=True)
class Known:
    """What parts may name: of the records that are shown."""

    presets: set[str]
    tasks: set[str]
    metrics: set[str]
    """And facts: numbers of what a run diagnosed."""
    labels: set[str]

    @classmethod
    def of(cls, boards: Sequence[Board]) -> Known:
        """Of these boards."""
        rows = [row for board in boards for row in board.rows]
        facts = {
            name
            for row in rows
            for run in row.runs
            for name, number in run.content["diagnostics"].items()
            if isinstance(number, int | float)
        }
        return cls(
            {board.preset for board in boards},
            {board.title for board in boards},
            {column.metric for board in boards for column in board.columns} | facts | {*SAMPLING},
            {row.label for row in rows},
        )

    def named(self, part: str) -> tuple[str, str]:
        """Its kind, as in `Asked`, and name."""
        if part in self.presets:
            return "preset", part
        if part in self.tasks:
            return "task", part
        if part in self.metrics:
            return "metric", part
        if part.startswith("NFE "):
            return "nfe", part.removeprefix("NFE ").removeprefix("judged")
        if part in SEEDS or part.startswith("seed "):
            return "seed", SEEDS.get(part, part.removeprefix("seed "))
        if all(self._is_method(one) for one in part.split(ALIKE)):
            return "methods", part
        raise LookupError(f"nothing is called {part!r}")

    def _is_method(self, text: str) -> bool:
        of = OF.fullmatch(text)
        names = BETWEEN.split(of[2] if of else text)[::2]
        return len(names) <= 2 and all(name.partition("@")[0] in self.labels for name in names)


def refreshed(page: str, boards: Sequence[Board]) -> str:
    """The page with every number that is asked for as these boards have it.

    Raises:
        LookupError: if a comment asks for what they have not.
    """
    pieces, known = [], Known.of(boards)
    for paragraph in _paragraphs(page):
        asked, end = Asked(), 0
        for place in MARKED.finditer(paragraph):
            pieces.append(paragraph[end : place.start()])
            text, parts = place["number"], " ".join(place["parts"].split())
            end = place.end()
            if UNASKED.fullmatch(parts):
                pieces.append(place[0])
                continue
            try:
                asked = asked.with_parts(parts.split(" / "), known)
                number = _common(text, asked, boards)
            except LookupError as error:
                raise LookupError(f"{text}<!-- {parts} -->: {error}") from error
            same = number == " ".join(text.split())
            pieces.append((text if same else number) + place[0][len(text) :])
        pieces.append(paragraph[end:])
    return "".join(pieces)


def _common(text: str, asked: Asked, boards: Sequence[Board]) -> str:
    """What all that are named with an `and` between them have."""
    numbers = {
        name: written_as(text, answer(replace(asked, methods=name), boards))
        for name in asked.methods.split(ALIKE)
    }
    if len(set(numbers.values())) > 1:
        raise LookupError(f"they differ: {numbers}")
    return next(iter(numbers.values()))


def _paragraphs(page: str) -> Iterator[str]:
    """With what is between them, so that they add up to the page."""
    start = 0
    for gap in PARAGRAPH.finditer(page):
        yield page[start : gap.end()]
        start = gap.end()
    yield page[start:]


def answer(asked: Asked, boards: Sequence[Board]) -> Interval:
    """The number, with its interval where it has one.

    Raises:
        LookupError: if no board has it.
    """
    boards_found = [b for b in boards if (b.preset, b.title) == (asked.preset, asked.task)]
    if not boards_found:
        raise LookupError(f"no board of {asked.task!r} at {asked.preset!r}")
    board = next((board for board in boards_found if board.track == "fixed"), boards_found[0])
    if asked.seed and (OF.fullmatch(asked.methods) or " - " in asked.methods):
        raise LookupError("of single seeds there are values, facts and ratios alone")
    if of := OF.fullmatch(asked.methods):
        return _alone(_about(board, of[1], row_of(board, of[2]), asked))
    a, between, b = [*BETWEEN.split(asked.methods), "", ""][:3]
    one = row_of(board, a)
    if not between:
        return value(board, one, asked)
    other = row_of(board, b)
    if between == "-":
        column = board.column(asked.metric, asked.nfe or None)
        difference = against(board, one, other, column).difference if column else None
        if difference is None:
            raise LookupError("no such difference")
        return difference
    if between == "repays":
        return _alone(_over_seeds(asked.seed, one, lambda row: repays(board, row, other)))
    ratio = value(board, one, asked).mean / value(board, other, asked).mean
    return _alone({"over": ratio, "below": 100 * (1 - ratio), "above": 100 * (ratio - 1)}[between])


def _about(board: Board, what: str, row: Row, asked: Asked) -> float:
    """Half the interval of a value, its floor, or the deviation of its means over seeds."""
    cell = board.cell(row, board.column(asked.metric, asked.nfe or None))
    numbers = {} if cell is None else {
        "half": cell.half, "floor": cell.floor, "deviation": cell.values.mean(1).std(ddof=1),
    }  # fmt: skip
    if (number := numbers.get(what)) is None:
        raise LookupError(f"{row.label} has no {what}")
    return float(number)


def repays(board: Board, row: Row, other: Row) -> float:
    """Observations, rounded up."""
    found = repaid(board, row, other, str(board.task["main_nfe"]))
    if found is None or math.isinf(found):
        raise LookupError("it never repays itself")
    return math.ceil(found)


def row_of(board: Board, name: str) -> Row:
    """The row of this label, at the calls behind an @."""
    label, _, calls = name.partition("@")
    row = next((row for row in board.rows if row.label == label), None)
    if row is not None and calls:
        row = board.beside.get(row.place, {}).get(int(calls))
    if row is None:
        raise LookupError(f"no row {name!r} on {board.name}")
    return row


def value(board: Board, row: Row, asked: Asked) -> Interval:
    """Of a metric, or the mean over seeds of another fact of its records."""
    if asked.metric in SAMPLING:
        return _alone(_over_seeds(asked.seed, row, lambda one: _sampled(board, one, asked)))
    column = board.column(asked.metric, asked.nfe or None)
    if column is None:
        return _alone(_over_seeds(asked.seed, row, lambda one: fact(one, asked.metric)))
    cell = board.cell(row, column)
    if cell is None or cell.mean is None:
        raise LookupError(f"{row.label} has no {column.name}")
    if asked.seed:
        means = dict(zip(board.cells[column].seeds, cell.values.mean(1).tolist(), strict=True))
        return _alone(_one(asked.seed, {k: v for k, v in means.items() if not math.isnan(v)}))
    low, high = (cell.mean if end is None else end for end in (cell.low, cell.high))
    return Interval(cell.mean, low, high)


def _sampled(board: Board, row: Row, asked: Asked) -> float:
    """What a draw takes; seconds are of all draws for an observation."""
    nfe = asked.nfe or str(board.task["main_nfe"])
    if asked.metric == "seconds":
        cost = cost_of(board, row, nfe)
        found = cost.observation if cost else None
    else:
        found = row.sampling(nfe, asked.metric)
    if found is None:
        raise LookupError(f"no {asked.metric} of {row.label} on record")
    return found


def fact(row: Row, name: str) -> float:
    """The mean over runs of a number of what was diagnosed."""
    every = [run.content["diagnostics"] for run in row.runs]
    if any(name not in its for its in every):
        raise LookupError(f"no metric and no fact {name!r} of {row.label}")
    return sum(float(its[name]) for its in every) / len(every)


def _over_seeds(seed: str, row: Row, number: Callable[[Row], float]) -> float:
    """Of the row, or of its runs one by one."""
    if not seed:
        return number(row)
    return _one(seed, {run.seed: number(replace(row, runs=[run])) for run in row.runs})


def _one(seed: str, numbers: Mapping[int, float]) -> float:
    """Of one seed, or the lowest or highest of all."""
    if seed in EXTREMES:
        return EXTREMES[seed](numbers.values())
    by_name = {str(number): value for number, value in numbers.items()}
    if seed not in by_name:
        raise LookupError(f"no seed {seed}")
    return by_name[seed]


def _alone(number: float) -> Interval:
    return Interval(number, number, number)


def written_as(text: str, number: Interval) -> str:
    """The number in as many digits as this text has, or with its interval where this has one."""
    if "±" in text:
        if number.low == number.high:
            raise LookupError("it has no interval")
        return written(number)
    digits = len(text.partition(".")[2])
    told = f"{abs(number.mean):,.{digits}f}"
    if not text.lstrip("−").startswith("0."):
        told = told.removeprefix("0") if digits else told
    return "−" * (round(number.mean, digits) < 0) + told


def written(difference: Interval) -> str:
    """A difference and half its interval, of which two digits count."""
    half = (difference.high - difference.low) / 2
    digits = 3 if half <= 0 else min(4, max(0, 1 - math.floor(math.log10(half))))
    texts = (f"{abs(value):.{digits}f}".removeprefix("0") for value in (difference.mean, half))
    sign = "−" if round(difference.mean, digits) < 0 else ""
    return sign + " ± ".join(texts)


def unmarked(page: str) -> list[str]:
    """The decimals and per cents of sentences behind which nothing says what they are.

    Also comments without a number before them, what is not kept where no command stands beside it,
    and paragraphs with an odd number of backticks, in which code and sentences look the same.
    """
    found = [
        table["what"]
        for table in TOLD.finditer(page)
        if table["what"] == "not kept" and not COMMAND.search(table["before"] + table["rows"])
    ]
    for paragraph in _paragraphs(TOLD.sub(r"\g<before>", page)):
        marked = [(p["number"], " ".join(p["parts"].split())) for p in MARKED.finditer(paragraph)]
        if not COMMAND.search(paragraph):
            found += [number for number, parts in marked if parts == "not kept"]
        rest = SILENT.sub("", MARKED.sub("", paragraph))
        found += COMMENT.findall(rest) + BARE.findall(COMMENT.sub("", rest))
        found += [paragraph] * (COMMENT.sub("", paragraph).count("`") % 2)
    return found
