"""Image priors with exact posteriors: mixtures fitted to real images, shipped as data.

`digits` and `patches` are mixtures of full-covariance Gaussians, fitted to the 8x8 digits of
scikit-learn and to 16x16 patches of its two sample photographs. `mnist` and `fashion` (28x28) and
`patches32` (32x32, grey or in colour) are mixtures of factor analysers, whose covariances would
not fit into memory. Values are intensities, about [0, 1]. The parameters are part of the tasks'
definition, so they are data with a checksum and follow no library; `python -m
cwbench_tasks.fit_image_priors` and `fit_large_priors` made them, and data/LICENCES.md says of what.

`cifar` is not shipped, since that data set states no licence: it is fitted from the user's copy,
kept in the cache and known by its content.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from math import isqrt
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import platformdirs
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Generator, Tensor

from cwbench.errors import CorruptFileError, UsageError
from cwbench.samples import FactorPrior, MixturePosterior, MixturePrior, Moments
from cwbench_tasks.factors import FactorMixture
from cwbench_tasks.mixtures import DenseMixture

PriorName = Literal["digits", "patches", "mnist", "fashion", "patches32", "cifar"]

COLOURED: tuple[PriorName, ...] = ("patches32", "cifar")
"""Those that are there in three channels too."""

SHA256: dict[str, str] = {
    "digits": "f5684e04267df80d89c170e8e77b78a1002f4cc52b90b559e0071867d2c2c30c",
    "patches": "0af503bdcd39066bb6c294012b090f7c1d734c825e735ab5a6861972aa1b2c3d",
    "mnist": "7a1becbee9f516fdb60bba41c95e71ab4abd02c0f2fb9f8f9a0ce2018d4582f4",
    "fashion": "d8fd1ccb0962b158641828e2c13a64ac73f68110e86ce37eca282cd8b0cf9c2f",
    "patches32": "a8b8c2dce0f38ce22aa26a8024d9d25528e685093cf68a513b8bf5fd8fe717f7",
    "patches32-colour": "34ec64aa2bb9cdf9259e93a37891f4bb757885b708ea5acc8d465baad2e9de96",
}
"""Of the shipped files."""


class Posterior(Protocol):
    """The law of x given y of shape `(m, d_y)`; `m` observations at a time."""

    def sample(self, y: Tensor, n: int, generator: Generator) -> Tensor:
        """Draws with shape `(m, n, d)`."""

    def sample_matched(self, y: Tensor, n: int, generator: Generator) -> Tensor:
        """Draws of the Gaussians with the same means and covariances, with shape `(m, n, d)`."""

    def moments(self, y: Tensor) -> Moments:
        """Means and covariances."""

    def variances(self, y: Tensor) -> Tensor:
        """The diagonals of the covariances, with shape `(m, d)`."""

    def leading(self, y: Tensor, k: int) -> Tensor:
        """The k directions of most variance, with shape `(m, d, k)`."""

    def weights(self, y: Tensor) -> Tensor:
        """Of the components, with shape `(m, K)`."""

    def mixture(self, y: Tensor) -> MixturePosterior | None:
        """All covariances, where they fit into memory."""


class Law(Protocol):
    """What an imaging problem asks of its prior over flattened images."""

    def sample(self, n: int, generator: Generator) -> Tensor:
        """Draws with shape `(n, d)`."""

    def log_density(self, x: Tensor) -> Tensor:
        """Logarithm of p(x) with shape `(n,)` of x with shape `(n, d)`."""

    def variation(self, A: Tensor) -> Tensor:
        """Mean variance of the entries of A x; A acts on each channel by itself."""

    def observed(self, A: Tensor, noise: float) -> Posterior:
        """The law given Y = A X + noise."""

    def mixture(self) -> MixturePrior | FactorPrior:
        """As methods are handed it: by all covariances, or by factors."""


class ImagePrior(NamedTuple):
    """A law of images of that shape, `(channels, height, width)`, known by its file's SHA-256."""

    law: Law
    shape: tuple[int, int, int]
    sha256: str


@cache
def image_prior(name: PriorName, *, colour: bool = False) -> ImagePrior:
    """The mixture of that name, in float64.

    Raises:
        CorruptFileError: if the file is missing or is not the one that was shipped.
        UsageError: if it is to be fitted first.
    """
    stem = stem_of(name, colour=colour)
    if stem in SHA256:
        shipped = files("cwbench_tasks") / "data" / f"{stem}.safetensors"
        return parse_prior(shipped.read_bytes() if shipped.is_file() else b"", stem)
    path = cached_path(stem)
    if not path.is_file():
        raise UsageError(
            f"the prior {stem!r} is not shipped; fit it to your copy of the images, once, by\n"
            f"  python -m cwbench_tasks.fit_large_priors {stem} FOLDER"
        )
    remedy = f"Delete {str(path)!r} and fit it again."
    prior = load_prior(path.read_bytes(), stem, remedy)
    wanted = 3 if colour else 1
    if prior.shape[0] != wanted:
        raise CorruptFileError(
            f"the image prior {stem!r} has {prior.shape[0]} channels, not {wanted}: the file is "
            f"another prior's. {remedy}"
        )
    return prior


def stem_of(name: PriorName, *, colour: bool) -> str:
    """What its file is called."""
    return f"{name}-colour" if colour else name


def cached_path(stem: str) -> Path:
    """Where a prior lies that is not shipped."""
    return platformdirs.user_cache_path("cwbench") / "priors" / f"{stem}.safetensors"


def parse_prior(content: bytes, name: str) -> ImagePrior:
    """The mixture that a shipped file holds, once its checksum is the known one."""
    if hashlib.sha256(content).hexdigest() != SHA256[name]:
        raise CorruptFileError(
            f"the image prior {name!r} (cwbench_tasks/data/{name}.safetensors) is damaged or "
            "missing: its checksum is not the shipped one. Install cwbench again."
        )
    return load_prior(content, name, "Install cwbench again.")


def load_prior(content: bytes, name: str, remedy: str) -> ImagePrior:
    """The mixture that a file holds, of either kind.

    Raises:
        CorruptFileError: if it holds none; `remedy` says what to do.
    """
    try:
        stored = {key: value.double() for key, value in load(content).items()}
        law, shape = _factored(stored) if "levels" in stored else _dense(stored)
    except (SafetensorError, LookupError, RuntimeError, ValueError, UsageError) as error:
        raise CorruptFileError(
            f"the image prior {name!r} is no mixture: {error}. {remedy}"
        ) from None
    return ImagePrior(law, shape, hashlib.sha256(content).hexdigest())


def _dense(stored: Mapping[str, Tensor]) -> tuple[Law, tuple[int, int, int]]:
    factors = unpacked(stored["factors"])
    weights = stored["weights"] / stored["weights"].sum()
    prior = MixturePrior(weights, stored["means"], factors @ factors.mT)
    side = isqrt(prior.means.shape[1])
    return DenseMixture(prior), (1, side, side)


def _factored(stored: Mapping[str, Tensor]) -> tuple[Law, tuple[int, int, int]]:
    parts = [stored[name] for name in ("weights", "means", "factors", "levels", "deviations")]
    channels, height, width = map(int, stored["shape"])
    if channels * height * width != parts[1].shape[1]:
        raise UsageError(f"{parts[1].shape[1]} numbers are no image of {height}x{width} pixels")
    return FactorMixture.prior(*parts), (channels, height, width)


def factors_content(mixture: FactorMixture, shape: tuple[int, ...]) -> bytes:
    """A mixture of factor analysers as a safetensors file, means and factors in float16."""
    parts = {
        "weights": mixture.weights.float(),
        "means": mixture.means.half(),
        "factors": mixture.factors.half(),
        "levels": mixture.levels.float(),
        "deviations": mixture.deviations.float(),
        "shape": torch.tensor(shape),
    }
    return save({name: part.contiguous() for name, part in parts.items()})


def packed(factors: Tensor) -> Tensor:
    """Lower triangles `(K, d, d)` as rows `(K, d (d + 1) / 2)`."""
    rows, columns = torch.tril_indices(*factors.shape[1:])
    return factors[:, rows, columns]


def unpacked(rows: Tensor) -> Tensor:
    """The inverse of `packed`."""
    d = (isqrt(8 * rows.shape[1] + 1) - 1) // 2
    factors = rows.new_zeros(len(rows), d, d)
    index = torch.tril_indices(d, d)
    factors[:, index[0], index[1]] = rows
    return factors
