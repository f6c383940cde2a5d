"""Linear inverse problems in imaging: Y = A X + s E with an image X, E ~ N(0, I).

Under the shipped priors, Gaussian mixtures fitted to real images, the posterior is exact
(`cwbench_tasks.mixtures`). Under `prior: images` X is a picture from a folder: the problem is real,
its posterior unknown, and methods are judged by what needs only pairs (x, y).

Noise is relative, s = noise * rms(A (X - E X)): the same value is equally hard whatever the
normalisation of A. No published benchmark has a gold-standard posterior for two-dimensional
tomography; a mixture prior gives one for any linear operator.
"""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from pydantic import BaseModel, Field, model_validator
from torch import Generator, Tensor

from cwbench.known.operator import LinearOperator
from cwbench.preset import vector_presets
from cwbench.samples import JointSamples, MixturePosterior, MixturePrior
from cwbench.task import Params, Task, mixture_moments
from cwbench_tasks.image_folder import ImageFolder, image_folder
from cwbench_tasks.image_priors import SHA256, image_prior
from cwbench_tasks.mixtures import linear_posterior, sample_mixture, sample_prior
from cwbench_tasks.operators import MOST_ENTRIES, Operator

IMAGE_PRESETS = vector_presets(
    smoke={"observations": 6, "samples": 60},
    quick={"width": 512, "observations": 30},
    ladder={"width": 512},
    standard={"width": 512, "steps": 10_000, "observations": 50, "nfe": (1, 3, 10, "adaptive")},
)


class ImagingParams(Params):
    """Settings of every imaging problem."""

    prior: Literal["digits", "patches", "images"] = Field(
        "digits",
        description="mixture fitted to 8x8 digits or to 16x16 patches of photographs, with an "
        "exact posterior; or the images of a folder, without",
    )
    root: Path | None = Field(None, description="the folder, with prior images")
    size: int | None = Field(
        None, ge=4, le=64, description="side to crop and resize to, with prior images"
    )
    colour: bool = Field(False, description="three channels, with prior images")
    noise: float = Field(
        1.0, ge=1e-3, le=100, description="deviation over the rms variation of A x"
    )

    @model_validator(mode="after")
    def _folder_goes_with_images(self) -> ImagingParams:
        if self.prior == "images" and self.root is None:
            raise ValueError("prior images needs a folder: --set root=/path/to/images")
        if self.prior != "images" and (self.root or self.size or self.colour):
            raise ValueError("root, size and colour go with --set prior=images")
        return self


class ImagingTask(Task):
    """What all linear imaging problems share; they differ in their operator."""

    Params: ClassVar[type[ImagingParams]] = ImagingParams
    params: ImagingParams

    def __init__(self, params: BaseModel | None = None) -> None:
        super().__init__(params)
        self.folder: ImageFolder | None = None
        if self.params.prior == "images":
            assert self.params.root is not None  # noqa: S101 - checked by the settings
            self.folder = image_folder(
                self.params.root, size=self.params.size, colour=self.params.colour
            )
            self._x_shape = tuple(self.folder.training.shape[1:])
            deviations = self.folder.training.double() - self.folder.training.double().mean(0)
        else:
            prior = image_prior(self.params.prior)
            self.prior: MixturePrior = prior.mixture
            self._x_shape = (1, prior.side, prior.side)
        self.operator: Operator = self.make_operator((self._x_shape[1], self._x_shape[2]))
        self.A = self.operator.matrix
        if self.folder is None:
            moments = mixture_moments(MixturePosterior(*(part[None] for part in self.prior)))
            power = (self.A @ moments.covariance[0] * self.A).sum() / len(self.A)
        else:
            power = (deviations.flatten(2) @ self.A.T).square().mean()
        self.noise = self.params.noise * float(power.sqrt())

    @abstractmethod
    def make_operator(self, shape: tuple[int, int]) -> Operator:
        """The forward operator on images of that height and width."""

    @property
    def x_shape(self) -> tuple[int, ...]:
        """`(channels, height, width)`."""
        return self._x_shape

    @property
    def y_shape(self) -> tuple[int, ...]:
        """`(channels, *shape of the operator's output)`."""
        return (self._x_shape[0], *self.operator.y_shape)

    @property
    def has_posterior(self) -> bool:
        """Whether the prior is a mixture."""
        return self.folder is None

    @property
    def main_metric(self) -> str:
        """The expected Wasserstein distance, or a proper score where no posterior is known."""
        return self.info.main_metric if self.has_posterior else "energy-score"

    def forward(self, x: Tensor) -> Tensor:
        """A x in float64 with shape `(*batch, *y_shape)` of x with shape `(*batch, *x_shape)`."""
        y: Tensor = x.double().flatten(-2) @ self.A.T
        return y.reshape(*y.shape[:-1], *self.operator.y_shape)

    def back_projection(self, y: Tensor) -> Tensor:
        """A^T y with shape `(n, *x_shape)`, a sufficient statistic of y, float32."""
        flat = y.double().flatten(2) @ self.A.to(y.device)
        return flat.reshape(len(y), *self.x_shape).float()

    def linear_operator(self) -> LinearOperator | None:
        """A for all channels, and s; None if the matrix would be too large."""
        channels = self._x_shape[0]
        if channels**2 * self.A.numel() > MOST_ENTRIES:
            return None
        matrix = torch.kron(torch.eye(channels, dtype=torch.float64), self.A)
        return LinearOperator(matrix, self.noise)

    def prior_mixture(self) -> MixturePrior | None:
        """The prior of flattened x, or None under `prior: images`."""
        return self.prior if self.folder is None else None

    def standardised_residual(self, x: Tensor, y: Tensor) -> Tensor:
        """(y - A x) / s with shape `(m, n, d_y)`."""
        residual = (y.double()[:, None] - self.forward(x)) / self.noise
        return residual.flatten(2)

    def _observed(self, x: Tensor, generator: Generator) -> JointSamples:
        noise = torch.randn(len(x), *self.y_shape, dtype=torch.float64, generator=generator)
        return JointSamples(x.float(), (self.forward(x) + self.noise * noise).float())

    def sample_joint(self, n: int, generator: Generator) -> JointSamples:
        """Draw `n` pairs; under `prior: images`, of training images with replacement."""
        if self.folder is None:
            x = sample_prior(self.prior, n, generator).reshape(n, *self.x_shape)
        else:
            chosen = torch.randint(len(self.folder.training), (n,), generator=generator)
            x = self.folder.training[chosen]
        return self._observed(x, generator)

    def evaluation_set(self, n: int, generator: Generator) -> JointSamples:
        """`n` observations; under `prior: images`, of held-out images, each as often as another."""
        if self.folder is None:
            return self.sample_joint(n, generator)
        held_out = self.folder.held_out
        rounds = -(-n // len(held_out))
        order = [torch.randperm(len(held_out), generator=generator) for _ in range(rounds)]
        return self._observed(held_out[torch.cat(order)[:n]], generator)

    def posterior_mixture(self, y: Tensor) -> MixturePosterior | None:
        """The posterior of flattened x, or None under `prior: images`."""
        if self.folder is not None:
            return None
        return linear_posterior(self.prior, self.A, self.noise, y.flatten(1))

    def sample_posterior(self, y: Tensor, n: int, generator: Generator) -> Tensor:
        """Exact draws with shape `(m, n, *x_shape)`."""
        mixture = self.posterior_mixture(y)
        if mixture is None:
            return super().sample_posterior(y, n, generator)
        return sample_mixture(mixture, n, generator).float().reshape(len(y), n, *self.x_shape)

    def fingerprint(self) -> str:
        """Of name, version, settings and the prior's data; the folder's path does not count."""
        settings: dict[str, Any] = self.params.model_dump(mode="json", exclude={"root"})
        data = self.folder.digest if self.folder else SHA256[self.params.prior]
        text = json.dumps([self.info.name, self.info.version, settings, data], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
