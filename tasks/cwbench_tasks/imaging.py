"""Linear inverse problems in imaging: Y = A X + s E with an image X, E ~ N(0, I).

Under the fitted priors, Gaussian mixtures and mixtures of factor analysers, the posterior is exact
(`cwbench_tasks.image_priors`). Under `prior: images` X is a picture from a folder: the problem is
real, its posterior unknown, and methods are judged by what needs only pairs (x, y).

Noise is relative, s = noise * rms(A (X - E X)): the same value is equally hard whatever the
normalisation of A. No published benchmark has a gold-standard posterior for two-dimensional
tomography; a mixture prior gives one for any linear operator.
"""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from pydantic import BaseModel, Field, model_validator
from torch import Generator, Tensor

from cwbench.known.operator import LinearOperator
from cwbench.preset import vector_presets
from cwbench.samples import FactorPrior, JointSamples, MixturePosterior, MixturePrior, Moments
from cwbench.task import Params, Task, TaskInfo
from cwbench_tasks.image_folder import ImageFolder, image_folder
from cwbench_tasks.image_priors import COLOURED, Law, Posterior, image_prior
from cwbench_tasks.operators import MOST_ENTRIES, Operator

DATA_NOTES = (
    "Data: digits of scikit-learn (CC BY 4.0), MNIST (CC BY-SA 3.0), Fashion-MNIST (MIT), sample "
    "photographs of scikit-learn (CC BY 2.0) and scikit-image (CC0, public domain)."
)

IMAGE_PRESETS = vector_presets(
    smoke={"observations": 6, "samples": 60},
    quick={"width": 512, "observations": 30},
    ladder={"width": 512},
    standard={"width": 512, "steps": 10_000, "observations": 50, "nfe": (1, 3, 10, "adaptive")},
)

LARGE = 28
"""Side from which on pictures have budgets and a judged NFE of their own."""
JUDGED_NFE = 20
"""Of large pictures, where 20 evaluations a sample cost a sixth of the fit of `fm` at `quick`."""
LARGE_PRESETS = vector_presets(
    smoke={
        "training_pairs": 1_000, "steps": 30, "batch_size": 50, "width": 256, "observations": 4,
        "samples": 40, "nfe": (1, 3, JUDGED_NFE),
    },
    quick={
        "steps": 2_000, "width": 1_024, "observations": 20, "samples": 150,
        "nfe": (1, 3, JUDGED_NFE),
    },
    ladder={"steps": 2_000, "width": 1_024, "nfe": (1, 3, JUDGED_NFE)},
    standard={
        "steps": 50_000, "network": "unet-small", "observations": 50,
        "nfe": (1, 3, 10, JUDGED_NFE, "adaptive"),
    },
)  # fmt: skip
"""`standard` is for a GPU."""


class ImagingParams(Params):
    """Settings of every imaging problem.

    `by_prior` has defaults that are others under a prior: the least noise at which posteriors are
    far from Gaussian, as `benchmarks/gaps.py` found.
    """

    by_prior: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    prior: Literal["digits", "patches", "mnist", "fashion", "patches32", "cifar", "images"] = Field(
        "digits",
        description="mixture with an exact posterior, fitted to 8x8 digits, 16x16 patches of "
        "photographs, MNIST or Fashion-MNIST (28x28), 32x32 patches, or your copy of CIFAR-10; or "
        "the images of a folder, without",
    )
    root: Path | None = Field(None, description="the folder, with prior images")
    size: int | None = Field(
        None, ge=4, le=512, description="side to crop and resize to, with prior images"
    )
    colour: bool = Field(
        False, description="three channels, with priors images, patches32 and cifar"
    )
    noise: float = Field(
        1.0, ge=1e-3, le=100, description="deviation over the rms variation of A x"
    )

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_prior(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        return {**cls.by_prior.get(given.get("prior", ""), {}), **given}

    def standard_settings(self) -> dict[str, Any]:
        """Defaults under this prior."""
        return super().standard_settings() | dict(self.by_prior.get(self.prior, {}))

    @property
    def large(self) -> bool:
        """Whether sides have `LARGE` pixels or more; a folder's do unless `size` says fewer."""
        if self.prior == "images":
            return (self.size or LARGE) >= LARGE
        return self.prior not in ("digits", "patches")

    @model_validator(mode="after")
    def _folder_goes_with_images(self) -> ImagingParams:
        if self.prior == "images" and self.root is None:
            raise ValueError("prior images needs a folder: --set root=/path/to/images")
        if self.prior != "images" and (self.root or self.size):
            raise ValueError("root and size go with --set prior=images")
        if self.colour and self.prior not in (*COLOURED, "images"):
            raise ValueError(
                f"prior {self.prior} is grey; colour goes with priors {', '.join(COLOURED)}, images"
            )
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
            self._data = self.folder.digest
        else:
            prior = image_prior(self.params.prior, colour=self.params.colour)
            self.law: Law = prior.law
            self._x_shape, self._data = prior.shape, prior.sha256
        self.operator: Operator = self.make_operator((self._x_shape[1], self._x_shape[2]))
        self.noise = self.params.noise * float(self._power().sqrt())

    @classmethod
    def info_under(cls, params: BaseModel) -> TaskInfo:
        """Large pictures have presets of their own, and are judged at `JUDGED_NFE`."""
        if not getattr(params, "large", False):
            return cls.info
        return replace(cls.info, presets=LARGE_PRESETS, main_nfe=JUDGED_NFE)

    def _power(self) -> Tensor:
        """Mean variance of the entries of A x."""
        if self.folder is None:
            return self.law.variation(self.A)
        deviations = self.folder.training.double() - self.folder.training.double().mean(0)
        return self.operator.forward(deviations.flatten(2)).square().mean()

    @abstractmethod
    def make_operator(self, shape: tuple[int, int]) -> Operator:
        """The forward operator on images of that height and width."""

    @property
    def A(self) -> Tensor:  # noqa: N802 - the paper's symbol
        """The operator's matrix, for one channel."""
        return self.operator.matrix

    @cached_property
    def posterior(self) -> Posterior:
        """What y says under a fitted prior."""
        if self.folder is not None:
            raise NotImplementedError(f"{self.info.name} with prior images has no exact posterior")
        return self.law.observed(self.A, self.noise)

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
    def has_density(self) -> bool:
        """Whether the prior is a mixture."""
        return self.folder is None

    @property
    def main_metric(self) -> str:
        """The expected Wasserstein distance, or a proper score where no posterior is known."""
        return self.info.main_metric if self.has_posterior else "energy-score"

    def forward(self, x: Tensor) -> Tensor:
        """A x in float64 with shape `(*batch, *y_shape)` of x with shape `(*batch, *x_shape)`."""
        y = self.operator.forward(x.double().flatten(-2))
        return y.reshape(*y.shape[:-1], *self.operator.y_shape)

    def back_projection(self, y: Tensor) -> Tensor:
        """A^T y with shape `(n, *x_shape)`, a sufficient statistic of y, float32."""
        flat = self.operator.adjoint(y.double().flatten(2))
        return flat.reshape(len(y), *self.x_shape).float()

    def linear_operator(self) -> LinearOperator | None:
        """A for all channels, and s; None if the matrix would be too large."""
        channels = self._x_shape[0]
        if channels**2 * self.operator.entries > MOST_ENTRIES:
            return None
        matrix = torch.kron(torch.eye(channels, dtype=torch.float64), self.A)
        return LinearOperator(matrix, self.noise)

    def prior_mixture(self) -> MixturePrior | FactorPrior | None:
        """The prior of flattened x, large ones by their factors; None under `prior: images`."""
        return self.law.mixture() if self.folder is None else None

    def log_prior(self, x: Tensor) -> Tensor:
        """Logarithm of p(x) with shape `(n,)`; none under `prior: images`."""
        return self.law.log_density(x.flatten(1)) if self.folder is None else super().log_prior(x)

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
            x = self.law.sample(n, generator).reshape(n, *self.x_shape)
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
        """The posterior of flattened x; None where its covariances are too large or unknown."""
        return self.posterior.mixture(y.flatten(1)) if self.folder is None else None

    def posterior_weights(self, y: Tensor) -> Tensor | None:
        """Of the prior's components, with shape `(m, K)`."""
        return self.posterior.weights(y.flatten(1)) if self.folder is None else None

    def posterior_moments(self, y: Tensor) -> Moments:
        """Means and covariances of flattened x."""
        return self.posterior.moments(y.flatten(1))

    def posterior_variances(self, y: Tensor) -> Tensor:
        """The diagonals of the covariances."""
        return self.posterior.variances(y.flatten(1))

    def posterior_leading(self, y: Tensor, k: int) -> Tensor:
        """The k directions in which the posterior varies most, `(m, d, k)`."""
        return self.posterior.leading(y.flatten(1), k)

    def sample_posterior(self, y: Tensor, n: int, generator: Generator) -> Tensor:
        """Exact draws with shape `(m, n, *x_shape)`."""
        draws = self.posterior.sample(y.flatten(1), n, generator)
        return draws.float().reshape(len(y), n, *self.x_shape)

    def sample_moment_matched(self, y: Tensor, n: int, generator: Generator) -> Tensor:
        """Draws of the Gaussians with the posteriors' moments, with shape `(m, n, *x_shape)`."""
        draws = self.posterior.sample_matched(y.flatten(1), n, generator)
        return draws.reshape(len(y), n, *self.x_shape)

    def fingerprint(self) -> str:
        """Of name, version, settings and the prior's data; the folder's path does not count."""
        settings: dict[str, Any] = self.params.model_dump(mode="json", exclude={"root"})
        text = json.dumps([self.info.name, self.info.version, settings, self._data], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
