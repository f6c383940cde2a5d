"""What the tests do in a contributor's repository."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cwbench.records import runs as records
from results.adopt import adopt

Git = Callable[..., str]


def handed_in(computed: Path, method: str, seed: int, results: Path, *, models: bool) -> Path:
    """A run as `python -m results.adopt` puts it into a results directory; where it is."""
    (place,) = computed.glob(f"runs/*/{method}/*/*/seed-{seed}")
    record = records.read(place)
    assert record is not None
    return adopt(record, results, models=models)


def commit(git: Git, message: str) -> str:
    """Commit all that is there; the commit."""
    git("add", "--all")
    git("commit", "--quiet", "--allow-empty", "--message", message)
    return git("rev-parse", "HEAD")
