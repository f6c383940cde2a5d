"""The condition-aware coupling against brute force and its limits."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch

from cwbench.ot import ConditionalOT, ConditionAwareOT, MinibatchOT
from cwbench.ot.c2ot import condition_distance, share, smallest_weight


@pytest.fixture
def batch(generator):
    def make(n=7, d_y=3):
        return tuple(torch.randn(n, d, generator=generator) for d in (2, 2, d_y))

    return make


def cosine(y):
    flat = y.double().numpy()
    unit = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    return 1 - unit @ unit.T


def test_conditions_are_compared_by_cosine_and_numbers_by_squares(batch) -> None:
    _, _, y = batch(20)
    assert condition_distance(y, "auto") == pytest.approx(cosine(y), abs=1e-12)
    assert (np.diagonal(condition_distance(y, "auto")) == 0).all()
    assert condition_distance(y, "cosine") == pytest.approx(condition_distance(3 * y, "cosine"))
    one = y[:, :1]
    squares = (one - one.T).double().numpy() ** 2
    assert condition_distance(one, "auto") == pytest.approx(squares, rel=1e-5)
    beside = condition_distance(torch.cat([y, 0 * y[:2]]), "cosine")  # a y of 0 has no direction
    assert beside[:20, :20] == pytest.approx(condition_distance(y, "cosine"), abs=1e-12)
    assert beside[20:, :20] == pytest.approx(0.5)
    assert (beside[20:, 20:] == 0).all()


@pytest.mark.parametrize("r_tar", [0.2, 0.3, 0.45])
def test_the_assignment_is_the_best_of_all_at_the_weight_found(batch, r_tar) -> None:
    z, x, y = batch()
    cost = torch.cdist(z.double(), x.double()).square().numpy()
    apart = cosine(y)
    np.fill_diagonal(apart, 0)
    w = smallest_weight(cost, apart, r_tar)
    total = cost + w * apart
    best = min(permutations(range(7)), key=lambda s: sum(total[i, j] for i, j in enumerate(s)))
    assert ConditionAwareOT(r_tar)(z, x, y).tolist() == list(best)


def counted(cost, apart, w, diagonal):
    """Entry by entry."""
    n = len(cost)
    drawn = [cost[j, j] if diagonal == "column" else cost[i, i] for i in range(n) for j in range(n)]
    return sum(a + w * b <= c for a, b, c in zip(cost.flat, apart.flat, drawn, strict=True))


@pytest.mark.parametrize("diagonal", ["column", "row"])
@pytest.mark.parametrize("r_tar", [0.02, 0.05, 0.2])
def test_the_weight_is_the_least_within_the_share(batch, r_tar, diagonal) -> None:
    z, x, y = batch(100)
    cost, apart = torch.cdist(z.double(), x.double()).square().numpy(), cosine(y)
    np.fill_diagonal(apart, 0)
    w = smallest_weight(cost, apart, r_tar, diagonal)
    assert w > 0
    assert counted(cost, apart, w, diagonal) <= r_tar * 100**2
    assert counted(cost, apart, w * (1 - 1e-4), diagonal) > r_tar * 100**2
    assert share(cost, apart, w, diagonal) == counted(cost, apart, w, diagonal) / 100**2


def test_an_entry_is_compared_with_the_pair_of_its_datum(generator) -> None:
    """As the authors' code does it: `(M + w C <= torch.diag(M)).mean()`, bisected in w."""
    z, x, y = (torch.randn(64, 2, generator=generator).double() for _ in range(3))
    M = torch.cdist(z, x) ** 2
    C = 1 - torch.nn.functional.normalize(y) @ torch.nn.functional.normalize(y).T
    C.fill_diagonal_(0)
    low, high = 0.0, 1e3
    for _ in range(60):
        w = (low + high) / 2
        few = (M + w * C <= torch.diag(M)).double().mean() <= 0.05
        low, high = (low, w) if few else (w, high)
    assert smallest_weight(M.numpy(), C.numpy(), 0.05) == pytest.approx(high, rel=1e-6)
    by_row = smallest_weight(M.numpy(), C.numpy(), 0.05, "row")
    assert abs(by_row / high - 1) > 0.01
    assert smallest_weight(M.T.numpy(), C.T.numpy(), 0.05, "row") == pytest.approx(high, rel=1e-6)


def test_where_equal_conditions_alone_exceed_the_share_the_weight_ends(batch) -> None:
    z, x, y = batch(40)
    y[:30] = y[0]
    cost, apart = torch.cdist(z.double(), x.double()).square().numpy(), cosine(y)
    apart[apart < 1e-6] = 0
    w = smallest_weight(cost, apart, 0.03)
    assert 1e20 < w < np.inf
    sigma = ConditionAwareOT(0.03)(z, x, y)
    assert torch.equal(y[sigma], y)
    assert not torch.equal(sigma[:30], torch.arange(30))


def test_limits_are_plain_ot_and_the_pairing_as_drawn(batch) -> None:
    z, x, y = batch(60)
    assert torch.equal(ConditionAwareOT(0.99)(z, x, y), MinibatchOT()(z, x, y))
    assert smallest_weight(torch.cdist(z, x).square().numpy(), cosine(y), 0.99) == 0
    assert torch.equal(ConditionAwareOT(1.01 / 60)(z, x, y), torch.arange(60))


def test_a_share_that_the_diagonal_has_is_refused(batch) -> None:
    z, x, y = batch(20)
    with pytest.raises(ValueError, match="1/20"):
        ConditionAwareOT(0.05)(z, x, y)
    with pytest.raises(ValueError, match="r_tar"):
        ConditionAwareOT(0.0)


def test_labels_are_paired_within_their_class(batch, generator) -> None:
    z, x, _ = batch(50)
    y = torch.randint(3, (50,), generator=generator)
    sigma = ConditionAwareOT()(z, x, y)
    assert torch.equal(y[sigma], y)
    assert torch.equal(sigma, ConditionalOT(float("inf"))(z, x, y))
