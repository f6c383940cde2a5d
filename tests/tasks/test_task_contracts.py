"""What holds for every task: shapes, streams, settings, and calibrated posteriors."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from registered import with_posterior
from scipy import stats
from torch import Generator

from cwbench.check.outcome import carried_out, name_of
from cwbench.check.task import TASK_CHECKS, TaskSubject
from cwbench.task import Task
from cwbench_tasks.deblurring import Deblurring
from cwbench_tasks.eight_gaussians_moons import EightGaussiansMoons
from cwbench_tasks.gaussian_linear import GaussianLinear
from cwbench_tasks.gaussian_mixture import (
    GaussianMixture,
    GaussianMixtureInformative,
)
from cwbench_tasks.inpainting import Inpainting
from cwbench_tasks.sign_symmetric import SignSymmetric
from cwbench_tasks.super_resolution import SuperResolution
from cwbench_tasks.tomography import Tomography
from cwbench_tasks.two_moons import TwoMoons

VARIANTS: dict[str, tuple[type[Task], dict[str, Any]]] = {
    "gaussian-linear": (GaussianLinear, {}),
    "gaussian-linear-one": (GaussianLinear, {"dimension": 1}),
    "gaussian-mixture": (GaussianMixture, {}),
    "gaussian-mixture-informative": (GaussianMixtureInformative, {}),
    "gaussian-mixture-sharp": (GaussianMixture, {"noise": 0.001}),
    "eight-gaussians-moons": (EightGaussiansMoons, {}),
    "eight-gaussians-moons-class": (EightGaussiansMoons, {"condition": "class"}),
    "sign-symmetric": (SignSymmetric, {}),
    "sign-symmetric-sharp": (SignSymmetric, {"noise": 0.01}),
    "two-moons": (TwoMoons, {}),
    "deblurring": (Deblurring, {}),
    "deblurring-motion": (Deblurring, {"blur": "motion", "width": 4, "angle": 30}),
    "tomography": (Tomography, {}),
    "tomography-one-view": (Tomography, {"views": 1}),
    "super-resolution": (SuperResolution, {}),
    "inpainting": (Inpainting, {}),
}


@functools.cache
def subject(variant: str) -> TaskSubject:
    return TaskSubject(*VARIANTS[variant])


@pytest.fixture(params=VARIANTS)
def task(request: pytest.FixtureRequest) -> Task:
    return subject(request.param).make()


def stream(seed: int) -> Generator:
    return Generator().manual_seed(seed)


@pytest.mark.parametrize("check", TASK_CHECKS, ids=name_of)
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_task_passes_the_checks_of_cwbench_check(variant: str, check: Callable) -> None:
    outcome = carried_out(check, subject(variant), subject(variant).cls.excused)
    aside = {"residual", "prior-worse"} | lacking(subject(variant).task)
    assert outcome.status == "passed" or (
        outcome.status == "not applicable" and outcome.check in aside
    ), outcome


def lacking(task: Task) -> set[str]:
    """The checks of what a task does not offer to methods."""
    offered = {
        "likelihood": task.has_likelihood,
        "operator": task.linear_operator() is not None,
        "denoiser": task.prior_mixture() is not None,
    }
    offered["bayes"] = offered["operator"] and offered["denoiser"]
    return {check for check, there in offered.items() if not there}


def test_posterior_moments_average_to_those_of_the_prior(task: Task) -> None:
    x, y = task.sample_joint(1_500, stream(3))
    x = x.flatten(1)
    mean, covariance = task.posterior_moments(y)
    total = covariance.mean(0) + mean.T.cov()
    size = float(total.trace())
    assert torch.allclose(mean.mean(0), x.double().mean(0), atol=5 * (size / 1_500) ** 0.5)
    assert torch.allclose(total, x.double().T.cov(), atol=0.1 * size)


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


def test_metadata_is_complete(task: Task) -> None:
    info = task.info
    assert task.has_posterior
    assert info.licence == "MIT"
    assert info.main_metric == "ew2sq"
    assert info.group


def test_every_task_with_a_posterior_is_tried() -> None:
    missing = set(with_posterior()) - {cls.info.name for cls, _ in VARIANTS.values()}
    assert not missing, f"VARIANTS lacks {missing}"


def test_only_the_uninformative_mixture_is_marked_so() -> None:
    marked = {cls.info.name for cls, _ in VARIANTS.values() if not cls.info.informative}
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
        (Deblurring, {"prior": "mnist", "colour": True}),
        (Tomography, {"prior": "patches32", "size": 32}),
        (SuperResolution, {"factor": 1}),
        (SuperResolution, {"noise": 0}),
        (Inpainting, {"seen": 0}),
        (Inpainting, {"seen": 1}),
        (Inpainting, {"hole": 0}),
        (Inpainting, {"mask": "stripes"}),
    ],
)
def test_bad_settings_are_refused(task_class: type[Task], settings: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        task_class.Params(**settings)


def test_settings_change_the_fingerprint() -> None:
    prints = {subject(variant).task.fingerprint() for variant in VARIANTS}
    assert len(prints) == len(VARIANTS)
