"""Controls that bound the scale: what a perfect sampler, a Gaussian, and an ignorant one score.

Where no posterior is known but its examples are stored, real images stand for the perfect sampler.
"""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar, cast

import torch
from torch import Generator, Tensor
from torch.utils.data import Dataset

from cwbench.images import to_x
from cwbench.method import FitContext, Method, MethodInfo, Posterior, State
from cwbench.preset import NFE
from cwbench.samples import Part

LARGE = 1024
"""Dimensions above which no covariance matrix is asked for: one of 3,072 has 75 MB."""


class Control(Method):
    """Nothing is learned and nothing is kept."""

    def fit(self, data: Dataset[tuple[Tensor, Tensor]], context: FitContext) -> None:
        """Nothing to do."""

    @abstractmethod
    def sample(self, y: Tensor, n: int, generator: Generator, nfe: NFE | None = None) -> Tensor:
        """Draw from the task itself."""

    def state_dict(self) -> State:
        """Empty."""
        return {}

    def load_state_dict(self, state: State) -> None:
        """Nothing to take back."""


class Oracle(Control):
    """The exact posterior: debiased metrics are 0 in expectation."""

    info = MethodInfo(
        name="oracle",
        version=1,
        title="Exact posterior",
        citation="chemseddine2025conditional",
        role="upper",
        needs=frozenset({"posterior"}),
    )

    def sample(self, y: Tensor, n: int, generator: Generator, nfe: NFE | None = None) -> Tensor:
        """The task's own posterior."""
        return cast("Posterior", self.spec.posterior).sample_posterior(y, n, generator)


class OracleGaussian(Control):
    """The exact posterior mean and covariance in the shape of a Gaussian."""

    info = MethodInfo(
        name="oracle-gaussian",
        version=1,
        title="Gaussian with the exact posterior moments",
        citation="chemseddine2025conditional",
        role="upper",
        needs=frozenset({"posterior"}),
    )

    def sample(self, y: Tensor, n: int, generator: Generator, nfe: NFE | None = None) -> Tensor:
        """N(E[x | y], Cov[x | y])."""
        posterior = cast("Posterior", self.spec.posterior)
        if self.spec.x_size > LARGE:
            return posterior.sample_moment_matched(y, n, generator).float()
        moments = posterior.posterior_moments(y)
        eigenvalues, eigenvectors = torch.linalg.eigh(moments.covariance)
        root = eigenvectors * eigenvalues.clamp_min(0).sqrt()[:, None]
        noise = torch.randn(len(y), n, self.spec.x_size, generator=generator).double()
        draws = moments.mean[:, None] + torch.einsum("mde,mne->mnd", root, noise)
        return draws.float().reshape(len(y), n, *self.spec.x_shape)


class HeldOut(Control):
    """Real images of the class: what a perfect sampler of stored images would score.

    Each metric is handed images that it has not seen: of the training part where it compares with
    the held-out one, else of the held-out part. There every image comes once before one comes
    again; samples for figures are drawn with replacement.
    """

    info = MethodInfo(
        name="held-out",
        version=1,
        title="Real images of the class, not those compared with",
        citation="chemseddine2025conditional",
        role="upper",
        needs=frozenset({"stored-images"}),
    )
    excused: ClassVar[Mapping[str, str]] = {
        "large-n": "a pixel that is black in a few images and not in all has no standard error",
    }

    def real_images(self, part: Part) -> Callable[[Tensor], Tensor]:
        """The images of each class in their order, which has nothing to do with what they show."""
        images, members = self._by_class(part)
        order = [itertools.cycle(rows.tolist()) for rows in members]

        def draw(y: Tensor) -> Tensor:
            return to_x(images[[next(order[label]) for label in y.tolist()]])

        return draw

    def sample(self, y: Tensor, n: int, generator: Generator, nfe: NFE | None = None) -> Tensor:
        """Held-out images of the class, drawn with replacement, `(m, n, *x_shape)`."""
        images, members = self._by_class("test")
        uniform = torch.rand(len(y), n, generator=generator, dtype=torch.float64)
        rows = [members[label] for label in y.tolist()]
        chosen = [r[(u * len(r)).long()] for r, u in zip(rows, uniform, strict=True)]
        return to_x(images[torch.stack(chosen)])

    def _by_class(self, part: Part) -> tuple[Tensor, list[Tensor]]:
        """The images of a part, and the rows of each class."""
        assert self.spec.stored_images is not None  # noqa: S101 - granted by `needs`
        images, labels = self.spec.stored_images(part)
        classes = range(self.spec.num_classes or 1)
        return images, [torch.nonzero(labels == label)[:, 0] for label in classes]


class Prior(Control):
    """Fresh draws of X that ignore y: the score of having learned nothing about the posterior."""

    info = MethodInfo(
        name="prior",
        version=1,
        title="Prior, y ignored",
        citation="chemseddine2025conditional",
        role="lower",
        needs=frozenset({"simulator"}),
    )

    def sample(self, y: Tensor, n: int, generator: Generator, nfe: NFE | None = None) -> Tensor:
        """X of the joint distribution."""
        assert self.spec.simulator is not None  # noqa: S101 - granted by `needs`
        x = self.spec.simulator(len(y) * n, generator).x
        return x.reshape(len(y), n, *self.spec.x_shape)
