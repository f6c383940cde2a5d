"""How often equal methods are told apart, at a promise of 5 %: tables of random effects.

    python -m benchmarks.rates --tables 4000

A table has k methods on S seeds and 30 observations. Methods, their seeds, their observations and
what is left have effects of one law with deviation 1 ("a third at ten": the seeds of a third of the
methods have 10); all means are 0. Counted are tables with any false statement, as the leaderboard
makes them, and false verdicts among single pairs, as `cwbench compare` does. The last rows are two
methods whose differences vary over observations alone, by a lognormal law with sigma.
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cwbench.boards.moderation import moderated
from cwbench.boards.pairs import judged, on_common_seeds
from cwbench.boards.statistics import effects

Array = NDArray[np.float64]
Law = Callable[[np.random.Generator, tuple[int, ...]], Array]

OBSERVATIONS = 30
SEEDS = (3, 5)
CHUNK = 200
"""Tables drawn at once."""


def lognormal(sigma: float) -> Law:
    """Of mean 0 and variance 1; skewness 6.2 at sigma = 1, 1.75 at sigma = 0.5."""
    scale = np.sqrt(np.exp(sigma**2) * np.expm1(sigma**2))

    def draw(rng: np.random.Generator, size: tuple[int, ...]) -> Array:
        return np.asarray((rng.lognormal(sigma=sigma, size=size) - np.exp(sigma**2 / 2)) / scale)

    return draw


def gaussian(rng: np.random.Generator, size: tuple[int, ...]) -> Array:
    """Of mean 0 and variance 1."""
    return rng.standard_normal(size)


def student(rng: np.random.Generator, size: tuple[int, ...]) -> Array:
    """Student's t with three degrees of freedom, of variance 1."""
    return np.asarray(rng.standard_t(3, size) / np.sqrt(3))


LAWS: dict[str, Law] = {"Gaussian": gaussian, "t_3": student, "lognormal": lognormal(1.0)}


class Case(NamedTuple):
    """Tables that are drawn alike; `wild`: a third of the methods at ten times the deviation."""

    law: str
    methods: int
    wild: bool = False
    most: tuple[float, float] | None = (0.05, 0.05)
    """The share of tables with a false statement that is promised, at 3 and at 5 seeds."""

    @property
    def name(self) -> str:
        """In a table."""
        return self.law + ", a third at ten" * self.wild

    def draw(self, rng: np.random.Generator, tables: int, seeds: int) -> Array:
        """Values with shape `(tables, methods, seeds, observations)`."""
        law, k, m = LAWS[self.law], self.methods, OBSERVATIONS
        deviation = np.ones((k, 1, 1))
        deviation[: k // 3 if self.wild else 0] = 10
        return (
            deviation * law(rng, (tables, k, seeds, 1))
            + law(rng, (tables, k, 1, m))
            + law(rng, (tables, k, seeds, m))
        )


ALIKE = [Case(law, k) for law in LAWS for k in (2, 8, 16)]
WILD = [
    Case(law, k, wild=True, most=(0.10, 0.05) if law != "lognormal" else None)
    for law in LAWS
    for k in (8, 16)
]


class Rates(NamedTuple):
    """Shares of tables with a false statement, and of pairs told apart by themselves."""

    tables: float
    pairs: float


def rates(case: Case, seeds: int, tables: int) -> Rates:
    """Of so many tables; equal arguments give equal rates."""
    text = f"{case.name} {case.methods} {seeds}"
    rng = np.random.default_rng(zlib.crc32(text.encode()))
    false, alone = 0, 0.0
    for start in range(0, tables, CHUNK):
        for values in case.draw(rng, min(CHUNK, tables - start), seeds):
            differing = on_common_seeds(values, moderated(values.mean(2)))
            false += bool(differing.apart_together().any())
            alone += float(differing.apart().mean())
    return Rates(false / tables, alone / tables)


def skewed(sigma: float, observations: int, tables: int) -> float:
    """False verdicts of two methods whose differences are lognormal over observations."""
    effect = lognormal(sigma)(np.random.default_rng(observations), (tables, 1, observations))
    values = np.repeat(effect, SEEDS[0], axis=1)
    degrees = np.full(tables, SEEDS[0] - 1.0)
    return float(judged(effects(values), degrees, observations).apart().mean())


def lines(tables: int) -> Iterator[str]:
    """The table in Markdown."""
    yield "| effects | methods | any false, 3 seeds | 5 seeds | a pair, 3 seeds | 5 seeds |"
    yield "|---|---|---|---|---|---|"
    for case in ALIKE + WILD:
        found = [rates(case, seeds, tables) for seeds in SEEDS]
        shares = [one.tables for one in found] + [one.pairs for one in found]
        cells = [case.name, str(case.methods), *(f"{100 * share:.1f} %" for share in shares)]
        yield "| " + " | ".join(cells) + " |"
    for sigma in (1.0, 0.5):
        name = f"over observations alone, lognormal with sigma {sigma:g}"
        shares = [f"{100 * skewed(sigma, m, 10 * tables):.1f} % of {m}" for m in (30, 50)]
        yield f"| {name} | 2 | {' | '.join(shares)} | | |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tables", type=int, default=4000)
    for line in lines(parser.parse_args().tables):
        print(line, flush=True)


if __name__ == "__main__":
    main()
