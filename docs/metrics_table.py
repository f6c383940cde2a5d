"""Writes the table of `metrics.md` from what the registered metrics of this package declare."""

from __future__ import annotations

from pathlib import Path

from cwbench import registry
from cwbench.check.faults import FAULTS
from cwbench.metric import (
    CalibrationMetric,
    ImageMetric,
    Metric,
    PairMetric,
    ReferenceMetric,
    SetMetric,
    SplitMetric,
)

PAGE = Path(__file__).parent / "metrics.md"
HEAD = "| name | what | kind | needs | better | debiased | ranks | sees | not seen | floor |"
KINDS = {
    ReferenceMetric: ("distance", "exact draws against exact draws"),
    SplitMetric: ("halves", "exact draws, one half taken twice"),
    PairMetric: ("score", "exact draws, where there are any"),
    CalibrationMetric: ("ranks", "uniform ranks"),
    SetMetric: ("set", "none"),
    ImageMetric: ("images", "real images of the other part"),
}


def row(cls: type[Metric]) -> str:
    """The line of one metric."""
    info = cls.info
    kind, floor = next(KINDS[base] for base in KINDS if issubclass(cls, base))
    if issubclass(cls, ImageMetric) and not cls.has_floor:
        floor = "none"
    cells = [
        f"`{info.name}`", info.title, kind, ", ".join(sorted(info.needs)), info.direction,
        "yes" if info.debiased else "no", "yes" if info.ranks else "no",
        ", ".join(f for f in FAULTS if f in info.sees),
        ", ".join(f for f in FAULTS if f not in info.sees), floor,
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def table() -> list[str]:
    """The lines of the table."""
    names = [
        p.name for p in registry.plugins() if (p.kind, p.distribution) == ("metric", "cwbench")
    ]
    rule = "|---" * HEAD.count(" | ") + "|---|"
    return [HEAD, rule, *(row(registry.load_metric(name)) for name in names)]


def written(page: str) -> str:
    """The page with its table made anew."""
    lines = page.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("| name |"))
    end = next((i for i in range(start, len(lines)) if not lines[i].startswith("|")), len(lines))
    return "\n".join([*lines[:start], *table(), *lines[end:]]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
