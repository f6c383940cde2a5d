"""Numbers in sentences are what their comments say; values are taken from files by pandas here."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cwbench.boards.board import Board
from docs import findings, sentences
from results import build

RESULTS = Path(__file__).parents[1] / "results"
HERE = "ladder / gaussian-mixture-informative / "


@pytest.fixture(scope="module")
def shown() -> list[Board]:
    """The boards of the committed records."""
    return build.found(RESULTS)


def runs(method: str, *, exact: bool = False) -> dict[int, Path]:
    """The runs at 100 calls on the ladder's informative mixture, by seed."""
    found = {}
    for path in RESULTS.glob(f"runs/gaussian-mixture-informative/{method}/ladder/*/*/record.json"):
        record = json.loads(path.read_text())
        params = record["method"]["params"]
        calls = params.get("steps", 100) * params.get("particles", 1)
        if calls == 100 and (params.get("denoiser") == "exact") == exact:
            found[record["seed"]] = path.parent
    assert sorted(found) == [0, 1, 2]
    return found


def values(method: str, metric: str = "ew2sq", *, exact: bool = False) -> np.ndarray:
    """With a row for each seed."""
    tables = [pd.read_parquet(run / "observations.parquet")
              for _, run in sorted(runs(method, exact=exact).items())]  # fmt: skip
    judged = [(t["metric"] == metric) & t["nfe"].isin(["", "adaptive"]) for t in tables]
    return np.stack([t["value"][its] for t, its in zip(tables, judged, strict=True)])


def costs(method: str, *, exact: bool = False) -> list[tuple[float, float]]:
    """Seconds of the fit and of an observation's draws, by seed."""
    found = []
    for _, run in sorted(runs(method, exact=exact).items()):
        record = json.loads((run / "record.json").read_text())
        cost, sampling = record["cost"], record["cost"]["sampling"]
        seconds = sampling.get("adaptive", sampling.get("1"))["seconds"]
        fit = cost["fit_seconds"] + (cost.get("shared_seconds") or 0)
        found.append((fit, seconds / record["preset_values"]["observations"]))
    return found


def repaid() -> list[float]:
    """Observations from which on `fm` has repaid itself against `daps` with the exact denoiser."""
    pairs = zip(costs("fm"), costs("daps", exact=True), strict=True)
    return [math.ceil((fit - prior) / (draws - own)) for (fit, own), (prior, draws) in pairs]


def test_each_kind_of_number(shown: list[Board]) -> None:
    fm, tds, dps = (values(name).mean() for name in ("fm", "tds", "dps"))
    told = {
        "mode-weights / tds": values("tds", "mode-weights").mean(),
        "ew2sq / tds": tds,
        "tds / seed 1": values("tds").mean(1)[1],
        "tds / lowest seed": values("tds").mean(1).min(),
        "tds / highest seed": values("tds").mean(1).max(),
        "tds (denoiser=exact)": values("tds", exact=True).mean(),
        "dps - tds": dps - tds,
        "tds over fm": tds / fm,
        "fm below tds": 100 * (1 - fm / tds),
        "tds above fm": 100 * (tds / fm - 1),
        "deviation of dps": values("dps").mean(1).std(ddof=1),
        "seconds / tds": np.mean([draws for _, draws in costs("tds")]),
    }
    line = pd.read_csv(RESULTS / "leaderboard.csv.gz", low_memory=False).query(
        "task == 'gaussian-mixture-informative' and preset == 'ladder' and method == 'tds'"
        " and metric == 'ew2sq' and nfe == 'adaptive' and calls == 100"
    )
    told["half of tds"] = float((line["high"] - line["low"]).iloc[0] / 2)
    for parts, number in told.items():
        page = sentences.refreshed(f"It is .00000<!-- {HERE}{parts} -->.", shown)
        found = page.removeprefix("It is ").partition("<!--")[0]
        assert float(found.replace("−", "-")) == pytest.approx(number, rel=1e-6, abs=1e-5), parts


def test_a_fit_repays_itself_by_seeds(shown: list[Board]) -> None:
    page = sentences.refreshed(
        f"From 1<!-- {HERE}fm repays daps (denoiser=exact) / lowest seed -->"
        " to 1<!-- highest seed -->.",
        shown,
    )
    assert page.startswith(f"From {min(repaid())}<!--")
    assert f"to {max(repaid())}<!--" in page


def test_parts_are_those_of_the_number_before_within_a_paragraph(shown: list[Board]) -> None:
    page = f"`fm` .0<!-- {HERE}fm -->, `tds` .00<!-- tds -->.\n\nNext .0<!-- dps -->"
    with pytest.raises(LookupError, match=r"\.0<!-- dps -->: no board"):
        sentences.refreshed(page, shown)
    page = sentences.refreshed(page.partition("\n\nNext")[0], shown)
    assert (
        page == f"`fm` .0<!-- {HERE}fm -->, `tds` .{100 * values('tds').mean():02.0f}<!-- tds -->."
    )


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        ("ladder / gaussian-mixture / tsd", "nothing is called 'tsd'"),
        ("ladder / gaussian-mixture / mood-weights / tds", "nothing is called 'mood-weights'"),
        ("ladder / gaussian-mixtrue / mode-weights / tds", "nothing is called 'gaussian-mixtrue'"),
        ("ladder / gaussian-mixture / tds - tsd", "nothing is called 'tds - tsd'"),
        ("ladder / gaussian-mixture / dps - tds - fm", "nothing is called"),
        ("ladder / gaussian-mixture / fit_seconds / tds", "nothing is called"),
        ("ladder / gaussian-mixture / ew2sq / energy / tds", "are both a metric"),
        ("ladder / tds", "no board of '' at 'ladder'"),
        ("ladder / gaussian-mixture / effective_share / tds", "no fact 'effective_share'"),
        ("ladder / gaussian-mixture / tds@21", "no row 'tds@21'"),
        ("ladder / gaussian-mixture / tds / seed 7", "no seed 7"),
        ("ladder / gaussian-mixture / tds - fm / lowest seed", "values, facts and ratios alone"),
        ("ladder / gaussian-mixture / seed one / fm", "seed one"),
        ("ladder / gaussian-mixture / tds and dps", "they differ"),
        ("in error", "nothing is called 'in error'"),
    ],
)
def test_what_no_record_has_is_an_error(shown: list[Board], parts: str, problem: str) -> None:
    with pytest.raises(LookupError, match=problem):
        sentences.refreshed(f".1<!-- {parts} -->", shown)


def test_only_what_has_an_interval_is_written_with_one(shown: list[Board]) -> None:
    with pytest.raises(LookupError, match="it has no interval"):
        sentences.refreshed(f".1 ± .2<!-- {HERE}tds over fm -->", shown)


def test_digits_signs_and_intervals_are_kept() -> None:
    from cwbench.boards.statistics import Interval

    number = Interval(-0.0317, -0.0517, -0.0117)
    assert sentences.written_as(".03 ±\n  .02", number) == "−.032 ± .020"
    assert sentences.written_as("0.031", number) == "−0.032"
    assert sentences.written_as("−.1", number) == ".0", "no sign where nothing is left"
    assert sentences.written_as("4", Interval(1234.5, 0, 0)) == "1,234"
    assert sentences.written_as("−.123", Interval(1.5, 0, 0)) == "1.500"


def test_numbers_without_a_word_are_found() -> None:
    page = (
        "By .12 and .3<!-- as set -->, 26 to\n42 % of 8x8, `.5`, a 95 % interval, 0.2.0.\n\n"
        "Not kept .7<!-- not\nkept -->.\n\n"
        "By `cwbench run --task t` .8<!-- not kept -->, 1.5 ± .2, 12 per cent, 95 %\n\n"
        "<!-- table: not kept -->\n\n| a |\n| --- |\n| .9 |\n\n<!-- end of table -->\n"
    )
    assert sentences.unmarked(page) == [".12", "26", "42", ".7", "1.5", ".2", "12", "95"]
    page = page.replace("By `cwbench run --task t`", "It is")
    assert sentences.unmarked(page)[0] == "not kept", "a table of what no command prints"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("From 23 <!-- fm repays tds --> on.", ["<!-- fm repays tds -->"]),
        ("**23**<!-- fm repays tds -->", ["<!-- fm repays tds -->"]),
        ("By -.123<!-- dps - fm -->", ["<!-- dps - fm -->", "23"]),
        ("Code `a, .12 and .3<!-- as set -->", None),
        ("<!-- table: a word -->\n\n| .9 |\n\n<!-- end of table -->\n", None),
        ("<!-- table: not kept -->\n\n| .9 |\n\nIt is .77\n\n<!-- end of table -->\n", None),
    ],
)
def test_what_only_looks_marked_is_found(text: str, found: list[str] | None) -> None:
    assert sentences.unmarked(text) if found is None else found[0] in sentences.unmarked(text)


def test_numbers_of_the_tables_in_results() -> None:
    """What `in FILE` stands behind."""
    page = findings.PAGE.read_text()
    table = pd.read_csv(RESULTS / "guided-defaults.csv")
    best = table.groupby(["search", "setting"])["scaled"].mean().groupby("search").min()
    toy = pd.read_csv(RESULTS / "c2ot-toy.csv")
    fm = toy[(toy["method"] == "fm") & (toy["nfe"] == "adaptive")]["w2sq_marginal"]
    told = [f"{best[name]:.3f}" for name in ("langevin", "langevin-2", "daps", "daps-2")]
    told += [f"{fm.max():.2f}", f"{fm.median():.3f}"]
    marked = [(p["number"], p["parts"].split()) for p in sentences.MARKED.finditer(page)]
    named = [number for number, parts in marked if parts[0] == "in"]
    assert named == [text.removeprefix("0") for text in told]
