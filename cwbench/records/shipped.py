"""The records that come with cwbench, and which results directories a reader looks into.

They are those of `results/runs` in the repository, without models and samples: in a clone they are
read there, in an installed package from the archive that `results/ship.py` puts beside the code,
which is unpacked into the user's cache when it is first asked for.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import io
import os
import shutil
import tarfile
import tempfile
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
    archive, clone = package / "shipped.tar.xz", package.parent / "results"
    if archive.is_file():
        return unpacked(archive)
    return clone if (clone / "runs").is_dir() else None


def unpacked(archive: Path) -> Path:
    """The results directory that an archive holds, in the user's cache once and for all.

    Where that cannot be written it is a temporary one of this process.
    """
    content = archive.read_bytes()
    cache = user_cache_path("cwbench")
    place = cache / f"records-{hashlib.sha256(content).hexdigest()[:16]}"
    if place.is_dir():  # it appeared as a whole
        return place
    try:
        cache.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=".records-", dir=cache))
    except OSError:
        return _temporary(content)
    try:
        _extract(content, fresh)
        fresh.rename(place)
    except OSError:  # a full disk, or another process was first
        return place if place.is_dir() else _temporary(content)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return place


@functools.cache
def _temporary(content: bytes) -> Path:
    place = Path(tempfile.mkdtemp(prefix="cwbench-records-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    _extract(content, place)
    return place


def _extract(content: bytes, place: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:xz") as archive:
        for member in archive:
            path = place / member.name
            if member.isfile() and path.resolve().is_relative_to(place.resolve()):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(archive.extractfile(member).read())  # type: ignore[union-attr]


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
