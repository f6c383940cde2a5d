"""The shipped mixtures against a new fit, and against damage."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture

from cwbench.errors import CorruptFileError
from cwbench_tasks.fit_image_priors import digits, digits_mixture, patches
from cwbench_tasks.image_priors import PriorName, image_prior, packed, parse_prior, unpacked


def as_sklearn(name: PriorName, steps: int) -> GaussianMixture:
    """A mixture that starts from the shipped parameters."""
    weights, means, covariances = (part.numpy() for part in image_prior(name).law.mixture())
    return GaussianMixture(
        len(weights),
        reg_covar=1e-3,
        max_iter=steps,
        weights_init=weights,
        means_init=means,
        precisions_init=np.linalg.inv(covariances),
    )


def test_a_refit_to_the_digits_agrees() -> None:
    shipped, refitted = image_prior("digits").law.mixture(), digits_mixture()
    # The same components in another order would do as well; matched by their means.
    order = np.argmin(
        np.linalg.norm(shipped.means.numpy()[:, None] - refitted.means_[None], axis=2), axis=1
    )
    assert sorted(order) == list(range(25))
    np.testing.assert_allclose(refitted.weights_[order], shipped.weights, atol=1e-5)
    np.testing.assert_allclose(refitted.means_[order], shipped.means, atol=1e-5)
    np.testing.assert_allclose(refitted.covariances_[order], shipped.covariances, atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*did not converge")
@pytest.mark.parametrize("name", ["digits", "patches"])
def test_the_shipped_mixture_is_a_fixed_point_of_expectation_maximisation(name: PriorName) -> None:
    data = digits() if name == "digits" else patches()
    mixture = as_sklearn(name, steps=1).fit(data)
    shipped = image_prior(name).law.mixture()
    np.testing.assert_allclose(mixture.weights_, shipped.weights, atol=2e-3)
    np.testing.assert_allclose(mixture.means_, shipped.means, atol=1e-2)


def test_moments_are_those_of_the_images() -> None:
    weights, means, _ = image_prior("digits").law.mixture()
    np.testing.assert_allclose(weights @ means, digits().mean(0), atol=1e-5)
    assert float(weights.sum()) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(("name", "side"), [("digits", 8), ("patches", 16)])
def test_covariances_are_definite(name: PriorName, side: int) -> None:
    prior = image_prior(name)
    assert prior.shape == (1, side, side)
    smallest = torch.linalg.eigvalsh(prior.law.mixture().covariances).amin()
    assert float(smallest) > 0.9e-3  # the regularisation of the fit, up to float32


def test_packing_keeps_triangles() -> None:
    factors = torch.randn(3, 5, 5, generator=torch.Generator().manual_seed(0)).tril()
    assert torch.equal(unpacked(packed(factors)), factors)


@pytest.mark.parametrize("damage", ["missing", "truncated", "flipped"])
def test_a_damaged_file_is_refused(damage: str) -> None:
    content = (files("cwbench_tasks") / "data" / "digits.safetensors").read_bytes()
    flipped = bytearray(content)
    flipped[-1] ^= 1
    damaged = {"missing": b"", "truncated": content[:-10], "flipped": bytes(flipped)}[damage]
    with pytest.raises(CorruptFileError, match=r"digits.*damaged or missing.*Install cwbench"):
        parse_prior(damaged, "digits")
    parse_prior(content, "digits")
