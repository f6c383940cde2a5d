"""Image priors with exact posteriors: Gaussian mixtures fitted to real images, shipped as data.

A mixture of full-covariance Gaussians keeps the posterior of every linear problem with Gaussian
noise in closed form. `digits` was fitted to the 8x8 digits of scikit-learn, `patches` to 16x16
patches of its two sample photographs; values are intensities, about [0, 1]. The parameters are part
of the tasks' definition, so they are data with a checksum and do not follow scikit-learn;
`python -m cwbench_tasks.fit_image_priors` made them.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from math import isqrt
from typing import Literal, NamedTuple

import torch
from safetensors.torch import load
from torch import Tensor

from cwbench.errors import CorruptFileError
from cwbench.samples import MixturePrior

PriorName = Literal["digits", "patches"]

SHA256: dict[str, str] = {
    "digits": "f5684e04267df80d89c170e8e77b78a1002f4cc52b90b559e0071867d2c2c30c",
    "patches": "0af503bdcd39066bb6c294012b090f7c1d734c825e735ab5a6861972aa1b2c3d",
}


class ImagePrior(NamedTuple):
    """A mixture over images with `side * side` pixels, row by row."""

    mixture: MixturePrior
    side: int


@cache
def image_prior(name: PriorName) -> ImagePrior:
    """The shipped mixture of that name, in float64.

    Raises:
        CorruptFileError: if the file is missing or is not the one that was shipped.
    """
    path = files("cwbench_tasks") / "data" / f"{name}.safetensors"
    return parse_prior(path.read_bytes() if path.is_file() else b"", name)


def parse_prior(content: bytes, name: PriorName) -> ImagePrior:
    """The mixture that a file holds, once its checksum is the known one; see `image_prior`."""
    if hashlib.sha256(content).hexdigest() != SHA256[name]:
        raise CorruptFileError(
            f"the image prior {name!r} (cwbench_tasks/data/{name}.safetensors) is damaged or "
            "missing: its checksum is not the shipped one. Install cwbench again."
        )
    stored = {key: value.double() for key, value in load(content).items()}
    factors = unpacked(stored["factors"])
    prior = MixturePrior(
        stored["weights"] / stored["weights"].sum(), stored["means"], factors @ factors.mT
    )
    return ImagePrior(prior, isqrt(prior.means.shape[1]))


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
