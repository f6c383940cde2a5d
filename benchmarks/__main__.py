"""Print the ratios: `python -m benchmarks [--only NAME]`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

from benchmarks import (
    coupling,
    factors,
    images,
    leaderboard,
    metric,
    plain_loop,
    plain_scripts,
    records,
    rules,
    startup,
    sweep,
)
from benchmarks.timing import Ratio, machine

TOPICS: dict[str, Callable[[], Iterator[Ratio]]] = {
    "coupling": coupling.ratios,
    "rules": rules.ratios,
    "plain-scripts": plain_scripts.ratios,
    "plain-loop": plain_loop.ratios,
    "metric": metric.ratios,
    "images": images.ratios,
    "factors": factors.ratios,
    "startup": startup.ratios,
    "records": records.ratios,
    "leaderboard": leaderboard.ratios,
    "sweep": sweep.ratios,
}


def main() -> None:
    """Measure and print, topic by topic."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", choices=TOPICS, help="measure this topic alone")
    chosen = parser.parse_args().only
    print(machine(), flush=True)
    for name in [chosen] if chosen else TOPICS:
        print(f"\n{name}")
        for ratio in TOPICS[name]():
            print(f"  {ratio}", flush=True)


if __name__ == "__main__":
    main()
