"""What the contracts exchange: pairs, exact posteriors, stored images.

`x` is the unknown, `y` the observation or class. Tensors have shapes `(n, *x_shape)` and
`(n, *y_shape)`; a class label is an int64 `y` of shape `(n,)`.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from torch import Tensor

Part = Literal["train", "test"]
OTHER: dict[Part, Part] = {"train": "test", "test": "train"}
"""Images a method may learn from, or those that are held out."""


class JointSamples(NamedTuple):
    """Draws of the joint distribution: `x` with shape `(n, *x_shape)`, `y` `(n, *y_shape)`."""

    x: Tensor
    y: Tensor


class MixturePosterior(NamedTuple):
    """Gaussian mixtures, one for each of m observations, in float64.

    `weights` with shape `(m, K)`, `means` `(m, K, d)`, `covariances` `(m, K, d, d)`.
    """

    weights: Tensor
    means: Tensor
    covariances: Tensor


class MixturePrior(NamedTuple):
    """A mixture in float64: `weights` `(K,)`, `means` `(K, d)`, `covariances` `(K, d, d)`."""

    weights: Tensor
    means: Tensor
    covariances: Tensor


class Moments(NamedTuple):
    """Posterior `mean` with shape `(m, d)` and `covariance` `(m, d, d)`, float64, x flattened."""

    mean: Tensor
    covariance: Tensor


class ImageSet(NamedTuple):
    """Images `(n, C, H, W)` as uint8 and their labels `(n,)` as int64, in an order that is fixed.

    The order has nothing to do with the classes: the first k are a sample of all.
    """

    images: Tensor
    labels: Tensor

    def first(self, n: int) -> ImageSet:
        """The first `n`, or all if there are fewer."""
        return ImageSet(self.images[:n], self.labels[:n])
