"""The contract of a task: a joint distribution of (x, y), its observations, its exact posterior.

`x` is the unknown, `y` the observation or class, `z` the latent a sampler starts from. Tensors have
shapes x `(n, *x_shape)`, y `(n, *y_shape)`, z `(n, *x_shape)`: a latent has the shape of x. A class
label is an int64 `y` of shape `(n,)`. Everything is in raw units and float32 on the CPU.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, cast

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Generator, Tensor
from torch.utils.data import Dataset, TensorDataset

from cwbench.preset import NFE, Preset
from cwbench.samples import ImageSet, JointSamples, MixturePosterior, Moments
from cwbench.settings import keyed_values


class Params(BaseModel):
    """Base of all settings: checked once, frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class UnitParams(Params):
    """Settings of a task whose coordinates have unlike units: its `Params` derive from it."""

    distances: Literal["task", "standardised"] = Field(
        "task",
        description="units of distances to the posterior: the task's, or deviations of each "
        "coordinate of x (of each channel of an image)",
    )


@dataclass(frozen=True)
class TaskInfo:
    """What no setting changes. A change that moves a number raises `version`.

    `citation` is BibTeX, the path of a .bib file beside the class, or keys of cwbench's own
    references: `cwbench.citations`.
    """

    name: str
    version: int
    title: str
    main_metric: str
    licence: str
    citation: str
    presets: Mapping[str, Preset]
    group: str = ""
    main_nfe: NFE = "adaptive"
    second_nfe: NFE = 3
    informative: bool = True
    notes: str = ""
    contract: int = field(default=1)


class Task(ABC):
    """A joint distribution P(X, Y) with held-out observations and, where known, P(X | Y = y).

    Subclasses set `info` and, if they have settings, `Params`; the constructor validates nothing
    again. Everything random comes from the generator that is passed. `excused` maps names of checks
    of `cwbench check` that it cannot pass to the reasons.
    """

    info: ClassVar[TaskInfo]
    excused: ClassVar[Mapping[str, str]] = {}
    Params: ClassVar[type[Params]] = Params

    def __init__(self, params: BaseModel | None = None) -> None:
        self.params = params if params is not None else self.Params()

    @property
    @abstractmethod
    def x_shape(self) -> tuple[int, ...]:
        """Shape of one unknown x."""

    @property
    @abstractmethod
    def y_shape(self) -> tuple[int, ...]:
        """Shape of one observation y; `()` for class labels."""

    @property
    def num_classes(self) -> int | None:
        """Number of classes if y is a class label, else None."""
        return None

    @property
    def main_metric(self) -> str:
        """The metric that ranks methods; settings may change it where they hide the posterior."""
        return self.info.main_metric

    @property
    def has_posterior(self) -> bool:
        """Whether `sample_posterior` draws the exact posterior."""
        return type(self).sample_posterior is not Task.sample_posterior

    @abstractmethod
    def sample_joint(self, n: int, generator: Generator) -> JointSamples:
        """Draw `n` pairs of the joint distribution."""

    def training_data(self, n: int, generator: Generator) -> Dataset[tuple[Tensor, Tensor]]:
        """A map-style data set of `n` pairs (x, y); stored image sets override this."""
        dataset = TensorDataset(*self.sample_joint(n, generator))
        return cast("Dataset[tuple[Tensor, Tensor]]", dataset)

    def evaluation_set(self, n: int, generator: Generator) -> JointSamples:
        """`n` held-out observations y and the x behind each."""
        return self.sample_joint(n, generator)

    def sample_posterior(self, y: Tensor, n: int, generator: Generator) -> Tensor:
        """Draw `n` samples of P(X | Y = y) for each row of `y`.

        Args:
            y: with shape `(m, *y_shape)`.
            n: samples for each observation.
            generator: source of randomness, on the CPU.

        Returns:
            Samples with shape `(m, n, *x_shape)`.
        """
        raise NotImplementedError(f"{self.info.name} has no exact posterior")

    def posterior_mixture(self, y: Tensor) -> MixturePosterior | None:
        """The exact posterior as a Gaussian mixture, or None where it is not one."""
        return None

    def posterior_moments(self, y: Tensor) -> Moments:
        """Exact posterior mean and covariance of flattened x for each of m observations.

        The default takes them from the mixture, else from 2**16 exact draws of a fixed stream.
        """
        mixture = self.posterior_mixture(y)
        if mixture is not None:
            return mixture_moments(mixture)
        moments = [self._sampled_moments(row) for row in y.split(1)]
        return Moments(*(torch.cat(part) for part in zip(*moments, strict=True)))

    def _sampled_moments(self, y: Tensor) -> Moments:
        generator = Generator().manual_seed(0)  # each row its own: no row depends on its neighbours
        draws = self.sample_posterior(y, 2**16, generator).flatten(2).double()[0]
        return Moments(draws.mean(0)[None], torch.cov(draws.T).reshape(1, *[draws.shape[1]] * 2))

    def standardised_residual(self, x: Tensor, y: Tensor) -> Tensor | None:
        """(y - A x) / s, the noise that x leaves to explain y, where the noise is N(0, s^2 I).

        log p(y | x) is minus half its squared norm, up to a constant. None where noise is not so.

        Args:
            x: with shape `(m, n, *x_shape)`.
            y: with shape `(m, *y_shape)`.

        Returns:
            Residuals with shape `(m, n, d_y)`, float64, y flattened.
        """
        return None

    def back_projection(self, y: Tensor) -> Tensor | None:
        """A^T y with shape `(n, *x_shape)`: y as an image, for networks that take images.

        None where y has no such form; networks are then fed y itself.
        """
        return None

    def sample_latent(self, n: int, generator: Generator) -> Tensor:
        """Latents with shape `(n, *x_shape)`, as x has; standard normal unless overridden."""
        return torch.randn(n, *self.x_shape, generator=generator)

    def stored_images(self, part: Literal["train", "test"]) -> ImageSet | None:
        """The images with class labels that this task consists of, None where it does not.

        x is then `cwbench.images.to_x` of them and y the label. Metrics compare what a model draws
        with the held-out part `test`, and ask of `train` whether it was copied.
        """
        return None

    @property
    def class_names(self) -> tuple[str, ...]:
        """What the labels 0, 1, ... mean; their numbers unless told otherwise."""
        return tuple(map(str, range(self.num_classes or 0)))

    def fingerprint(self) -> str:
        """SHA-256 (16 digits) of what the data depends on: name, version, settings.

        Tasks that read files hash their bytes as well; a path is never part of it.
        """
        decisive = keyed_values(self.params)
        text = json.dumps([self.info.name, self.info.version, decisive], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def mixture_moments(mixture: MixturePosterior) -> Moments:
    """Mean and covariance of Gaussian mixtures by the law of total variance."""
    weights, means, covariances = mixture
    mean = torch.einsum("mk,mkd->md", weights, means)
    centred = means - mean[:, None]
    between = torch.einsum("mk,mkd,mke->mde", weights, centred, centred)
    return Moments(mean, torch.einsum("mk,mkde->mde", weights, covariances) + between)
