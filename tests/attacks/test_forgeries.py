"""Records that somebody changed on purpose: `verify` accepts none that can be found out.

The forgeries are generated from the schema: every field that a rank depends on is changed alone,
then with all that hangs on it (key, place, hashes, and the values by observation), as somebody does
who knows the code. What is beyond any check is listed as it is found.
"""

from __future__ import annotations

import random
import shutil
from dataclasses import fields
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from attacks.counts import Attack, Counts
from attacks.forging import (
    COMPOUND,
    COSMETIC,
    content_of,
    forged,
    generated,
    honest,
    leaves,
)
from made_runs import write_run

from cwbench.records.record import Record
from cwbench.verifying.verify import verify

BEYOND = {
    "an oracle in disguise": "samples of the exact posterior, stored without a model as those of a "
    "learned method; a model beside them has to draw them again",
    "numbers made up": "values by observation with interval and percentile that follow from them, "
    "with neither samples nor a model: such a record is told as `hashes only`",
    "an outside sampler's copies": "a sampler of `cwbench.evaluate` that ignores its generator has "
    "equal seeds, as a copied record has: it is told",
    "another seed with noise": "values of another seed, moved by more than 1e-4 of their range, "
    "with neither samples nor a model",
    "other images": "values of a metric of labelled images: the images that it judged are not "
    "stored, and nothing draws them again",
    "a set of one sample each": "values of `w2sq-marginal`, for which a sample at each of 10,000 "
    "observations is drawn that is not stored, and nothing draws them again",
    "the best of many": "seeds or settings that were tried and not handed in; an NFE that was left "
    "out (`--nfe` may choose)",
    "a trained method's name": "a model by other code than the method of that name and version, "
    "where its samples are good: whoever judges the code has to fit it again",
    "its budget": "seconds, memory, the machine, diagnostics, what the fit spent, also more than "
    "its preset; without a model beside it evaluations and parameters too",
    "one fit under several seeds": "weights that were moved until draws differ by 3e-4 of their "
    "deviation, a fit that was trained a little further, a generator that turns its noise around "
    "first, or one of a method without a learning rate that says it took no steps; a copy in "
    "other words, such as hidden units in another order, is found",
    "a model that knows the judge": "weights that were fitted to some observations of the judge, "
    "or where single values tell little: `knn` with exact draws for the 8 of `smoke` among its "
    "pairs is refused on `gaussian-linear`, from 6 of them on (with 5 it scores .45 instead of "
    ".71), and not on `gaussian-mixture` (with all .02 instead of .16)",
    "code that knows the judge": "a plugin that loads the task itself, or draws otherwise where "
    "it is judged than where it was checked: `cwbench check METHOD --task TASK` tries it there, "
    "in the numbers of draws that are judged",
    "draws that lean a little on each other": "a sampler whose draws for one observation follow "
    "the others that are asked with it, by less than a deviation or two: `check` puts observations "
    "among others that lie far apart, and where those hardly differ sees nothing",
    "what is not installed": "a task or a method by another name: what is not here is not "
    "computed again, and such a record is told as `hashes only`",
    "a metric of that name from a file": "an entry that says its metric is of another source "
    "than the one here, which may be so: it is told as not checked, and stands in a column of its "
    "own",
    "a failure made up": "a run that is called failed, with a reason",
    "older than the suite": "a record that says it is of an older task, method or metric: what "
    "has changed since is told as not checked, and it stands on a board, row or column of its own; "
    "an older cwbench excuses nothing",
}
"""What no check of records can find, and why."""


EXCUSED = {
    "task.name, settled": "what is not installed",
    "method.name, settled": "a trained method's name",
    "status, settled": "a failure made up",
    "seed, settled, stripped": "numbers made up",
    "environment.world_size, settled, stripped": "its budget",
    "metrics.*.source_sha256": "a metric of that name from a file",
    "metrics.*.source_sha256, settled": "a metric of that name from a file",
    "made better, stripped": "numbers made up",
    "by observation, stripped": "numbers made up",
}
"""Generated forgeries that are of a kind that no check finds; some by the end of their names."""


def attack(place: Path, n: int) -> Counts:
    """N forgeries, or all if there are fewer: `wrong` counts those that are accepted."""
    return accepted(place, n)[0]


def accepted(place: Path, n: int) -> tuple[Counts, list[str]]:
    """What came of them, and the names of those that passed."""
    origin = honest(place / "honest")
    every = generated(content_of(forged(origin)))
    order = random.Random(3)  # noqa: S311 - no secret
    half = n // 2
    some = order.sample(COMPOUND, min(half, len(COMPOUND)))
    some += order.sample(every[len(COMPOUND) :], min(n - half, len(every) - len(COMPOUND)))
    chosen = every if n >= len(every) else some
    passed, crashed = [], 0
    for one in chosen:
        copy = place / "forged"
        shutil.copytree(origin, copy)
        one.forge(copy)
        try:
            if not any(found.refused for found in verify(copy, fresh_seed=5)):
                passed.append(one.name)
        except Exception:  # noqa: BLE001 - counted
            crashed += 1
        shutil.rmtree(copy)
    wrong = [name for name in passed if not beyond(name)]
    return Counts(tried=len(chosen), wrong=len(wrong), crashed=crashed), passed


def beyond(name: str) -> bool:
    """Whether a forgery is of a kind that nothing finds."""
    changed = {name, name.removesuffix(", stripped")}
    kinds = [kind for part in EXCUSED for kind in (part, f"* {part}")]
    return any(fnmatchcase(one, kind) for one in changed for kind in kinds)


ATTACKS = (Attack("forgeries", attack, 10**6),)


def test_every_field_of_a_record_is_forged_or_cosmetic(tmp_path: Path) -> None:
    """A field that is added to the record has to be put into one of both."""
    content = content_of(write_run(tmp_path, {"ew2sq": [1.0, 2.0]}))
    changed = {path[0] for path, _ in leaves(content)}
    named = {field.name for field in fields(Record)}
    assert named <= changed | {"environment"} | {name.partition(".")[0] for name in COSMETIC}


@pytest.mark.parametrize(
    "n", [10, pytest.param(10**6, marks=pytest.mark.attacks)], ids=["twin", "full"]
)
def test_no_forgery_that_can_be_found_is_accepted(tmp_path: Path, n: int) -> None:
    counts, passed = accepted(tmp_path, n)
    assert (counts.wrong, counts.crashed) == (0, 0), [name for name in passed if not beyond(name)]


def test_what_is_beyond_is_explained_and_stands_in_the_guide() -> None:
    assert {*EXCUSED.values()} <= {*BEYOND}
    page = (Path(__file__).parents[2] / "docs" / "trust.md").read_text()
    for what, why in BEYOND.items():
        assert f"| {what} | {why} |" in page
