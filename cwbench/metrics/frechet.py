"""The Frechet distance of features: W_2^2 between two Gaussians with their moments.

    FD = |m_1 - m_2|^2 + tr C_1 + tr C_2 - 2 tr (C_1^{1/2} C_2 C_1^{1/2})^{1/2}

On the features of Inception it is the FID of GANs Trained by a Two Time-Scale Update Rule
(Heusel et al., 2017) https://arxiv.org/abs/1706.08500; on any other it has a name of its own. It is
biased in the number of images, so that number is fixed or part of the id.

With classes there are two conditional distances, and they are two quantities:

* per class, E_y[FD(features | y)], whose infimum over plans is E_y[W_2^2] of the Gaussians;
* CFID, the closed form for features and condition jointly Gaussian, the condition one-hot:
  E_y |m_1(y) - m_2(y)|^2 + FD of the centred features with pooled covariances.

Swap the covariances of two classes: the first sees it, the second is 0.
CFID: Conditional Frechet Inception Distance (Soloveitchik et al., 2021),
https://arxiv.org/abs/2103.11521
"""

from __future__ import annotations

from typing import NamedTuple, Self

import torch
from torch import Tensor

from cwbench.ot.gaussian import bures_wasserstein_squared


class Gaussian(NamedTuple):
    """Features with their `mean` `(d,)` and `covariance` `(d, d)`, float64."""

    mean: Tensor
    covariance: Tensor


class Moments:
    """Sums of features and of their products in float64, for each of some groups.

    Features are taken from the first one seen: where all are (nearly) equal, what is left of their
    products would otherwise be the rounding of much larger numbers.

    Args:
        groups: the number of classes kept apart, or 1 for all together.
    """

    def __init__(self, groups: int = 1) -> None:
        self.groups = groups
        self.counts = torch.zeros(groups, dtype=torch.float64)
        self.origin: Tensor = torch.zeros(0)
        self.sums: Tensor = torch.zeros(0)
        self.products: Tensor = torch.zeros(0)

    def update(self, features: Tensor, labels: Tensor) -> None:
        """Take in features `(k, d)` with labels `(k,)`."""
        f = features.double()
        if not self.sums.numel():
            d = f.shape[1]
            self.origin = f[0].clone()
            self.sums = torch.zeros(self.groups, d, dtype=torch.float64)
            self.products = torch.zeros(self.groups, d, d, dtype=torch.float64)
        f = f - self.origin
        if self.groups == 1:
            labels = torch.zeros_like(labels)
        for group in labels.unique().tolist():
            members = f[labels == group]
            self.counts[group] += len(members)
            self.sums[group] += members.sum(0)
            self.products[group] += members.T @ members

    def gaussians(self) -> list[Gaussian]:
        """Mean and unbiased covariance of each group."""
        return [
            self._gaussian(*group)
            for group in zip(self.counts, self.sums, self.products, strict=True)
        ]

    def together(self) -> Gaussian:
        """Mean and covariance whatever the group."""
        return self._gaussian(self.counts.sum(), self.sums.sum(0), self.products.sum(0))

    def pooled(self, weights: Tensor | None = None) -> Gaussian:
        """Covariance about the mean of each group, all groups together; the overall mean.

        Groups weigh as `weights` `(groups,)` say, which sum to 1; None is their own degrees of
        freedom, as in the pooled covariance of an analysis of variance.
        """
        weights = self.weights() if weights is None else weights
        means = self.sums / self.counts[:, None]  # about the origin, as the products
        scatter = self.products - self.counts[:, None, None] * means[:, :, None] * means[:, None]
        each = scatter / (self.counts - 1)[:, None, None]
        mean = self.origin + self.sums.sum(0) / self.counts.sum()
        return Gaussian(mean, _symmetric(torch.einsum("g,gij->ij", weights, each)))

    def weights(self) -> Tensor:
        """The share of the degrees of freedom that each group has, `(groups,)`."""
        return (self.counts - 1) / (self.counts - 1).sum()

    def means(self) -> Tensor:
        """The mean of each group, `(groups, d)`."""
        return self.origin + self.sums / self.counts[:, None]

    def _gaussian(self, count: Tensor, total: Tensor, products: Tensor) -> Gaussian:
        mean = total / count
        covariance = (products - count * torch.outer(mean, mean)) / (count - 1)
        return Gaussian(self.origin + mean, _symmetric(covariance))

    def state(self) -> dict[str, Tensor]:
        """The sums."""
        return {
            "counts": self.counts, "origin": self.origin, "sums": self.sums,
            "products": self.products,
        }  # fmt: skip

    def load(self, state: dict[str, Tensor]) -> Self:
        """Take back the sums."""
        self.counts, self.origin = state["counts"], state["origin"]
        self.sums, self.products = state["sums"], state["products"]
        return self


def _symmetric(C: Tensor) -> Tensor:
    return (C + C.T) / 2


def frechet(first: Gaussian, second: Gaussian) -> float:
    """The Frechet distance between two Gaussians.

    The trace of the root is a sum of singular values, which holds for deficient ranks and needs
    no small number added to a diagonal.
    """
    return bures_wasserstein_squared(first.mean, first.covariance, second.mean, second.covariance)


def frechet_per_class(first: Moments, second: Moments) -> Tensor:
    """The Frechet distance of each class, `(K,)`."""
    pairs = zip(first.gaussians(), second.gaussians(), strict=True)
    return torch.tensor([frechet(a, b) for a, b in pairs], dtype=torch.float64)


def cfid(first: Moments, second: Moments) -> float:
    """The conditional distance with pooled covariances; classes weigh as in `second`.

    So do the covariances of `first`, which need not have each class as often as `second` does.
    """
    a, b = first.pooled(second.weights()), second.pooled()
    means = first.means() - second.means()
    weights = second.counts / second.counts.sum()
    between = float((weights * means.square().sum(1)).sum())
    nowhere = torch.zeros_like(a.mean)
    return between + frechet(a._replace(mean=nowhere), b._replace(mean=nowhere))
