"""The check that an observation's draws do not depend on those asked together with it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Generator, Tensor

from cwbench.check.company import alone, extremes
from cwbench.check.method_subject import MethodSubject
from cwbench.check.outcome import UnmetError
from cwbench.preset import NFE
from cwbench_baselines.linear_gaussian import LinearGaussian

Follows = Callable[[Tensor], Tensor]


def following(shift: Follows) -> type[LinearGaussian]:
    """The regression, its draws moved by something of all observations that are asked."""

    class Following(LinearGaussian):
        def sample(self, y: Tensor, n: int, generator: Generator, nfe: NFE | None = None) -> Tensor:
            return super().sample(y, n, generator, nfe) + shift(y.flatten(1)).float()

    return Following


def test_draws_that_depend_on_their_own_observation_pass() -> None:
    alone(MethodSubject(LinearGaussian))


@pytest.mark.parametrize(
    "shift",
    [
        lambda y: 0.3 * y.mean(),  # nearly 0 among typical observations
        lambda y: 0.3 * y.mean(0)[0],
        lambda y: 0.1 * y.norm(dim=1).mean(),
    ],
)
def test_draws_that_follow_their_company_fail(shift: Follows) -> None:
    with pytest.raises(UnmetError, match="standard errors"):
        alone(MethodSubject(following(shift)))


def test_the_extremes_are_far_apart_along_each_way() -> None:
    y = torch.zeros(6, 3)
    y[0, 0], y[1, 0] = -5, 5  # the widest direction
    y[2], y[3] = 4 * torch.ones(3), -4 * torch.ones(3)  # the means
    y[4] = torch.tensor([3.0, -3.0, 0.1])
    found = extremes(y)
    assert {frozenset(pair) for pair in found} >= {frozenset({2, 3})}
    assert found[-1][1] in (2, 3)  # the longest, from the centre of all
    assert extremes(torch.tensor([0, 0, 7, 1]))[0] in ((2, 0), (0, 2), (1, 2), (2, 1))
