import math
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations

import numpy as np
import ot as pot
import pytest
import torch

from cwbench.ot import (
    ConditionalOT,
    Independent,
    MinibatchOT,
    changed_pairs,
    conditional_wasserstein_power,
    joint_wasserstein_power,
)


def batch(generator, n=40, d=3, k=2):
    draw = lambda size: torch.randn(n, size, generator=generator)  # noqa: E731
    return draw(d), draw(d), draw(k)


def squares(a, b):
    return (a[:, None].double() - b[None].double()).square().flatten(2).sum(-1).numpy()


def cost(z, x, y, sigma, beta):
    moved = (y - y[sigma]).double().reshape(len(y), -1).square().sum(1)
    return float(((z - x[sigma]).double().square().flatten(1).sum(1) + beta * moved).mean())


COUPLINGS = {
    "independent": Independent(),
    "minibatch-ot": MinibatchOT(),
    "conditional-ot": ConditionalOT(3.0),
    "embedded": ConditionalOT(3.0, torch.nn.Linear(2, 4)),
    "exact": ConditionalOT(math.inf),
}


@pytest.mark.parametrize("name", COUPLINGS)
def test_every_coupling_is_a_bijection(name, generator):
    sigma = COUPLINGS[name](*batch(generator))
    assert sigma.dtype == torch.int64
    assert sorted(sigma.tolist()) == list(range(40))


def test_independent_pairs_as_drawn(generator):
    sigma = Independent()(*batch(generator))
    assert sigma.tolist() == list(range(40))
    assert changed_pairs(sigma) == 0


def test_changed_pairs_is_a_share():
    assert changed_pairs(torch.tensor([0, 2, 1, 3])) == 0.5


@pytest.mark.parametrize("beta", [0.0, 0.5, 20.0])
def test_the_cost_is_the_least_over_all_permutations(beta, generator):
    z, x, y = batch(generator, n=6)
    sigma = ConditionalOT(beta)(z, x, y)
    best = min(cost(z, x, y, list(s), beta) for s in permutations(range(6)))
    assert cost(z, x, y, sigma, beta) == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize("beta", [0.0, 0.5, 20.0])
def test_the_cost_is_the_optimum_of_pot(beta, generator):
    z, x, y = batch(generator, n=100)
    sigma = ConditionalOT(beta)(z, x, y)
    uniform = np.full(100, 0.01)
    optimum = pot.emd2(uniform, uniform, squares(z, x) + beta * squares(y, y))
    assert cost(z, x, y, sigma, beta) == pytest.approx(optimum)
    assert joint_wasserstein_power(z, y, x, y, beta=beta) == pytest.approx(optimum)


def test_beta_zero_ignores_y(generator):
    z, x, y = batch(generator)
    assert torch.equal(ConditionalOT(0.0)(z, x, y), MinibatchOT()(z, x, y))
    assert changed_pairs(MinibatchOT()(z, x, y)) > 0.8
    shuffled = y[torch.randperm(40, generator=generator)]
    assert torch.equal(MinibatchOT()(z, x, y), MinibatchOT()(z, x, shuffled))


@pytest.mark.parametrize("beta", [1e8, math.inf])
def test_where_all_y_differ_the_limit_is_the_identity(beta, generator):
    sigma = ConditionalOT(beta)(*batch(generator))
    assert changed_pairs(sigma) == 0


@pytest.mark.parametrize("labels", [True, False])
def test_the_limit_is_optimal_inside_each_group(labels, generator):
    z, x, _ = batch(generator)
    classes = torch.arange(40) % 4
    y = classes if labels else torch.randn(4, 2, generator=generator)[classes]
    sigma = ConditionalOT(math.inf)(z, x, y)
    assert torch.equal(y[sigma], y)
    assert cost(z, x, y, sigma, 0.0) == pytest.approx(conditional_wasserstein_power(z, y, x, y))
    assert torch.equal(ConditionalOT(1e6)(z, x, y), sigma)


def test_class_labels_are_one_hot(generator):
    z, x, _ = batch(generator)
    labels = torch.randint(4, (40,), generator=generator)
    for beta in (0.2, 1.0):
        one_hot = torch.nn.functional.one_hot(labels).float()
        sigma = ConditionalOT(beta)(z, x, labels)
        assert torch.equal(sigma, ConditionalOT(beta)(z, x, one_hot))
        relabelled = torch.tensor([50, 3, 7, 0])[labels]  # numbers of classes mean nothing
        assert torch.equal(sigma, ConditionalOT(beta)(z, x, relabelled))
    assert not torch.equal(ConditionalOT(0.2)(z, x, labels), ConditionalOT(1.0)(z, x, labels))


def test_an_embedding_replaces_y(generator):
    z, x, y = batch(generator)
    first = lambda y: y[:, :1]  # noqa: E731
    assert torch.equal(ConditionalOT(2.0, first)(z, x, y), ConditionalOT(2.0)(z, x, y[:, :1]))
    doubled = ConditionalOT(2.0, lambda y: 2 * y)(z, x, y)
    assert torch.equal(doubled, ConditionalOT(8.0)(z, x, y))


def test_images_are_flattened(generator):
    z, x = torch.randn(2, 10, 1, 4, 4, generator=generator)
    y = torch.randn(10, 2, 3, generator=generator)
    flat = ConditionalOT(1.5)(z.flatten(1), x.flatten(1), y.flatten(1))
    assert torch.equal(ConditionalOT(1.5)(z, x, y), flat)


def test_latents_may_have_another_shape_but_not_another_size(generator):
    z, x, y = batch(generator, d=4)
    assert torch.equal(MinibatchOT()(z.reshape(40, 2, 2), x, y), MinibatchOT()(z, x, y))
    for coupling in (MinibatchOT(), ConditionalOT(1.0), ConditionalOT(math.inf)):
        with pytest.raises(ValueError, match="same dimension"):
            coupling(z[:, :3], x, y)


@pytest.mark.parametrize("name", COUPLINGS)
@pytest.mark.parametrize("short", [0, 1, 2])
def test_counts_must_agree(name, short, generator):
    arguments = list(batch(generator))
    arguments[short] = arguments[short][:39]
    with pytest.raises(ValueError, match="rows; give equal counts"):
        COUPLINGS[name](*arguments)


@pytest.mark.parametrize("beta", [-1.0, math.nan, -math.inf])
def test_beta_is_a_weight(beta):
    with pytest.raises(ValueError, match="beta is"):
        ConditionalOT(beta)


def test_threads_do_not_disturb_each_other(generator):
    batches = [batch(generator, n=80) for _ in range(16)]
    coupling = ConditionalOT(2.0, torch.nn.Linear(2, 4))
    alone = [coupling(*one) for one in batches]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda one: coupling(*one), batches))
    assert all(map(torch.equal, alone, together))
    assert torch.is_grad_enabled()
