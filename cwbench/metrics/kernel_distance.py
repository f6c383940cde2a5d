"""The kernel distance of features: the squared maximum mean discrepancy, unbiased.

    MMD^2 = E k(f, f') + E k(g, g') - 2 E k(f, g),  k(f, g) = (f . g / d + 1)^3

over blocks of features, each estimated without its diagonal and averaged: unbiased at any number of
images, so real against real is 0 in expectation, and may be negative. Memory holds a block and the
real features. On Inception's features it is the KID of Demystifying MMD GANs (Binkowski et al.,
2018) https://arxiv.org/abs/1801.01401, which draws blocks at random; here they are consecutive and
every image counts once.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

BLOCK = 1_000
"""Features compared with as many real ones at a time."""

KEPT = 10_000
"""Real features kept at most."""


class Rows:
    """The first features of a stream with their labels, at most `KEPT`."""

    def __init__(self, kept: int = KEPT) -> None:
        self.kept = kept
        self.parts: list[tuple[Tensor, Tensor]] = []
        self.count = 0

    def update(self, features: Tensor, labels: Tensor) -> None:
        """Take in features `(k, d)` with labels `(k,)`, up to the limit."""
        room = self.kept - self.count
        if room > 0:
            self.parts.append((features[:room].float().clone(), labels[:room].clone()))
            self.count += len(self.parts[-1][1])

    @property
    def features(self) -> Tensor:
        """With shape `(n, d)`, float64."""
        return torch.cat([part[0] for part in self.parts]).double()

    @property
    def labels(self) -> Tensor:
        """With shape `(n,)`."""
        return torch.cat([part[1] for part in self.parts])

    def state(self) -> dict[str, Tensor]:
        """Features and labels."""
        return {"features": self.features.float(), "labels": self.labels}

    def load(self, state: dict[str, Tensor]) -> Self:
        """Take back features and labels."""
        self.parts, self.count = [(state["features"], state["labels"])], len(state["labels"])
        return self


class BlockDistance:
    """The kernel distance of a stream to real features, block by block, for each group.

    Args:
        real: the features compared with.
        groups: the number of classes compared with their own, or 1 for all together.
    """

    def __init__(self, real: Rows, groups: int = 1) -> None:
        features = real.features
        labels = real.labels if groups > 1 else torch.zeros_like(real.labels)
        self.groups = groups
        self.real = [features[labels == group] for group in range(groups)]
        self.pending: list[list[Tensor]] = [[] for _ in range(groups)]
        self.blocks = [0] * groups
        self.sums = torch.zeros(groups, dtype=torch.float64)
        self.counts = torch.zeros(groups, dtype=torch.float64)

    def update(self, features: Tensor, labels: Tensor) -> None:
        """Take in features `(k, d)` with labels `(k,)`; whole blocks are compared at once."""
        labels = labels if self.groups > 1 else torch.zeros_like(labels)
        for group in labels.unique().tolist():
            self.pending[group] += list(features[labels == group].double())
            while len(self.pending[group]) >= BLOCK:
                self._compare(group, self.pending[group][:BLOCK])
                self.pending[group] = self.pending[group][BLOCK:]

    def value(self) -> Tensor:
        """The mean over blocks, each weighing as many images as it has; NaN without two images."""
        sums, counts = self.sums.clone(), self.counts.clone()
        for group, rows in enumerate(self.pending):
            if len(rows) > 1:
                sums[group] += len(rows) * self._distance(group, rows)
                counts[group] += len(rows)
        return sums / counts

    def _compare(self, group: int, rows: list[Tensor]) -> None:
        self.sums[group] += len(rows) * self._distance(group, rows)
        self.counts[group] += len(rows)
        self.blocks[group] += 1

    def _distance(self, group: int, rows: list[Tensor]) -> float:
        """Against the real block whose turn it is."""
        real = self.real[group]
        first = self.blocks[group] * BLOCK % max(1, len(real) - len(real) % BLOCK)
        return kernel_distance(torch.stack(rows), real[first : first + BLOCK])

    def state(self) -> dict[str, Tensor]:
        """Never kept: it belongs to generated images."""
        raise NotImplementedError

    def load(self, state: dict[str, Tensor]) -> Self:
        """Never kept."""
        raise NotImplementedError


def kernel_distance(f: Tensor, g: Tensor) -> float:
    """The unbiased squared discrepancy of features `(n, d)` and `(m, d)`."""
    f, g = f.double(), g.double()
    return _within(f) + _within(g) - 2 * float(_kernel(f, g).mean())


def _within(f: Tensor) -> float:
    k, n = _kernel(f, f), len(f)
    return float((k.sum() - k.diagonal().sum()) / (n * (n - 1)))


def _kernel(f: Tensor, g: Tensor) -> Tensor:
    return (f @ g.T / f.shape[1] + 1) ** 3
