"""Expectation-maximisation of factor analysers: rising, right for one component, and repeatable."""

from __future__ import annotations

import gzip
import os
import runpy
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.decomposition import FactorAnalysis
from torch import Generator, Tensor

from cwbench.api import load_task
from cwbench.errors import UsageError
from cwbench_tasks import fit_large_priors, image_priors
from cwbench_tasks.factor_fitting import LEAST_DEVIATION, fit
from cwbench_tasks.image_priors import factors_content, image_prior, load_prior

FOLDER = "CWBENCH_MNIST"
"""Of the environment: where t10k-images-idx3-ubyte.gz lies."""


@pytest.fixture(scope="module")
def digits() -> Tensor:
    """The digits of scikit-learn, dequantised, in an order without meaning."""
    x = torch.from_numpy(load_digits().data) / 17
    generator = Generator().manual_seed(0)
    x = x + torch.rand(x.shape, dtype=torch.float64, generator=generator) / 17
    return x[torch.randperm(len(x), generator=generator)]


def test_no_step_lowers_the_likelihood_that_it_says(digits: Tensor) -> None:
    mixture, history = fit(digits[:1000], 10, 4)
    assert len(history) > 5
    assert all(later > before for before, later in pairwise(history))
    assert float(mixture.log_density(digits[:1000]).mean()) == pytest.approx(history[-1])
    assert float(mixture.deviations.min()) == pytest.approx(LEAST_DEVIATION)  # the border


def test_one_component_is_the_factor_analysis_of_scikit_learn(digits: Tensor) -> None:
    noisy = digits + 0.1 * torch.randn(
        digits.shape, dtype=torch.float64, generator=Generator().manual_seed(1)
    )  # so that no bound holds
    expected = FactorAnalysis(5, tol=1e-8, max_iter=3000, svd_method="lapack").fit(noisy.numpy())
    mixture, history = fit(noisy, 1, 5, steps=500, least_gain=1e-9)
    assert history[-1] == pytest.approx(expected.score(noisy.numpy()), abs=1e-3)
    covariance = mixture.dense().covariances[0].numpy()
    np.testing.assert_allclose(covariance, expected.get_covariance(), atol=1e-3)


def test_a_mixture_is_ahead_of_one_component_on_what_it_has_not_seen(digits: Tensor) -> None:
    held_out = digits[1500:]
    one, many = (fit(digits[:1500], K, 5).mixture.log_density(held_out).mean() for K in (1, 20))
    assert float(many - one) > 5


def test_a_refit_in_single_precision_and_from_other_clusters_agrees(digits: Tensor) -> None:
    """Held out, within a nat and a half of sixty: the twin of the marked test below."""
    training, held_out = digits[:1500], digits[1500:]
    first, single, other = (
        float(mixture.log_density(held_out).mean())
        for mixture in (
            fit(training, 20, 5).mixture,
            fit(training.float(), 20, 5).mixture,
            fit(training, 20, 5, seed=1).mixture,
        )
    )
    assert single == pytest.approx(first, abs=0.05)
    assert other == pytest.approx(first, abs=1.5)


@pytest.mark.slow
@pytest.mark.skipif(FOLDER not in os.environ, reason=f"{FOLDER} names no folder with the digits")
def test_a_refit_to_mnist_agrees() -> None:
    """To 2 nats of 1,300 for each digit: float16 and other processors cost less than one."""
    data = fit_large_priors.digits_like(Path(os.environ[FOLDER]))
    x = fit_large_priors.dequantised(np.concatenate(data))
    refitted = fit(x, *fit_large_priors.SIZE).mixture
    sample = x[:2000]
    expected = float(image_prior("mnist").law.log_density(sample).mean())
    assert float(refitted.log_density(sample).mean()) == pytest.approx(expected, abs=2)


def test_the_file_keeps_the_mixture(digits: Tensor) -> None:
    mixture = fit(digits[:500], 5, 3).mixture
    law, shape, _ = load_prior(factors_content(mixture, (1, 8, 8)), "ours", "")
    assert shape == (1, 8, 8)
    difference = law.log_density(digits[:100]) - mixture.log_density(digits[:100])
    assert float(difference.abs().max()) < 0.5


@pytest.mark.parametrize(
    ("components", "rank", "told"),
    [(0, 3, "choose from 1 to 20"), (21, 3, "21 components for 40 images"), (5, 0, "rank 0 of 64")],
)
def test_sizes_that_cannot_be_fitted_are_told(
    digits: Tensor, components: int, rank: int, told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        fit(digits[:40], components, rank)


def idx(images: np.ndarray, kind: int = 2051) -> bytes:
    return np.array([kind, *images.shape], ">i4").tobytes() + images.tobytes()


def test_idx_files_are_read_and_damaged_ones_told(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (30, 4, 5), dtype=np.uint8)
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images[:10])))
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(images[10:]))
    data = fit_large_priors.digits_like(tmp_path)
    assert (len(data.training), len(data.held_out)) == (27, 3)
    together = np.concatenate(data)[:, 0].reshape(30, -1)
    np.testing.assert_array_equal(
        np.sort(together.view("V20").ravel()), np.sort(images.reshape(30, -1).view("V20").ravel())
    )
    for damaged in (idx(images)[:-1], idx(images, 2049), b""):
        (tmp_path / "train-images-idx3-ubyte").write_bytes(damaged)
        with pytest.raises(UsageError, match="no IDX file of images, or is cut off"):
            fit_large_priors.digits_like(tmp_path)
    with pytest.raises(UsageError, match="no file like t10k-images"):
        fit_large_priors.digits_like(tmp_path / "absent")


@pytest.mark.parametrize(
    ("name", "folder", "told"),
    [
        ("cifar", "absent", "neither cifar-10-batches-py nor an image in"),
        ("mnist", "absent", "no file like t10k-images-idx3-ubyte.gz in"),
        ("mnist", ".", "30 images in .* are too few for 100 components; at least 200 are needed"),
    ],
)
def test_the_command_says_what_it_cannot_fit(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    folder: str,
    told: str,
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (30, 4, 5), dtype=np.uint8)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(images))
    typed = ["fit_large_priors", name, str(tmp_path / folder), str(tmp_path)]
    monkeypatch.setattr(sys, "argv", typed)
    with pytest.raises(SystemExit, match=told):  # a message and no traceback
        runpy.run_path(fit_large_priors.__file__, run_name="__main__")
    assert not list(tmp_path.glob("*.safetensors"))
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("colour", [False, True])
def test_patches_of_photographs_are_held_out_by_place(colour: bool, monkeypatch) -> None:
    monkeypatch.setattr(fit_large_priors, "PATCHES_A_PHOTOGRAPH", 10)
    data = fit_large_priors.patches(colour=colour)
    photographs = 6 if colour else 10
    assert data.training.shape == (10 * photographs, 3 if colour else 1, 32, 32)
    assert len(data.held_out) == photographs
    x = fit_large_priors.dequantised(data.training)
    assert x.shape == (len(data.training), data.training[0].size)
    above = 256 * x - torch.from_numpy(data.training).flatten(1)
    assert float((above - 0.5).abs().max()) == pytest.approx(0.5, abs=1e-3)


def test_a_folder_of_pictures_becomes_a_prior_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(image_priors.platformdirs, "user_cache_path", lambda _: tmp_path / "cache")
    monkeypatch.setattr(fit_large_priors, "SIZE", fit_large_priors.Size(3, 2))
    monkeypatch.setattr(fit_large_priors, "SIDE", 8)
    pixels = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    (tmp_path / "pictures" / "cat").mkdir(parents=True)
    with pytest.raises(UsageError, match="neither cifar-10-batches-py nor an image"):
        fit_large_priors.main(["cifar", str(tmp_path / "pictures")])
    for index, picture in enumerate(pixels):
        Image.fromarray(picture).save(tmp_path / "pictures" / "cat" / f"{index}.png")
    image_prior.cache_clear()
    fit_large_priors.main(["cifar", str(tmp_path / "pictures")])
    assert str(tmp_path / "cache") in capsys.readouterr().out
    task = load_task("super-resolution", prior="cifar")
    image_prior.cache_clear()
    assert task.x_shape == (1, 8, 8)
    x = task.sample_joint(200, Generator().manual_seed(0)).x
    assert float(x.mean()) == pytest.approx(0.5, abs=0.02)
    weights = np.array([0.299, 0.587, 0.114])
    assert float(x.std()) == pytest.approx(np.linalg.norm(weights) * 12**-0.5, abs=0.02)
