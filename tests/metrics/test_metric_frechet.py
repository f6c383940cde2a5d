"""Frechet distances against closed forms and SciPy, and that batches make no difference."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import Generator, Tensor

from cwbench.metrics.frechet import Gaussian, Moments, cfid, frechet, frechet_per_class


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=Generator().manual_seed(seed))


def covariance(d: int, seed: int) -> Tensor:
    root = normal(d, 2 * d, seed=seed)
    return root @ root.T / d


def moments(features: Tensor, labels: Tensor | None = None, groups: int = 1) -> Moments:
    found = Moments(groups)
    found.update(features, torch.zeros(len(features)).long() if labels is None else labels)
    return found


@pytest.mark.parametrize("d", [1, 3, 40])
def test_trace_agrees_with_scipy_on_full_rank(d: int) -> None:
    first = Gaussian(normal(d, seed=1), covariance(d, 2))
    second = Gaussian(normal(d, seed=3), covariance(d, 4))
    product = (first.covariance @ second.covariance).numpy()
    trace = np.trace(np.atleast_2d(sqrtm(product)).real)
    expected = (first.mean - second.mean).square().sum() + first.covariance.trace()
    expected += second.covariance.trace() - 2 * trace
    assert frechet(first, second) == pytest.approx(float(expected), rel=1e-9)


def test_commuting_covariances_have_a_closed_form() -> None:
    a, b = torch.tensor([4.0, 1.0, 0.0]).double(), torch.tensor([1.0, 9.0, 0.0]).double()
    mean = torch.tensor([1.0, 0.0, 2.0]).double()
    value = frechet(Gaussian(mean, a.diag()), Gaussian(torch.zeros(3).double(), b.diag()))
    assert value == pytest.approx(5 + 1 + 4)  # |m|^2 + (2 - 1)^2 + (1 - 3)^2, rank deficient


def test_rank_deficient_covariances_have_no_imaginary_part_and_no_offset() -> None:
    few = normal(5, 64)
    same = moments(few).together()
    assert frechet(same, same) == pytest.approx(0, abs=1e-9)
    scaled = moments(3 * few).together()
    expected = 4 * float(few.mean(0).square().sum() + same.covariance.trace())
    assert frechet(scaled, same) == pytest.approx(expected, rel=1e-6)


def test_streamed_moments_are_those_of_all_at_once_however_batched() -> None:
    features, labels = 5 + normal(60, 4), torch.arange(60) % 3
    whole = moments(features, labels, 3)
    parts = Moments(3)
    for size, at in ((1, 0), (7, 1), (52, 8)):
        parts.update(features[at : at + size], labels[at : at + size])
    for one, other in zip(whole.state().values(), parts.state().values(), strict=True):
        assert torch.allclose(one, other, rtol=1e-12)
    for c, (mean, cov) in enumerate(parts.gaussians()):
        members = features[labels == c]
        assert torch.allclose(mean, members.mean(0))
        assert torch.allclose(cov, members.T.cov())
    assert torch.allclose(parts.together().covariance, features.T.cov())
    again = Moments(3).load(parts.state())
    assert torch.equal(again.pooled().covariance, parts.pooled().covariance)


def test_swapped_covariances_of_two_classes_are_seen_per_class_and_not_by_cfid() -> None:
    """REFERENCES: the two conditional distances are two quantities."""
    labels = torch.arange(4_000) % 2
    scale = torch.where(labels == 0, 1.0, 3.0)[:, None]
    first = moments(normal(4_000, 2) * scale, labels, 2)
    second = moments(normal(4_000, 2) * (4 - scale), labels, 2)
    assert float(frechet_per_class(first, second).mean()) == pytest.approx(8, rel=0.1)
    assert cfid(first, second) < 0.05


def test_cfid_is_the_formula_of_the_paper_with_a_one_hot_condition() -> None:
    """Against the covariance form, computed from x and one-hot y jointly."""
    labels = torch.arange(900) % 3
    a = normal(900, 2, seed=5) + labels[:, None]
    b = 1.5 * normal(900, 2, seed=6) - 2 * labels[:, None]
    code = torch.nn.functional.one_hot(labels, 3).double()

    def conditional(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        joint = torch.cat([x, code], 1).T.cov(correction=0)
        xx, xy, yy = joint[:2, :2], joint[:2, 2:], joint[2:, 2:]
        return xy, torch.linalg.pinv(yy), xx - xy @ torch.linalg.pinv(yy) @ xy.T

    cross_a, inverse, within_a = conditional(a)
    cross_b, _, within_b = conditional(b)
    gap = cross_a - cross_b
    expected = float((a.mean(0) - b.mean(0)).square().sum() + (gap @ inverse @ gap.T).trace())
    root = np.trace(sqrtm((within_a @ within_b).numpy()).real)
    expected += float(within_a.trace() + within_b.trace()) - 2 * root
    value = cfid(moments(a, labels, 3), moments(b, labels, 3))
    assert value == pytest.approx(expected, rel=0.01)  # unbiased against biased covariances


def test_ignoring_the_class_is_invisible_over_all_and_visible_per_class() -> None:
    labels = torch.arange(3_000) % 3
    real = normal(3_000, 2, seed=1) * 0.1 + labels[:, None]
    shuffled = real[torch.randperm(3_000, generator=Generator().manual_seed(0))]
    together = [moments(x).together() for x in (real, shuffled)]
    assert frechet(*together) == pytest.approx(0, abs=1e-9)
    apart = frechet_per_class(moments(shuffled, labels, 3), moments(real, labels, 3))
    assert float(apart.mean()) > 0.5


@pytest.mark.parametrize("noise", [0.0, 1e-7])
def test_a_point_mass_has_the_distance_of_a_point_mass(noise: float) -> None:
    point = 100 * normal(30, seed=5)
    generated = point + noise * normal(60, 30, seed=6)
    real = Gaussian(normal(30, seed=7), covariance(30, 8))
    # the optimal plan from a point is the product: |m - p|^2 + tr C
    expected = float((real.mean - point).square().sum() + real.covariance.trace())
    together = moments(generated).together()
    assert frechet(together, real) == pytest.approx(expected, rel=1e-6)
    labels = torch.arange(60) % 2
    others = moments(normal(80, 30, seed=9), torch.arange(80) % 2, 2)
    apart = moments(generated, labels, 2)
    assert frechet_per_class(apart, others).isfinite().all()
    assert cfid(apart, others) > 0


def test_moments_do_not_depend_on_where_the_features_lie() -> None:
    features, far = normal(50, 4, seed=3), 1e6
    near = moments(features).together()
    moved = moments(features + far).together()
    assert torch.allclose(moved.covariance, near.covariance, rtol=1e-8)
    assert torch.allclose(near.covariance, torch.cov(features.T), rtol=1e-12)
    assert torch.allclose(moved.mean - far, near.mean, atol=1e-8)
