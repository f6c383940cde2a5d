"""The entropic bijection: its law by enumeration, Sinkhorn's plan, and both limits."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import ot as pot
import pytest
import torch

from cwbench.ot import ConditionalOT, EntropicOT, MinibatchOT
from cwbench.ot.entropic import ClassEntropicOT, gibbs_bijection


def test_the_chain_draws_the_gibbs_law(rng) -> None:
    cost, eps, draws = rng.uniform(size=(4, 4)), 0.3, 6_000
    everything = list(permutations(range(4)))
    energy = np.array([sum(cost[i, j] for i, j in enumerate(s)) for s in everything])
    law = np.exp(-energy / eps) / np.exp(-energy / eps).sum()
    counts = dict.fromkeys(everything, 0)
    for _ in range(draws):
        counts[tuple(gibbs_bijection(cost, eps, rng, 30).tolist())] += 1
    found = np.array(list(counts.values()))
    chi_squared = ((found - draws * law) ** 2 / (draws * law)).sum()
    assert chi_squared < 49.7  # 23 degrees of freedom, .999 quantile
    wrong = np.exp(-2 * energy / eps) / np.exp(-2 * energy / eps).sum()
    assert ((found - draws * wrong) ** 2 / (draws * wrong)).sum() > 200


@pytest.mark.parametrize("epsilon", [0.05, 0.2, 1.0])
def test_mean_cost_is_that_of_the_sinkhorn_plan(rng, epsilon) -> None:
    n = 150
    z, x = rng.normal(size=(n, 3)), rng.normal(size=(n, 3)) + 1
    cost = ((z[:, None] - x) ** 2).sum(2)
    eps, uniform = epsilon * cost.std(), np.full(n, 1 / n)
    plan = pot.sinkhorn(uniform, uniform, cost, eps, method="sinkhorn_log", numItermax=20_000)
    found = [
        cost[np.arange(n), gibbs_bijection(cost, eps, np.random.default_rng(s), 20)].mean()
        for s in range(30)
    ]
    assert np.mean(found) == pytest.approx((plan * cost).sum(), rel=0.02)
    lost = (1 - n * plan).prod(0).mean()  # what independent draws from the plan's rows miss
    assert lost > 0.25


def test_it_is_a_bijection_and_a_function_of_its_arguments(generator) -> None:
    z, x, y = (torch.randn(80, d, generator=generator) for d in (2, 2, 1))
    rule = EntropicOT(0.3, beta=2.0)
    sigma = rule(z, x, y)
    torch.manual_seed(5)
    assert torch.equal(rule(z, x, y), sigma)
    assert torch.equal(sigma.sort().values, torch.arange(80))
    assert not torch.equal(rule(z.flip(0), x, y).flip(0), sigma)


@pytest.mark.parametrize("beta", [0.0, 5.0])
def test_no_entropy_is_the_assignment(generator, beta) -> None:
    z, x, y = (torch.randn(80, d, generator=generator) for d in (2, 2, 1))
    exact = ConditionalOT(beta)(z, x, y) if beta else MinibatchOT()(z, x, y)
    assert torch.equal(EntropicOT(1e-9, beta)(z, x, y), exact)


def test_much_entropy_is_a_uniform_permutation(generator) -> None:
    z, x, y = (torch.randn(50, d, generator=generator) for d in (2, 2, 1))
    fixed, costs = [], []
    for _ in range(200):
        z = torch.randn(50, 2, generator=generator)
        sigma = EntropicOT(1e9)(z, x, y)
        fixed.append(float((sigma == torch.arange(50)).sum()))
        costs.append(float((z - x[sigma]).square().sum(1).mean()))
    assert np.mean(fixed) == pytest.approx(1, abs=0.3)  # of a uniform permutation, one
    drawn = float(x.square().sum(1).mean()) + 2
    assert np.mean(costs) == pytest.approx(drawn, rel=0.05)


def test_labels_are_kept(generator) -> None:
    z, x = (torch.randn(60, 2, generator=generator) for _ in range(2))
    y = torch.randint(4, (60,), generator=generator)
    y[0] = 9  # alone in its class
    sigma = ClassEntropicOT(0.2)(z, x, y)
    assert torch.equal(y[sigma], y)
    assert torch.equal(sigma.sort().values, torch.arange(60))
    assert torch.equal(ClassEntropicOT(1e-9)(z, x, y), ConditionalOT(float("inf"))(z, x, y))


@pytest.mark.parametrize(("epsilon", "beta"), [(0, 1), (-1, 1), (0.1, -1), (0.1, float("inf"))])
def test_bad_settings_are_refused(epsilon, beta) -> None:
    with pytest.raises(ValueError, match=r"epsilon|beta"):
        EntropicOT(epsilon, beta)
