"""Fits the mixtures of `cwbench_tasks.image_priors` and writes them: two minutes on one core.

    python -m cwbench_tasks.fit_image_priors DIRECTORY

prints the SHA-256 of each file. A new fit is a new version of the tasks that use it.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from sklearn.datasets import load_digits, load_sample_images
from sklearn.feature_extraction.image import extract_patches_2d
from sklearn.mixture import GaussianMixture

from cwbench.machine.files import write_atomically
from cwbench_tasks.image_priors import packed

Array = NDArray[np.float64]

REGULARISATION = 1e-3
"""Added to the diagonal of every covariance: a pixel keeps a deviation of at least 0.03."""

PATCHES_A_PHOTOGRAPH = 10_000


def digits() -> Array:
    """The 1797 digits with shape `(n, 64)`, in [0, 1]."""
    return np.asarray(load_digits().data / 16)


def patches() -> Array:
    """Grey 16x16 patches of the two photographs with shape `(n, 256)`, in [0, 1]."""
    random = np.random.RandomState(0)
    photographs = [image.mean(axis=2) / 255 for image in load_sample_images().images]
    drawn = [
        extract_patches_2d(p, (16, 16), max_patches=PATCHES_A_PHOTOGRAPH, random_state=random)
        for p in photographs
    ]
    return np.concatenate(drawn).reshape(-1, 256)


def digits_mixture() -> GaussianMixture:
    """25 Gaussians, fitted to the digits."""
    mixture = GaussianMixture(25, reg_covar=REGULARISATION, random_state=0)
    return mixture.fit(digits())


def patches_mixture() -> GaussianMixture:
    """10 Gaussians, fitted to the patches."""
    mixture = GaussianMixture(10, reg_covar=REGULARISATION, random_state=0, init_params="k-means++")
    return mixture.fit(patches())


def content(mixture: GaussianMixture) -> bytes:
    """Weights, means and Cholesky factors in float32, as a safetensors file."""
    factors = np.linalg.cholesky(mixture.covariances_)
    parts = {
        "weights": torch.from_numpy(mixture.weights_),
        "means": torch.from_numpy(mixture.means_),
        "factors": packed(torch.from_numpy(factors)),
    }
    return save({name: part.float().contiguous() for name, part in parts.items()})


def main(directory: Path) -> None:
    """Fit both, write both, print their checksums."""
    for name, fit in {"digits": digits_mixture, "patches": patches_mixture}.items():
        data = content(fit())
        write_atomically(directory / f"{name}.safetensors", data)
        print(name, len(data), hashlib.sha256(data).hexdigest())  # noqa: T201 - a script


if __name__ == "__main__":
    main(Path(sys.argv[1]))
