"""Entropic coupling of a minibatch that uses every data point: a random bijection.

Sampling pairs from the Sinkhorn plan loses 37 % of a batch, and each x should be seen as often as
the next. So the entropic problem is posed over random bijections sigma,

    min over laws q of  E_q[sum_i C_{i sigma(i)}] + eps KL(q | uniform),

whose solution is the Gibbs law q(sigma) proportional to exp(-sum_i C_{i sigma(i)} / eps). Its
pair probabilities tend to the Sinkhorn plan at eps as the batch grows. eps -> 0 gives the optimal
assignment, eps -> infinity a uniform permutation.

The law is drawn by a Markov chain. It starts at the optimal assignment of C - eps G, G of
independent Gumbel noise, whose mean cost is within a percent of that of the Sinkhorn plan already.
Then a sweep splits the batch at random into couples (i, k), and each exchanges partners with
probability 1 / (1 + exp(D / eps)), D the change of cost, which leaves the Gibbs law invariant.

Sources: Simulation-free Schrödinger bridges via score and flow matching (Tong et al., 2024)
https://arxiv.org/abs/2307.03672 samples the plan; Asymptotics of discrete Schrödinger bridges via
chaos decomposition (Harchaoui, Liu, Pal, 2020) https://arxiv.org/abs/2011.08963 has the law over
permutations and its limit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cwbench.ot.assignment import assignment
from cwbench.ot.checks import Float64, Int64, as_float64, check_positive, check_weight
from cwbench.ot.coupling import check_counts, label_cost, transport_cost

SWEEPS = 20
"""Sweeps of the chain; the tests hold the mean cost they reach to that of the Sinkhorn plan."""


@dataclass(frozen=True)
class EntropicOT:
    """A bijection drawn from exp(-sum_i C_{i sigma(i)} / eps), C as in `ConditionalOT`.

    A function of its arguments alone: the latents, random as they are, seed the chain.

    Attributes:
        epsilon: eps in units of the deviation of |z_i - x_j|^2 over the batch, so that it means the
            same on every problem.
        beta: weight on |e(y_i) - e(y_j)|^2, finite.
        embedding: e, as in `ConditionalOT`.
        sweeps: of the chain.

    Raises:
        ValueError: if `epsilon` is not positive or `beta` is negative or infinite.
    """

    epsilon: float
    beta: float = 0.0
    embedding: Callable[[Tensor], Tensor] | None = None
    sweeps: int = SWEEPS

    def __post_init__(self) -> None:
        check_positive("epsilon", self.epsilon)
        check_weight("beta", self.beta)

    def __call__(self, z: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """The bijection drawn; see `cwbench.ot.Coupling`."""
        check_counts(z, x, y)
        cost = transport_cost(z, x)
        eps = self.epsilon * float(cost.std())
        if eps == 0:
            return torch.arange(len(z))  # one row, or costs that are all equal: nothing to choose
        if self.beta > 0:
            cost = cost + self.beta * label_cost(y, self.embedding)
        seed = as_float64("z", z)[:4].copy().view(np.uint64).ravel()
        sigma = gibbs_bijection(cost, eps, np.random.default_rng(seed), self.sweeps)
        return torch.from_numpy(sigma)


@dataclass(frozen=True)
class ClassEntropicOT:
    """`EntropicOT` inside each class, for class labels; `epsilon` as there.

    Raises:
        ValueError: if `epsilon` is not positive.
    """

    epsilon: float

    def __post_init__(self) -> None:
        check_positive("epsilon", self.epsilon)

    def __call__(self, z: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """The bijection drawn, which keeps y; see `cwbench.ot.Coupling`."""
        check_counts(z, x, y)
        sigma = torch.empty(len(y), dtype=torch.int64)
        for label in y.unique():
            rows = torch.nonzero(y == label)[:, 0]
            inside = EntropicOT(self.epsilon)(z[rows], x[rows], y[rows])
            sigma[rows] = rows[inside]
        return sigma


def gibbs_bijection(cost: Float64, eps: float, rng: np.random.Generator, sweeps: int) -> Int64:
    """A permutation after `sweeps` of the chain from a perturbed assignment, `(n,)`.

    Args:
        cost: with shape `(n, n)`.
        eps: the temperature, in units of the cost, positive.
        rng: source of randomness.
        sweeps: of floor(n / 2) couples each.
    """
    sigma = assignment(cost - eps * rng.gumbel(size=cost.shape))
    scaled = cost / eps
    couples = len(cost) // 2
    threshold = rng.logistic(size=(sweeps, couples))  # exchange iff D / eps <= logistic noise
    for level in threshold:
        order = rng.permutation(len(cost))
        i, k = order[:couples], order[couples : 2 * couples]
        j, m = sigma[i], sigma[k]
        change = scaled[i, m] + scaled[k, j] - scaled[i, j] - scaled[k, m]
        exchanged = change <= level
        sigma[i] = np.where(exchanged, m, j)
        sigma[k] = np.where(exchanged, j, m)
    return sigma
