"""The Sinkhorn divergence: entropic transport without its bias.

For the cost C(x, x') = |x-x'|^2 / 2 and epsilon = blur^2,

    OT_eps(a, b) = min over plans P of <P, C> + epsilon KL(P | a x b)
                 = max over potentials of <a, f> + <b, g> - epsilon (|P(f, g)| - 1),
    S_eps(a, b)  = OT_eps(a, b) - OT_eps(a, a)/2 - OT_eps(b, b)/2.

These are the conventions of geomloss with p = 2, so S is about W_2^2 / 2 and tends to it as blur
-> 0. Sinkhorn's algorithm makes the two marginals of P_ij = a_i b_j exp((f_i + g_j - C_ij)/epsilon)
right in turn. Epsilon falls from the diameter to its value; potentials are updated in the log
domain, and in between their small changes, as scalings of the kernel, which is ten times faster.
Mass that has to cross between far clusters hardly moves so; a step of Newton's method on the
potentials carries it over.

Sources: Interpolating between optimal transport and MMD using Sinkhorn divergences (Feydy et al.,
2019) https://arxiv.org/abs/1810.08278; Stabilized sparse scaling algorithms for entropy regularized
transport problems (Schmitzer, 2019) https://arxiv.org/abs/1610.06519; A Sinkhorn-Newton method for
entropic optimal transport (Brauer, Clason, Lorenz, Wirth, 2017) https://arxiv.org/abs/1710.06635; A
note on overrelaxation in the Sinkhorn algorithm (Lehmann, von Renesse, Sambale, Uschmajew, 2022)
https://arxiv.org/abs/2012.12562
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from cwbench.ot.assignment import squared_distances
from cwbench.ot.checks import Array, ConvergenceError, Float64, as_float64, check_positive

_WARM_UP = 20  # plain iterations before the rate of convergence is known
_ROUND = 500  # kernel iterations between two updates in the log domain
_HALVINGS = 20  # of a Newton step that goes too far
_LARGEST_SCALING = 1e80  # kernel iterations stop before they leave the range of float64


def sinkhorn_divergence(
    a: Array,
    b: Array,
    *,
    blur: float = 0.05,
    tolerance: float = 1e-4,
    max_iterations: int = 20_000,
) -> float:
    """S_eps(a, b) for the cost |x-x'|^2 / 2 and epsilon = blur^2, about W_2^2 / 2.

    Args:
        a: with shape `(n, *shape)`.
        b: with shape `(k, *shape)`.
        blur: square root of epsilon, a length.
        tolerance: largest L1 error of the plan's marginals, which are of mass 1.
        max_iterations: for each of the three transport problems.

    Raises:
        ValueError: if an input is not finite, dimensions do not match or a setting is not positive.
        ConvergenceError: if the tolerance is not reached, or costs are so large beside epsilon that
            rounding alone exceeds it; there is no number then.
    """
    for name, value in {
        "blur": blur,
        "tolerance": tolerance,
        "max_iterations": max_iterations,
    }.items():
        check_positive(name, value)
    a, b = as_float64("a", a), as_float64("b", b)
    cost = squared_distances(a, b) / 2
    epsilon = blur**2
    _check_rounding(float(cost.max()), epsilon, tolerance)
    own = [
        _self_transport(squared_distances(points, points) / 2, epsilon, tolerance, max_iterations)
        for points in (a, b)
    ]
    return _transport(cost, epsilon, tolerance, max_iterations) - sum(own) / 2


def annealed_sinkhorn_divergence(
    a: Array, b: Array, *, blur: float = 0.05, scaling: float = 0.5
) -> float:
    """What an annealed iteration gives for S_eps(a, b) when it is not run to convergence.

    Epsilon falls from the squared diameter to blur^2 by the factor scaling^2 a step, one averaged
    update of the potentials at each; then the divergence is read off. This is the schedule of
    geomloss (p = 2), whose default `scaling` is 0.5, and so the number that papers print. It is
    *not* the divergence: on posteriors of the paper's problem, 1000 samples a side, it is a quarter
    of it at scaling 0.5 and half at 0.9. It tends to it as scaling -> 1.

    Args:
        a: with shape `(n, *shape)`.
        b: with shape `(k, *shape)`.
        blur: square root of the last epsilon, a length.
        scaling: ratio of successive blurs, between 0 and 1.

    Raises:
        ValueError: if an input is not finite, dimensions do not match or a setting is out of range.

    Source: Interpolating between optimal transport and MMD using Sinkhorn divergences
    (Feydy et al., 2019) https://arxiv.org/abs/1810.08278
    """
    check_positive("blur", blur)
    if not 0 < scaling < 1:
        raise ValueError(f"scaling must lie between 0 and 1, got {scaling}")
    points_a, points_b = as_float64("a", a), as_float64("b", b)
    both = np.concatenate([points_a, points_b])
    diameter = float(np.linalg.norm(both.max(axis=0) - both.min(axis=0)))
    levels = _annealing(max(diameter, blur), blur, scaling)
    cross = squared_distances(points_a, points_b) / 2
    f, g = _annealed(cross, levels)
    f_a, _ = _annealed(squared_distances(points_a, points_a) / 2, levels)
    g_b, _ = _annealed(squared_distances(points_b, points_b) / 2, levels)
    return float((f - f_a).mean() + (g - g_b).mean())


def _annealing(diameter: float, blur: float, scaling: float) -> list[float]:
    """Epsilons: diameter^2, then blurs from the diameter down by `scaling`, then blur^2."""
    steps = np.arange(np.log(diameter), np.log(blur), np.log(scaling))
    return [diameter**2, *np.exp(2 * steps).tolist(), blur**2]


def _annealed(cost: Float64, levels: list[float]) -> tuple[Float64, Float64]:
    """Potentials after one averaged update at each epsilon and a last full one."""
    f = _soft_minimum(cost, np.zeros(cost.shape[1]), levels[0])
    g = _soft_minimum(cost.T, np.zeros(cost.shape[0]), levels[0])
    for epsilon in levels:
        f, g = (
            (f + _soft_minimum(cost, g, epsilon)) / 2,
            (g + _soft_minimum(cost.T, f, epsilon)) / 2,
        )
    return _soft_minimum(cost, g, levels[-1]), _soft_minimum(cost.T, f, levels[-1])


def _transport(cost: Float64, epsilon: float, tolerance: float, max_iterations: int) -> float:
    """OT_eps between uniform measures, for a cost with shape `(n, k)`."""
    transposed = np.ascontiguousarray(cost.T)
    f, g = np.zeros(len(cost)), np.zeros(len(transposed))
    for level in _levels(cost, epsilon):
        f = _soft_minimum(cost, g, level)
        g = _soft_minimum(transposed, f, level)
        f, g, _ = _scale(cost, f, g, level, 0.0, 5)
    used, error = 0, np.inf
    while used < max_iterations:
        exact = _soft_minimum(cost, g, epsilon)
        error, _ = _marginal_error(f, exact, epsilon)
        f = exact
        if error <= tolerance:
            return float(f.mean() + g.mean())
        g = _soft_minimum(transposed, f, epsilon)
        if used:  # a round of scaling did not do
            f, g = _newton(cost, transposed, f, g, epsilon)
        f, g, steps = _scale(cost, f, g, epsilon, tolerance / 2, min(_ROUND, max_iterations - used))
        used += steps
    raise _not_converged(epsilon, max_iterations, error, tolerance)


def _self_transport(cost: Float64, epsilon: float, tolerance: float, max_iterations: int) -> float:
    """OT_eps of a uniform measure with itself: one potential, and damped updates that are quick."""
    f = np.zeros(len(cost))
    for level in _levels(cost, epsilon):
        f = (f + _soft_minimum(cost, f, level)) / 2
        f, _ = _scale_symmetric(cost, f, level, 0.0, 5)
    used, error = 0, np.inf
    while used < max_iterations:
        exact = _soft_minimum(cost, f, epsilon)
        error, mass = _marginal_error(f, exact, epsilon)
        if error <= tolerance:
            return float(2 * f.mean() - epsilon * (mass - 1))
        f, steps = _scale_symmetric(
            cost, (f + exact) / 2, epsilon, tolerance / 2, min(_ROUND, max_iterations - used)
        )
        used += steps
    raise _not_converged(epsilon, max_iterations, error, tolerance)


def _check_rounding(largest: float, epsilon: float, tolerance: float) -> None:
    """Refuse costs whose rounding moves the plan by more than the tolerance.

    Raises:
        ConvergenceError: if float64 cannot tell costs apart as finely as epsilon asks.
    """
    if np.isfinite(largest) and largest * np.finfo(np.float64).eps > tolerance * epsilon:
        raise ConvergenceError(
            f"costs up to {largest:.2g} are rounded by more than epsilon = {epsilon:.2g} allows; "
            "raise blur, or rescale the points"
        )


def _levels(cost: Float64, epsilon: float) -> Iterator[float]:
    """Values of epsilon that halve from the largest cost down to the one wanted."""
    level = float(cost.max())
    if not np.isfinite(level):
        raise ValueError("the points are so far apart that the cost overflows; rescale them")
    while level > epsilon:
        yield level
        level /= 2


def _soft_minimum(cost: Float64, potential: Float64, epsilon: float) -> Float64:
    """-epsilon log mean_j exp((potential_j - cost_ij) / epsilon), without overflow."""
    exponent = potential - cost
    exponent /= epsilon
    largest = exponent.max(axis=1)
    exponent -= largest[:, None]
    np.exp(exponent, out=exponent)
    return np.asarray(-epsilon * (largest + np.log(exponent.mean(axis=1))))


def _marginal_error(f: Float64, exact: Float64, epsilon: float) -> tuple[float, float]:
    """L1 error of the plan's first marginal, and its mass; `exact` would make both right."""
    with np.errstate(over="ignore"):
        excess = np.expm1((f - exact) / epsilon)
    return float(np.abs(excess).mean()), float(1 + excess.mean())


def _kernel(cost: Float64, f: Float64, g: Float64, epsilon: float) -> Float64:
    kernel = g - cost
    kernel += f[:, None]
    kernel /= epsilon
    with np.errstate(over="ignore"):
        np.exp(kernel, out=kernel)
    return kernel


def _scale(
    cost: Float64, f: Float64, g: Float64, epsilon: float, tolerance: float, iterations: int
) -> tuple[Float64, Float64, int]:
    """Sinkhorn iterations on a fixed kernel, over-relaxed once their rate is known.

    Returns:
        The two potentials and the number of iterations made.
    """
    kernel = _kernel(cost, f, g, epsilon)
    u, v = np.ones(len(f)), np.ones(len(g))
    relaxation = 1.0
    errors: list[float] = []
    with np.errstate(all="ignore"):
        while len(errors) < iterations:
            rows = kernel @ v / len(v)
            errors.append(float(np.abs(u * rows - 1).mean()))
            if errors[-1] <= tolerance:
                break
            next_u = u ** (1 - relaxation) * rows**-relaxation
            next_v = v ** (1 - relaxation) * (next_u @ kernel / len(u)) ** -relaxation
            if not (_in_range(next_u) and _in_range(next_v)):
                break
            u, v = next_u, next_v
            if len(errors) == _WARM_UP:
                relaxation = _relaxation(errors)
    return f + epsilon * np.log(u), g + epsilon * np.log(v), len(errors)


def _newton(
    cost: Float64, transposed: Float64, f: Float64, g: Float64, epsilon: float
) -> tuple[Float64, Float64]:
    """A step of Newton's method on the dual as a function of f, where g is the best for f.

    It is halved until the dual rises, and left out where none of these steps lifts it.
    """
    n, k = cost.shape
    plan = _kernel(cost, f, g, epsilon) / (n * k)
    rows = plan.sum(axis=1)
    curvature = np.diag(rows) - k * plan @ plan.T
    curvature += np.outer(rows, rows)  # the dual does not see a constant that f gains and g loses
    try:
        step = epsilon * cho_solve(cho_factor(curvature), 1 / n - rows)
    except LinAlgError:  # a plan that is nearly a permutation: rounding is all there is
        return f, g
    value = f.mean() + g.mean()
    for halvings in range(_HALVINGS):
        tried = f + step / 2**halvings
        other = _soft_minimum(transposed, tried, epsilon)
        if tried.mean() + other.mean() > value:
            return tried, other
    return f, g


def _scale_symmetric(
    cost: Float64, f: Float64, epsilon: float, tolerance: float, iterations: int
) -> tuple[Float64, int]:
    """As `_scale` for one potential: each update goes half the way, in the log domain."""
    kernel = _kernel(cost, f, f, epsilon)
    u = np.ones(len(f))
    step = 0
    with np.errstate(all="ignore"):
        while step < iterations:
            step += 1
            rows = kernel @ u / len(u)
            if np.abs(u * rows - 1).mean() <= tolerance or not _in_range(np.sqrt(u / rows)):
                break
            u = np.sqrt(u / rows)
    return f + epsilon * np.log(u), step


def _in_range(scaling: Float64) -> bool:
    return bool(scaling.min() > 1 / _LARGEST_SCALING and scaling.max() < _LARGEST_SCALING)


def _relaxation(errors: list[float]) -> float:
    """The best exponent for the linear rate theta at which the errors fall."""
    theta = (errors[-1] / errors[-6]) ** (1 / 5)
    return min(2 / (1 + np.sqrt(1 - theta)), 1.97) if 0 < theta < 1 else 1.0


def _not_converged(
    epsilon: float, iterations: int, error: float, tolerance: float
) -> ConvergenceError:
    return ConvergenceError(
        f"Sinkhorn's algorithm at blur {epsilon**0.5:g} has a marginal error of {error:.2g} after "
        f"{iterations} iterations, more than the tolerance {tolerance:g}; raise max_iterations or "
        "blur"
    )
