"""The records that come with cwbench, and which results directories a reader looks into.

They are those of `results/runs` in the repository, without models and samples: in a clone they are
read there, in an installed package from `cwbench/shipped`, where `results/ship.py` puts them.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

from platformdirs import user_cache_path

from cwbench.records.runs import results_directory

OURS, YOURS = "cwbench", "yours"


class Source(NamedTuple):
    """A results directory, whose it is, and where what is derived from it may be kept."""

    results: Path
    origin: str
    home: Path | None = None


def shipped_results() -> Path | None:
    """Our own results directory, or None in an installation that left them out."""
    package = Path(__file__).parents[1]
    places = (package / "shipped", package.parent / "results")
    return next((place for place in places if (place / "runs").is_dir()), None)


def sources(results: str | os.PathLike[str] | None = None) -> list[Source]:
    """The directories to read: the one that is named, else the user's and ours."""
    ours, place = shipped_results(), results_directory(results)
    if ours is not None and place.exists() and place.samefile(ours):
        return [Source(place, OURS)]
    mine = Source(place, YOURS)
    if results is not None or ours is None:
        return [mine]
    name = hashlib.sha256(str(ours).encode()).hexdigest()[:16]
    return [mine, Source(ours, OURS, user_cache_path("cwbench") / f"shipped-{name}")]
