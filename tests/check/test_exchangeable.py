"""The check of draws in the numbers that are judged, on draws of known faults."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from check_plugins import Good
from torch import Generator, Tensor
from torch.quasirandom import SobolEngine

from cwbench.check.exchangeable import RANDOM, exchangeable_draws, extremes
from cwbench.check.method_subject import MethodSubject
from cwbench.check.outcome import carried_out


def independent(m: int, n: int, d: int, generator: Generator) -> Tensor:
    return torch.randn(m, n, d, generator=generator)


def shared(m: int, n: int, d: int, generator: Generator) -> Tensor:
    """The same noise for all observations, which is no fault."""
    return torch.randn(1, n, d, generator=generator).expand(m, -1, -1)


def sobol(m: int, n: int, d: int, generator: Generator) -> Tensor:
    seeds = torch.randint(2**31, (m,), generator=generator).tolist()
    points = [SobolEngine(d, scramble=True, seed=seed).draw(n) for seed in seeds]
    return torch.special.ndtri(torch.stack(points).clamp(1e-6, 1 - 1e-6))


def mirrored(m: int, n: int, d: int, generator: Generator) -> Tensor:
    half = independent(m, n // 2, d, generator)
    return torch.cat([half, -half], 1)


def in_pairs(m: int, n: int, d: int, generator: Generator) -> Tensor:
    half = independent(m, n // 2, d, generator)
    return torch.stack([half, -half], 2).flatten(1, 2)


def ordered(m: int, n: int, d: int, generator: Generator) -> Tensor:
    noise = independent(m, n, d, generator)
    return noise.gather(1, noise[..., :1].argsort(1).expand_as(noise))


Noise = Callable[[int, int, int, Generator], Tensor]


def in_random_order(noise: Noise) -> Noise:
    """Points that balance each other, wherever they stand."""

    def drawn(m: int, n: int, d: int, generator: Generator) -> Tensor:
        return torch.stack(
            [row[torch.randperm(n, generator=generator)] for row in noise(m, n, d, generator)]
        )

    return drawn


def seen(noise: Noise) -> str:
    """What the check sees of a sampler with this noise, which draws exactly else."""

    class Noisy(Good):
        def sample(self, y, n, generator, nfe=None):
            e = self.spread * noise(len(y), n, self.spec.x_size, generator)
            x = (self.features(y) @ self.weight)[:, None] + e
            return x.float().reshape(len(y), n, *self.spec.x_shape)

    return carried_out(exchangeable_draws, MethodSubject(Noisy), {}).seen


@pytest.mark.parametrize("noise", [independent, shared])
def test_draws_by_chance_pass(noise: Noise) -> None:
    assert seen(noise) == ""


@pytest.mark.parametrize(
    ("noise", "fault"),
    [
        (sobol, "the two halves are closer to each other"),
        (mirrored, "the two halves are further apart|odd and even places are closer"),
        (in_pairs, "the two halves are closer to each other"),
        (ordered, "the two halves are further apart"),
        (in_random_order(sobol), "two calls are closer to each other"),
        (in_random_order(mirrored), "two calls are closer to each other"),
    ],
)
def test_draws_that_balance_each_other_or_come_in_an_order_are_found(
    noise: Noise, fault: str
) -> None:
    assert any(part in seen(noise) for part in fault.split("|"))


def test_an_extreme_comes_by_chance_as_often_as_is_said() -> None:
    """2,000 splits of skewed draws, whose noise two observations share: 1 in 100 on each side."""
    generator = Generator().manual_seed(0)
    places = torch.arange(24)
    splits = torch.stack([places < 12, places % 2 == 1])
    found = [
        side
        for _ in range(1000)
        for side in extremes(shared(2, 24, 3, generator).exp().double(), splits, generator)
    ]
    expected = len(found) / (RANDOM + 1)
    for side in (1, -1):
        assert abs(found.count(side) - expected) < 4 * math.sqrt(expected)


def test_draws_that_are_all_one_are_no_extreme() -> None:
    points = torch.ones(3, 10, 2, dtype=torch.float64)
    assert extremes(points, (torch.arange(10) < 5)[None], Generator().manual_seed(0)) == [0]
