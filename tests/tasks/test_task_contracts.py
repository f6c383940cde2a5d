"""What holds for every task: shapes, streams, settings, and calibrated posteriors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy import stats
from torch import Generator, Tensor

from cwbench.task import Params, Task
from cwbench_tasks.deblurring import Deblurring, DeblurringParams
from cwbench_tasks.eight_gaussians_moons import EightGaussiansMoons, EightGaussiansMoonsParams
from cwbench_tasks.gaussian_linear import GaussianLinear, GaussianLinearParams
from cwbench_tasks.gaussian_mixture import (
    GaussianMixture,
    GaussianMixtureInformative,
    GaussianMixtureParams,
)
from cwbench_tasks.sign_symmetric import SignSymmetric, SignSymmetricParams
from cwbench_tasks.tomography import Tomography, TomographyParams
from cwbench_tasks.two_moons import TwoMoons

TASKS: dict[str, Callable[[], Task]] = {
    "gaussian-linear": GaussianLinear,
    "gaussian-linear-one": lambda: GaussianLinear(GaussianLinearParams(dimension=1)),
    "gaussian-mixture": GaussianMixture,
    "gaussian-mixture-informative": GaussianMixtureInformative,
    "gaussian-mixture-sharp": lambda: GaussianMixture(GaussianMixtureParams(noise=0.001)),
    "eight-gaussians-moons": EightGaussiansMoons,
    "eight-gaussians-moons-class": lambda: EightGaussiansMoons(
        EightGaussiansMoonsParams(condition="class")
    ),
    "sign-symmetric": SignSymmetric,
    "sign-symmetric-sharp": lambda: SignSymmetric(SignSymmetricParams(noise=0.01)),
    "two-moons": TwoMoons,
    "deblurring": Deblurring,
    "deblurring-motion": lambda: Deblurring(DeblurringParams(blur="motion", width=4, angle=30)),
    "tomography": Tomography,
    "tomography-one-view": lambda: Tomography(TomographyParams(views=1)),
}


@pytest.fixture(params=TASKS)
def task(request: pytest.FixtureRequest) -> Task:
    return TASKS[request.param]()


def stream(seed: int) -> Generator:
    return Generator().manual_seed(seed)


def rank_p_values(task: Task, sample: Callable[[Tensor, int, Generator], Tensor]) -> list[float]:
    """P-values of uniform ranks of the true x among 63 draws, for five statistics of (x, y)."""
    x, y = task.evaluation_set(1200, stream(11))
    draws = sample(y, 64, stream(12))
    both = torch.cat([x[:, None], draws[:, 1:]], 1).flatten(2).double()  # the truth, 63 draws
    centre = task.posterior_moments(y).mean[:, None]
    statistics = {
        "first": both[..., 0],
        "last": both[..., -1],
        "norm": both.square().sum(-1),
        "product": both[..., 0] * both[..., -1],
        "distance to the posterior mean": (both - centre).square().sum(-1),
        "distance to another draw": (both - draws[:, :1].flatten(2)).square().sum(-1),
    }
    ties = np.random.default_rng(13)
    return [_chi2(value.numpy(), ties) for value in statistics.values()]


def _chi2(value: np.ndarray, ties: np.random.Generator) -> float:
    order = np.lexsort((ties.random(value.shape), value), axis=1)
    ranks = np.argmin(order, axis=1)  # where item 0, the truth, ends up
    counts = np.bincount(ranks // 4, minlength=16)
    return float(stats.chisquare(counts).pvalue)


def test_truth_ranks_uniformly_among_posterior_draws(task: Task) -> None:
    assert min(rank_p_values(task, task.sample_posterior)) > 1e-3


def test_rank_test_sees_a_posterior_that_is_slightly_too_narrow(task: Task) -> None:
    def narrow(y: Tensor, n: int, generator: Generator) -> Tensor:
        mean = task.posterior_moments(y).mean.float().reshape(-1, 1, *task.x_shape)
        return mean + 0.8 * (task.sample_posterior(y, n, generator) - mean)

    assert min(rank_p_values(task, narrow)) < 1e-6


def test_moments_are_those_of_the_draws(task: Task) -> None:
    y = task.evaluation_set(5, stream(1)).y
    draws = task.sample_posterior(y, 40_000, stream(2)).flatten(2).double()
    mean, covariance = task.posterior_moments(y)
    assert mean.dtype == covariance.dtype == torch.float64
    scale = covariance.diagonal(dim1=1, dim2=2).sum(-1)
    for i in range(len(y)):
        assert (draws[i].mean(0) - mean[i]).square().sum() < 20 / 40_000 * scale[i]
        assert torch.allclose(draws[i].T.cov(), covariance[i], atol=0.04 * float(scale[i]))


def test_posterior_moments_average_to_those_of_the_prior(task: Task) -> None:
    x, y = task.sample_joint(1_500, stream(3))
    x = x.flatten(1)
    mean, covariance = task.posterior_moments(y)
    total = covariance.mean(0) + mean.T.cov()
    size = float(total.trace())
    assert torch.allclose(mean.mean(0), x.double().mean(0), atol=5 * (size / 1_500) ** 0.5)
    assert torch.allclose(total, x.double().T.cov(), atol=0.1 * size)


@pytest.mark.parametrize(("m", "n"), [(1, 1), (3, 1), (1, 4)])
def test_shapes_and_types(task: Task, m: int, n: int) -> None:
    x, y = task.sample_joint(m, stream(0))
    assert x.shape == (m, *task.x_shape)
    assert x.dtype == torch.float32
    assert y.shape == (m, *task.y_shape)
    assert y.dtype == (torch.float32 if task.num_classes is None else torch.int64)
    samples = task.sample_posterior(y, n, stream(0))
    assert samples.shape == (m, n, *task.x_shape)
    assert samples.dtype == torch.float32
    assert torch.isfinite(samples).all()
    latents = task.sample_latent(n, stream(0))
    assert latents.shape == (n, *task.x_shape)
    assert latents.dtype == torch.float32


def test_numbers_are_a_function_of_the_seed(task: Task) -> None:
    def draw(seed: int) -> list[Tensor]:
        x = task.sample_joint(4, stream(seed)).x
        observed = task.evaluation_set(4, stream(100)).y
        return [
            x,
            task.sample_posterior(observed, 3, stream(seed)),
            task.sample_latent(4, stream(seed)),
        ]

    first, again, other = draw(5), draw(5), draw(6)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("name", TASKS)
def test_instance_is_blind_to_global_random_state(name: str) -> None:
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002 -- the global state is what is tested
    before = torch.get_rng_state()
    first = TASKS[name]()
    x, y = first.sample_joint(3, stream(0))
    first.sample_posterior(y, 2, stream(0))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    np.random.seed(2)  # noqa: NPY002
    second = TASKS[name]()
    assert torch.equal(second.sample_joint(3, stream(0)).x, x)
    assert torch.equal(second.sample_joint(3, stream(0)).y, y)
    assert first.fingerprint() == second.fingerprint()


def test_residual_of_the_truth_is_standard_noise_and_sees_every_part_of_y(task: Task) -> None:
    x, y = task.sample_joint(4000, stream(21))
    residual = task.standardised_residual(x[:, None], y)
    if residual is None:
        assert task.info.name in {"eight-gaussians-moons", "two-moons"}
        return
    assert residual.shape == (4000, 1, y[0].numel())
    assert residual.dtype == torch.float64
    whole = residual.flatten().numpy()
    assert stats.kstest(whole[:4000], "norm").pvalue > 1e-3
    assert whole.var() == pytest.approx(1, abs=5 * (2 / len(whole)) ** 0.5)
    several = task.standardised_residual(x[:12].unflatten(0, (3, 4)), y[:3])
    assert several is not None
    moved = task.standardised_residual(x[:12].unflatten(0, (3, 4)), 0 * y[:3])
    assert moved is not None
    shift = (several - moved).mean(1).flatten()
    ratio = shift / y[:3].double().flatten()
    assert torch.allclose(ratio, ratio[0].expand_as(ratio), rtol=1e-4)  # 1 / s, for all of y


def test_observation_is_left_as_it_was(task: Task) -> None:
    y = task.evaluation_set(3, stream(0)).y
    copy = y.clone()
    task.sample_posterior(y, 2, stream(0))
    task.posterior_moments(y)
    assert torch.equal(y, copy)


def test_metadata_is_complete(task: Task) -> None:
    info = task.info
    assert task.has_posterior
    assert info.title
    assert info.licence == "MIT"
    assert info.citation.startswith("@")
    assert info.citation.count("{") == info.citation.count("}")
    assert info.main_metric == "ew2sq"
    assert info.group
    assert set(info.presets) >= {"smoke", "quick", "standard"}


def test_only_the_uninformative_mixture_is_marked_so() -> None:
    marked = {task.info.name for make in TASKS.values() if not (task := make()).info.informative}
    assert marked == {"gaussian-mixture"}


@pytest.mark.parametrize(
    ("task_class", "settings"),
    [
        (GaussianLinear, {"noise": 0}),
        (GaussianLinear, {"noise": -1}),
        (GaussianLinear, {"noise": float("nan")}),
        (GaussianLinear, {"noise": float("inf")}),
        (GaussianLinear, {"dimension": 0}),
        (GaussianLinear, {"dimensions": 5}),
        (GaussianLinear, {"instance": -1}),
        (GaussianMixture, {"noise": 0}),
        (GaussianMixture, {"noise": -0.1}),
        (GaussianMixture, {"components": 0}),
        (GaussianMixture, {"dimension": 0}),
        (GaussianMixture, {"dimension": 2.5}),
        (GaussianMixture, {"scale": 0}),
        (GaussianMixture, {"beta": 1}),
        (GaussianMixtureInformative, {"noise": 0}),
        (EightGaussiansMoons, {"condition": "both"}),
        (EightGaussiansMoons, {"noise": 0.1}),
        (SignSymmetric, {"noise": 0}),
        (SignSymmetric, {"noise": -1}),
        (SignSymmetric, {"noise": 2}),
        (TwoMoons, {"noise": 1}),
        (Deblurring, {"noise": 0}),
        (Deblurring, {"noise": -1}),
        (Deblurring, {"width": 0}),
        (Deblurring, {"views": 2}),
        (Deblurring, {"prior": "faces"}),
        (Deblurring, {"prior": "images"}),
        (Deblurring, {"root": "somewhere"}),
        (Deblurring, {"size": 32}),
        (Tomography, {"noise": 0}),
        (Tomography, {"views": 0}),
        (Tomography, {"angular_range": 0}),
        (Tomography, {"angular_range": 200}),
    ],
)
def test_bad_settings_are_refused(task_class: type[Task], settings: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        task_class.Params(**settings)


def test_every_setting_is_described() -> None:
    params: set[type[Params]] = {make().Params for make in TASKS.values()}
    fields = [field for cls in params for field in cls.model_fields.values()]
    assert all(field.description for field in fields)


def test_settings_change_the_fingerprint() -> None:
    prints = {make().fingerprint() for make in TASKS.values()}
    assert len(prints) == len(TASKS)
