"""Two moons, the problem of simulation-based inference with a crescent-shaped, folded posterior.

X ~ U[-1, 1]^2. A noise point p = (r cos a + 1/4, r sin a), a ~ U[-pi/2, pi/2], r ~ N(0.1, 0.01^2),
is moved to Y = p + (-|x_1 + x_2|, x_2 - x_1) / sqrt(2). With the rotated unknown
w = (x_1 + x_2, x_2 - x_1) / sqrt(2), given y: |w_1| = p_1 - y_1 and w_2 = y_2 - p_2. The fold
preserves area, so the posterior is the law of p, taken through this inverse with either sign of
w_1, restricted to p_1 >= y_1 and to x in the box. Rejection draws it exactly.

The reference sampler of sbibm leaves out the condition p_1 >= y_1 and so is off for observations
with y_1 > 1/4, where part of its draws cannot produce y.

Source: Benchmarking Simulation-Based Inference (Lueckmann, Boelts, Greenberg, Goncalves, Macke,
2021), https://arxiv.org/abs/2101.04653, after Automatic Posterior Transformation for
Likelihood-Free Inference (Greenberg, Nonnenmacher, Macke, 2019), https://arxiv.org/abs/1905.07488
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from cwbench.errors import UsageError
from cwbench.preset import vector_presets
from cwbench.samples import JointSamples, Moments
from cwbench.task import Task, TaskInfo

OFFSET, RADIUS, RADIUS_DEVIATION = 0.25, 0.1, 0.01
LARGEST_ROUND = 2**18  # noise points tried at once
ROUNDS = 100


class TwoMoons(Task):
    """Two crescents behind a fold, with a uniform prior."""

    info = TaskInfo(
        name="two-moons",
        version=1,
        title="Two moons of simulation-based inference",
        main_metric="ew2sq",
        licence="MIT",
        citation="lueckmann2021benchmarking",
        presets=vector_presets(),
        group="simulation",
        notes="Observations come from the prior predictive, as in sbibm; not sbibm's ten.",
    )

    @property
    def x_shape(self) -> tuple[int, ...]:
        """`(2,)`."""
        return (2,)

    @property
    def y_shape(self) -> tuple[int, ...]:
        """`(2,)`."""
        return (2,)

    def sample_joint(self, n: int, generator: Generator) -> JointSamples:
        """Draw `n` pairs of the joint distribution."""
        x = 2 * torch.rand(n, 2, dtype=torch.float64, generator=generator) - 1
        w = _rotate(x)
        shift = torch.stack([-w[:, 0].abs(), w[:, 1]], -1)
        return JointSamples(x.float(), (_noise((n,), generator) + shift).float())

    def sample_posterior(self, y: Tensor, n: int, generator: Generator) -> Tensor:
        """Draw `n` samples for each row of `y`, with shape `(m, n, 2)`.

        Raises:
            UsageError: if hardly any x in the box can produce an observation.
        """
        p = torch.stack([_posterior_noise(row, n, generator) for row in y.double()])
        w = _unfold(p, y.double()[:, None])
        sign = 2 * torch.randint(2, p.shape[:-1], generator=generator) - 1
        w[..., 0] *= sign
        return _rotate_back(w).float()

    rough_likelihood = "the likelihood is minus infinity off the crescents"

    def log_likelihood(self, x: Tensor, y: Tensor) -> Tensor:
        """The log density of the noise point p = y - shift(x), with shape `(m, n)`.

        In polar coordinates about the centre it is N(r; 0.1, 0.01^2) / (pi r) on the half plane of
        angles below pi / 2, of which r = |p|: that r < 0, ten deviations off, is left out.
        """
        w = _rotate(x.double())
        p = y.double()[:, None] - torch.stack([-w[..., 0].abs(), w[..., 1]], -1)
        a, b = p[..., 0] - OFFSET, p[..., 1]
        r = (a.square() + b.square()).sqrt()
        standard = (r - RADIUS) / RADIUS_DEVIATION
        constant = math.log(math.sqrt(2 * math.pi) * RADIUS_DEVIATION * math.pi)
        density = -standard.square() / 2 - constant - r.log()
        return torch.where((a >= 0) & (r > 0), density, -torch.inf)

    def log_prior(self, x: Tensor) -> Tensor:
        """Uniform on the box, with shape `(n,)`."""
        inside = (x.abs() <= 1).flatten(1).all(1)
        return torch.where(inside, -math.log(4), -torch.inf).double()

    def posterior_moments(self, y: Tensor) -> Moments:
        """Exact up to quadrature over the radius and the angle of the noise point."""
        p, weights = _quadrature()
        moments = [_moments(_unfold(p, row), weights) for row in y.double()]
        return Moments(*(torch.stack(part) for part in zip(*moments, strict=True)))


def _posterior_noise(y: Tensor, n: int, generator: Generator) -> Tensor:
    """The noise points behind `n` posterior samples of one observation, by rejection."""
    accepted: list[Tensor] = []
    size = n
    for _ in range(ROUNDS):
        p = _noise((size,), generator)
        accepted.append(p[_possible(_unfold(p, y))])
        if sum(map(len, accepted)) >= n:
            return torch.cat(accepted)[:n]
        size = min(2 * size, LARGEST_ROUND)
    raise UsageError(
        f"y = {y.tolist()} has almost no probability: no x in [-1, 1]^2 explains it. "
        "Take observations from the simulator (`evaluation_set`)."
    )


def _noise(shape: tuple[int, ...], generator: Generator) -> Tensor:
    """Noise points p with shape `(*shape, 2)`."""
    a = math.pi * (torch.rand(shape, dtype=torch.float64, generator=generator) - 0.5)
    r = torch.randn(shape, dtype=torch.float64, generator=generator)
    return _point(a, RADIUS + RADIUS_DEVIATION * r)


def _point(a: Tensor, r: Tensor) -> Tensor:
    return torch.stack([r * a.cos() + OFFSET, r * a.sin()], -1)


def _rotate(x: Tensor) -> Tensor:
    x_1, x_2 = x.unbind(-1)
    return torch.stack([x_1 + x_2, x_2 - x_1], -1) / math.sqrt(2)


def _rotate_back(w: Tensor) -> Tensor:
    w_1, w_2 = w.unbind(-1)
    return torch.stack([w_1 - w_2, w_1 + w_2], -1) / math.sqrt(2)


def _unfold(p: Tensor, y: Tensor) -> Tensor:
    """The rotated unknown (|w_1|, w_2) that noise point `p` and observation `y` imply."""
    return torch.stack([p[..., 0] - y[..., 0], y[..., 1] - p[..., 1]], -1)


def _possible(w: Tensor) -> Tensor:
    """Whether w_1 is an absolute value and x lies in the box, which is |w_1| + |w_2| <= sqrt 2."""
    return (w[..., 0] >= 0) & (w[..., 0] + w[..., 1].abs() <= math.sqrt(2))


def _quadrature() -> tuple[Tensor, Tensor]:
    """A grid of noise points p, with shape `(q, 2)`, and their weights."""
    angles, radii = 2**12, 21
    a = math.pi * ((torch.arange(angles, dtype=torch.float64) + 0.5) / angles - 0.5)
    standard = torch.linspace(-5, 5, radii, dtype=torch.float64)
    a_grid, standard_grid = torch.meshgrid(a, standard, indexing="ij")
    weights = (-standard_grid.square() / 2).exp().flatten()
    return _point(a_grid, RADIUS + RADIUS_DEVIATION * standard_grid).flatten(0, 1), weights


def _moments(w: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Mean `(2,)` and covariance `(2, 2)` of x for quadrature points of (|w_1|, w_2)."""
    weights = weights * _possible(w)
    weights = weights / weights.sum()
    mean_2 = weights @ w[:, 1]  # w_1 has mean 0 and is uncorrelated with w_2: its sign is free
    variance = torch.stack([weights @ w[:, 0].square(), weights @ (w[:, 1] - mean_2).square()])
    mean = _rotate_back(torch.stack([torch.zeros_like(mean_2), mean_2]))
    rows = _rotate_back(variance.diag())
    return mean, _rotate_back(rows.mT)
