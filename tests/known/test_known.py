"""Likelihood, operator and prior of the tasks: against scipy, quadrature and what is declared."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import Tensor

from cwbench.api import load_task
from cwbench.check.known import KNOWN_CHECKS
from cwbench.check.outcome import carried_out
from cwbench.check.task import TaskSubject
from cwbench.errors import ContractError
from cwbench.known.classes import Need, checked_needs, sees
from cwbench.known.known import Known, known_of
from cwbench.known.offered import lacking
from cwbench.known.operator import LinearOperator
from cwbench.known.prior import NoisyPrior
from cwbench.ot.scaling import Scaling
from cwbench.samples import MixturePrior
from cwbench.task import Task
from cwbench.training.networks import Meter
from cwbench_tasks.gaussian_mixture import GaussianMixtureInformative
from cwbench_tasks.two_moons import TwoMoons

ALL: frozenset[Need] = frozenset({"likelihood", "operator", "denoiser", "density"})
PRIOR = MixturePrior(
    torch.tensor([0.3, 0.7]).double(),
    torch.tensor([[1.0, -1.0], [0.5, 2.0]]).double(),
    torch.tensor([[[1.0, 0.3], [0.3, 0.5]], [[0.2, 0.0], [0.0, 2.0]]]).double(),
)


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_density_of_a_mixture_is_scipys() -> None:
    x = torch.randn(20, 2, generator=stream()).double()
    parts = [
        w * stats.multivariate_normal(m, C).pdf(x)
        for w, m, C in zip(*(part.numpy() for part in PRIOR), strict=True)
    ]
    wanted = torch.as_tensor(sum(parts)).log()
    torch.testing.assert_close(NoisyPrior(PRIOR).log_density(x), wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("alpha", "sigma"), [(1.0, 0.5), (0.3, 0.7), (0.01, 1.0)])
def test_the_score_is_the_gradient_of_the_noisy_density(alpha: float, sigma: float) -> None:
    identity = torch.eye(2).double()
    noisy = PRIOR._replace(
        means=alpha * PRIOR.means, covariances=alpha**2 * PRIOR.covariances + sigma**2 * identity
    )
    x = torch.randn(20, 2, generator=stream()).double().requires_grad_()
    (wanted,) = torch.autograd.grad(NoisyPrior(noisy).log_density(x).sum(), x)
    score = NoisyPrior(PRIOR).score(x, alpha, sigma)
    torch.testing.assert_close(score, wanted, rtol=1e-9, atol=1e-9)


def test_levels_may_differ_by_row() -> None:
    prior, x = NoisyPrior(PRIOR), torch.randn(3, 2, generator=stream()).double()
    sigma = torch.tensor([[0.1], [1.0], [4.0]]).double()
    rows = [prior.denoise(row[None], 1.0, float(s)) for row, s in zip(x, sigma, strict=True)]
    torch.testing.assert_close(prior.denoise(x, 1.0, sigma), torch.cat(rows))


@pytest.mark.parametrize("name", ["gaussian-mixture", "sign-symmetric", "two-moons", "tomography"])
def test_coordinates_change_densities_by_the_jacobian_alone(name: str) -> None:
    task = load_task(name)
    x, y = task.sample_joint(30, stream())
    scaling = Scaling(torch.tensor(0.3), torch.tensor(1.7))
    raw = known_of(task, "m", ALL, Meter())
    scaled = raw.standardised(scaling)
    u = scaling(x.double())
    torch.testing.assert_close(scaled.likelihood(u[:, None], y), raw.likelihood(x[:, None], y),
                               rtol=1e-4, atol=1e-4)  # fmt: skip
    shift = x[0].numel() * math.log(1.7)
    torch.testing.assert_close(scaled.density(u), raw.density(x) + shift, rtol=1e-5, atol=1e-4)
    if task.linear_operator() is not None:
        torch.testing.assert_close(scaled.operator.log_likelihood(u[:, None], y),
                                   raw.likelihood(x[:, None], y), rtol=1e-4, atol=1e-4)  # fmt: skip
        D = scaled.denoiser.denoise(u.flatten(1), 1.0, 0.5)
        wanted = scaling(raw.denoiser.denoise(x.double().flatten(1), 1.0, 0.5 * 1.7))
        torch.testing.assert_close(D, wanted, rtol=1e-5, atol=1e-5)


def test_the_likelihood_of_two_moons_integrates_to_one() -> None:
    task = TwoMoons()
    x = torch.tensor([[[0.2, -0.4]]])

    def density(b: float, a: float) -> float:
        return math.exp(float(task.log_likelihood(x, torch.tensor([[a, b]]))))

    w_1, w_2 = abs(0.2 - 0.4) / math.sqrt(2), (-0.4 - 0.2) / math.sqrt(2)
    total = 0.0
    for low, high in ((0.0, 0.05), (0.05, 0.15)):  # polar: the ring is thin
        part, _ = integrate.dblquad(
            lambda r, t: r * density(r * math.sin(t) + w_2, 0.25 + r * math.cos(t) - w_1),
            -math.pi / 2, math.pi / 2, low, high, epsabs=1e-3,
        )  # fmt: skip
        total += part
    assert total == pytest.approx(1, abs=3e-3)


def test_what_is_not_declared_is_not_handed() -> None:
    known = known_of(load_task("deblurring"), "mine", frozenset({"likelihood"}), Meter())
    assert known.granted.operator is None and known.granted.denoiser is None
    for need in ("operator", "denoiser", "density"):
        with pytest.raises(ContractError, match=f"'mine' asks for the {need} and declares likeli"):
            getattr(known, need)
    with pytest.raises(ContractError, match="declares nothing: let needs"):
        _ = Known("mine").likelihood


def test_what_a_task_lacks_is_told() -> None:
    task = load_task("two-moons")
    assert lacking(task, {"likelihood", "density"}) is None
    assert lacking(task, {"operator"}) == (
        "needs a linear operator with Gaussian noise, which this task does not have"
    )
    assert "exact denoiser" in str(lacking(task, {"denoiser"}))
    assert "a likelihood" in str(lacking(load_task("eight-gaussians-moons"), {"likelihood"}))


def test_needs_are_words_that_there_are() -> None:
    with pytest.raises(ContractError, match="needs of method 'm' returns 'operator'; return a"):
        checked_needs("operator", "m")
    with pytest.raises(ContractError, match="frozenset"):
        checked_needs({"prior"}, "m")


def test_the_class_is_that_of_the_most_that_is_used() -> None:
    assert sees({"posterior", "simulator"}) == "pairs"
    assert sees({"likelihood"}) == "+ likelihood"
    assert sees({"likelihood", "operator"}) == "+ operator"
    assert sees({"operator", "denoiser"}) == "+ exact prior"


@pytest.mark.parametrize(
    ("matrix", "noise", "said"),
    [
        (torch.eye(2).double(), 0.0, "above 0"),
        (torch.eye(2).double(), math.nan, "above 0"),
        (torch.zeros(2, 2).double(), 1.0, "says nothing"),
        (torch.tensor([[math.nan]]).double(), 1.0, "NaN"),
        (torch.ones(2).double(), 1.0, "matrix"),
        (torch.eye(2), 1.0, "matrix of a linear operator is torch.float32, not a float64"),
        (np.eye(2), 1.0, "matrix of a linear operator is ndarray, not"),
        (torch.eye(2).double(), torch.ones(2), "is a Tensor, not one number for all of y"),
    ],
)
def test_operators_that_no_observation_has(matrix: Any, noise: Any, said: str) -> None:
    with pytest.raises(ContractError, match=said):
        LinearOperator(matrix, noise)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"weights": 2 * PRIOR.weights}, "add up to 2, not to 1"),
        ({"weights": torch.tensor([1.5, -0.5]).double()}, "negative"),
        ({"means": PRIOR.means.float()}, "means of the prior mixture are torch.float32"),
        ({"means": PRIOR.means[:, :1]}, "has shapes .2,., .2, 1., .2, 2, 2.; weights"),
        ({"covariances": PRIOR.covariances[0]}, "weights .K,., means"),
        ({"covariances": PRIOR.covariances + torch.ones(2, 2).double().triu(1)}, "not symmetric"),
        ({"covariances": PRIOR.covariances - torch.eye(2).double()}, "eigenvalue -0.8"),
        ({"covariances": math.nan * PRIOR.covariances}, "NaN"),
    ],
)
def test_priors_that_are_no_mixture(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ContractError, match=said):
        _ = NoisyPrior(PRIOR._replace(**change)).eigen


@pytest.mark.parametrize(
    ("offer", "said"),
    [
        ({"linear_operator": lambda _: (torch.eye(5), 1.0)}, "returned a tuple; return a Linear"),
        (
            {"linear_operator": lambda _: LinearOperator(torch.eye(5, 4).double(), 1.0)},
            r"matrix of shape \(5, 4\), not \(5, 5\): it takes flattened x",
        ),
        ({"prior_mixture": lambda _: tuple(PRIOR)}, "returned a tuple; return a MixturePrior"),
        ({"prior_mixture": lambda _: PRIOR}, "is of 2 numbers; flattened x has 5"),
    ],
)
def test_what_is_malformed_is_told_to_those_that_ask_for_it(
    offer: dict[str, Any], said: str
) -> None:
    """A task whose noise is 0, say, still serves methods that learn from pairs."""
    task = type("Malformed", (GaussianMixtureInformative,), offer)()
    with pytest.raises(ContractError, match=said):
        lacking(task, ALL)
    with pytest.raises(ContractError, match=said):
        known_of(task, "m", ALL, Meter())
    assert lacking(task, {"posterior", "simulator"}) is None
    assert known_of(task, "m", frozenset(), Meter()).granted.operator is None


def test_what_is_handed_is_not_the_tasks_own() -> None:
    task = GaussianMixtureInformative()
    granted = known_of(task, "m", ALL, Meter()).granted
    assert granted.operator is not None and granted.denoiser is not None
    before = task.A.clone(), task.prior.means.clone()
    granted.operator.matrix.mul_(2)
    granted.denoiser.means.mul_(2)
    torch.testing.assert_close((task.A, task.prior.means), before, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("part", "shapes", "said"),
    [
        ("likelihood", [(3, 5), (3, 5)], r"takes x \(m, n, \*x_shape\), here \(any, any, 5\)"),
        ("likelihood", [(3, 4, 5), (1, 5)], r"takes y .* here \(3, 5\); got \(1, 5\)"),
        ("density", [(5, 5, 5)], r"takes x \(n, \*x_shape\), here \(any, 5\); got \(5, 5, 5\)"),
        ("density", [(5, 1)], r"got \(5, 1\)"),
    ],
)
def test_shapes_of_what_is_asked_are_checked(
    part: str, shapes: list[tuple[int, ...]], said: str
) -> None:
    """Broadcast, some of these would give the numbers of another question."""
    known = known_of(load_task("gaussian-mixture"), "m", ALL, Meter())
    with pytest.raises(ContractError, match=said):
        getattr(known, part)(*(torch.zeros(shape) for shape in shapes))


def test_shapes_of_what_is_denoised_are_checked() -> None:
    prior, x = NoisyPrior(PRIOR), torch.zeros(2, 2)
    assert prior.denoise(x, 1.0, 1.0).dtype == torch.float64
    with pytest.raises(ContractError, match=r"x_t has shape \(2, 4, 2\); the prior takes"):
        prior.denoise(torch.zeros(2, 4, 2), 1.0, 1.0)
    with pytest.raises(ContractError, match=r"a level of noise has shape \(2,\); it is a number"):
        prior.denoise(x, 1.0, torch.ones(2))


def test_a_singular_operator_is_inverted_where_it_can_be() -> None:
    A = LinearOperator(torch.tensor([[2.0, 0.0], [0.0, 0.0]]).double(), 1.0)
    assert len(A.singular_values.S) == 1
    y = torch.tensor([[4.0, 7.0]]).double()
    torch.testing.assert_close(A.pseudo_inverse(y), torch.tensor([[2.0, 0.0]]).double())


def test_a_singular_prior_has_no_density_but_a_denoiser() -> None:
    flat = NoisyPrior(PRIOR._replace(covariances=torch.zeros(2, 2, 2).double()))
    with pytest.raises(ContractError, match="singular"):
        flat.log_density(torch.zeros(1, 2))
    near = flat.denoise(PRIOR.means + 1e-4, 1.0, 0.1)
    torch.testing.assert_close(near, PRIOR.means)
    with pytest.raises(ContractError, match="noise above 0"):
        flat.denoise(PRIOR.means, 1.0, 0.0)


class BrokenLikelihood(GaussianMixtureInformative):
    """Its likelihood is NaN somewhere."""

    def log_likelihood(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.where(x[..., 0] > 0, torch.nan, super().log_likelihood(x, y))


def test_a_likelihood_that_is_nan_is_an_error() -> None:
    task = BrokenLikelihood()
    known = known_of(task, "m", ALL, Meter())
    x, y = task.sample_joint(8, stream())
    with pytest.raises(ContractError, match="is NaN or infinite for"):
        known.likelihood(x[None], y[:1])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda value: value[..., None], r"returned \(1, 8, 1\), not a tensor of shape \(1, 8\)"),
        (lambda value: value.detach().numpy(), "returned ndarray"),
        (lambda value: value + math.inf, "NaN or infinite for 8 of 8"),
        (lambda value: value.detach().long(), "returned torch.int64; it is a real floating"),
        (lambda value: value.to(torch.complex128), "returned torch.complex128"),
        (lambda value: value.detach(), "does not follow x: it has no gradient"),
        (lambda value: value.float(), None),
        (lambda value: value - math.inf, None),
    ],
)
def test_a_likelihood_is_what_it_has_to_be(change: Any, said: str | None) -> None:
    class Changed(GaussianMixtureInformative):
        """Its likelihood is another thing."""

        def log_likelihood(self, x: Tensor, y: Tensor) -> Tensor:
            changed: Tensor = change(super().log_likelihood(x, y))
            return changed

    task = Changed()
    x, y = task.sample_joint(8, stream())
    likelihood = known_of(task, "m", ALL, Meter()).likelihood
    if said is None:
        assert likelihood(x[None].requires_grad_(), y[:1]).dtype == torch.float64
        return
    with pytest.raises(ContractError, match=said):
        likelihood(x[None].requires_grad_(), y[:1])


def test_what_is_used_is_counted() -> None:
    meter = Meter()
    known = known_of(load_task("gaussian-mixture"), "m", ALL, meter)
    x = torch.zeros(7, 5).double().requires_grad_()
    known.operator.forward(x)
    known.likelihood(x[None], torch.zeros(1, 5))
    known.denoiser.denoise(x, 1.0, 1.0).sum().backward()
    known.denoiser.denoise(x.detach(), 1.0, 1.0)
    assert (meter.operators, meter.evaluations, meter.jacobians, meter.passes) == (14, 14, 7, 0)


class WrongNoise(GaussianMixtureInformative):
    """Tells half its noise."""

    def linear_operator(self) -> LinearOperator:
        return replace(super().linear_operator(), noise=0.5 * self.params.noise)


class Transposed(LinearOperator):
    """An adjoint that is none."""

    def adjoint(self, y: Tensor) -> Tensor:
        return y @ (2 * self.matrix)


class WrongAdjoint(GaussianMixtureInformative):
    """An adjoint with another factor than the forward operator."""

    def linear_operator(self) -> LinearOperator:
        return Transposed(self.A, self.params.noise)


class WrongPrior(GaussianMixtureInformative):
    """Tells components wider by a quarter."""

    def prior_mixture(self) -> MixturePrior:
        return self.prior._replace(covariances=1.25**2 * self.prior.covariances)


class WrongConstant(GaussianMixtureInformative):
    """A density that is not normalised."""

    def log_prior(self, x: Tensor) -> Tensor:
        return super().log_prior(x) + 1


@pytest.mark.parametrize(
    ("cls", "caught"),
    [
        (GaussianMixtureInformative, set()),
        (WrongNoise, {"likelihood", "operator", "bayes"}),
        (WrongAdjoint, {"operator"}),
        (WrongPrior, {"denoiser", "bayes"}),
        (WrongConstant, {"bayes"}),
        (BrokenLikelihood, {"likelihood", "operator", "bayes"}),
    ],
)
def test_the_checks_catch_what_is_wrong_and_nothing_else(cls: type[Task], caught: set[str]) -> None:
    outcomes = [carried_out(check, TaskSubject(cls), {}) for check in KNOWN_CHECKS]
    assert {o.check for o in outcomes if o.status == "failed"} == caught


@pytest.mark.parametrize("name", ["gaussian-linear", "sign-symmetric", "two-moons"])
def test_what_the_tasks_offer_is_true(name: str) -> None:
    outcomes = [
        carried_out(check, TaskSubject(type(load_task(name))), {}) for check in KNOWN_CHECKS
    ]
    assert all(o.status in ("passed", "not applicable") for o in outcomes), outcomes
