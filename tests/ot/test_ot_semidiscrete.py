"""Semidiscrete potentials against a linear programme and against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from cwbench.ot import Semidiscrete, assignment
from cwbench.ot.semidiscrete import _TILE, chi_squared


@pytest.fixture
def solved(generator):
    def solve(x, y, beta, steps=3_000, **options):
        def draw(n, generator):
            rows = torch.randint(len(y), (n,), generator=generator)
            return torch.randn(n, x.shape[1], generator=generator), y[rows]

        found = Semidiscrete(x, y, beta=beta, **options)
        found.ascend(draw, steps=steps, generator=generator)
        return found, draw

    return solve


def test_every_atom_is_used_equally_often(solved, generator) -> None:
    x, y = torch.randn(8, 2, generator=generator) ** 3, torch.randn(8, 1, generator=generator)
    found, draw = solved(x, y, 1.0)
    z, c = draw(40_000, generator)
    shares = torch.bincount(found(z, c), minlength=8) / 40_000
    assert shares.numpy() == pytest.approx(1 / 8, abs=0.02)
    greedy = torch.bincount(Semidiscrete(x, y, beta=1.0)(z, c), minlength=8) / 40_000
    assert (greedy - 1 / 8).abs().max() > 0.05  # without potentials it is not so


@pytest.mark.parametrize("beta", [0.5, 4.0])
def test_its_cost_is_that_of_the_linear_programme(solved, generator, beta) -> None:
    x, y = torch.randn(6, 2, generator=generator) * 2, torch.randn(6, 1, generator=generator)
    found, draw = solved(x, y, beta)
    z, c = draw(1_200, generator)
    k = found(z, c)
    cost = torch.cdist(z.double(), x.double()).square() + beta * (c - y.T).double().square()
    copies = cost.repeat_interleave(200, 1).numpy()  # each atom holds 200 of 1200
    exact = copies[np.arange(1_200), assignment(copies)].mean()
    assert float(cost[torch.arange(1_200), k].mean()) == pytest.approx(exact, rel=0.04)


def test_much_beta_is_the_pairing_as_drawn_and_none_ignores_y(solved, generator) -> None:
    x, y = torch.randn(10, 2, generator=generator), torch.linspace(-1, 1, 10)[:, None]
    found, draw = solved(x, y, 1e5, steps=200)
    z, c = draw(500, generator)
    assert torch.equal(y[found(z, c)], c)
    blind, _ = solved(x, y, 0.0, steps=200)
    assert torch.equal(blind(z, c), blind(z, c.flip(0)))


def test_two_atoms_split_the_latents_by_a_hyperplane(solved, generator) -> None:
    """Equal masses of N(0, I): by symmetry the boundary passes through 0 wherever the atoms are."""
    x, y = torch.tensor([[0.5, 0.0], [4.0, 0.0]]), torch.zeros(2, 1)
    found, _ = solved(x, y, 1.0)
    z = torch.randn(5_000, 2, generator=generator)
    k = found(z, torch.zeros(5_000, 1))
    assert float((k == (z[:, 0] > 0)).double().mean()) > 0.98


def test_classes_are_kept(solved, generator) -> None:
    x, y = torch.randn(30, 2, generator=generator), torch.arange(30) % 3
    found, draw = solved(x, y, math.inf, steps=500)
    z, c = draw(1_000, generator)
    assert torch.equal(y[found(z, c)], c)
    with pytest.raises(ValueError, match="class labels only"):
        Semidiscrete(x, x, beta=math.inf)


@pytest.mark.parametrize("beta", [1.0, math.inf])
def test_where_the_data_lie_does_not_matter(solved, generator, beta) -> None:
    """Data, latents and conditions on a grid are moved by 8192 without a digit lost."""
    x = (64 * torch.randn(200, 2, generator=generator)).round() / 64
    y = x[:, :1] if beta == 1 else (x[:, 0] > 0).long()
    moved_y = y + 8192 if beta == 1 else y
    found = []
    for far, seen in ((0.0, y), (8192.0, moved_y)):

        def draw(n, generator, far=far, seen=seen):
            rows = torch.randint(len(x), (n,), generator=generator)
            return (64 * torch.randn(n, 2, generator=generator)).round() / 64 + far, seen[rows]

        one = Semidiscrete(x + far, seen, beta=beta)
        one.ascend(draw, steps=100, generator=torch.Generator().manual_seed(1))
        found.append(one(*draw(2_000, torch.Generator().manual_seed(2))))
    assert float((found[0] == found[1]).float().mean()) > 0.99
    assert chi_squared(found[1], 200) == pytest.approx(chi_squared(found[0], 200), abs=0.02)


@pytest.mark.parametrize("beta", [4.0, math.inf])
def test_a_batch_may_lack_the_top_class_and_the_data_a_class(generator, beta) -> None:
    x, y = torch.randn(40, 2, generator=generator), torch.arange(40) % 3
    y[y == 2] = 5
    found = Semidiscrete(x, y, beta=beta)
    z, few = torch.randn(20, 2, generator=generator), torch.arange(20) % 2
    cost = torch.cdist(z, x).square() + (beta * 2 if beta < 9 else 1e9) * (few[:, None] != y)
    assert torch.equal(found(z, few), cost.argmin(1))
    absent = torch.full((20,), 4)
    assert torch.equal(found(z, absent), torch.cdist(z, x).argmin(1))


def test_chi_squared_is_unbiased(generator) -> None:
    p = torch.tensor([0.4, 0.3, 0.2, 0.1])
    exact = float(4 * p.square().sum() - 1)
    found = [
        chi_squared(torch.multinomial(p, 20, True, generator=generator), 4) for _ in range(2_000)
    ]
    assert np.mean(found) == pytest.approx(exact, abs=4 * np.std(found) / 2_000**0.5)
    assert exact == pytest.approx(0.2)


@pytest.mark.parametrize("count", [_TILE - 1, _TILE, 2 * _TILE + 3])
@pytest.mark.parametrize("beta", [0.5, math.inf])
def test_the_nearest_of_all_data_is_found_wherever_it_stands(generator, count, beta) -> None:
    """By SciPy's distances in float64, with potentials; of equal data it is the first."""
    x = torch.randn(count, 3, generator=generator)
    y = torch.randn(count, 2, generator=generator) if beta < 1 else torch.arange(count) % 7
    found = Semidiscrete(x, y, beta=beta)
    found.g = 0.3 * torch.randn(count, generator=generator)
    rows = torch.randint(count, (300,), generator=generator)
    z, c = torch.randn(300, 3, generator=generator), y[rows]
    cost = cdist(z, x, "sqeuclidean") - found.g.numpy()
    if beta < 1:
        cost += beta * cdist(c, y, "sqeuclidean")
    else:
        cost[(c[:, None] != y).numpy()] = math.inf
    k = found(z, c).numpy()
    assert cost[np.arange(300), k] == pytest.approx(cost.min(1), abs=1e-5)
    assert (k == cost.argmin(1)).mean() > 0.98, "but for roundings"
    twice = Semidiscrete(torch.cat([x, x]), torch.cat([y, y]), beta=beta)
    twice.g = torch.cat([found.g, found.g])
    assert twice(z, c).max() < count


def test_data_far_out_are_reached_where_there_are_many(generator) -> None:
    """By E|x_k|^2 over E|x|^2 after 19 draws for each; .78 where steps fell as 1 / sqrt(step)."""
    x = 1.2 * torch.randn(20_000, 4, generator=generator)
    y = x[:, :1] + torch.randn(20_000, 1, generator=generator)
    found = Semidiscrete(x, y, beta=2.0)

    def draw(n, generator):
        rows = torch.randint(len(y), (n,), generator=generator)
        return torch.randn(n, 4, generator=generator), y[rows]

    def reach():
        k = torch.cat([found(*draw(1_000, generator)) for _ in range(10)])
        return float(x[k].square().sum(1).mean() / x.square().sum(1).mean())

    assert reach() < 0.7
    found.ascend(draw, steps=1_500, generator=generator)
    assert 0.9 < reach() < 1.05
