"""The contract of a task: a joint distribution of (x, y), its observations, its exact posterior.

`x` is the unknown, `y` the observation or class, `z` the latent a sampler starts from. Tensors have
shapes x `(n, *x_shape)`, y `(n, *y_shape)`, z `(n, *x_shape)`: a latent has the shape of x. A class
label is an int64 `y` of shape `(n,)`. Everything is in raw units and float32 on the CPU.
"""

from __future__ import annotations

import hashlib
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, cast

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Generator, Tensor
from torch.utils.data import Dataset, TensorDataset

from cwbench.errors import ContractError
from cwbench.known.factors import noisy_prior
from cwbench.known.operator import LinearOperator
from cwbench.machine.signals import heed
from cwbench.preset import NFE, Preset
from cwbench.samples import (
    FactorPrior,
    ImageSet,
    JointSamples,
    MixturePosterior,
    MixturePrior,
    Moments,
    RunningMoments,
)
from cwbench.settings import NothingIdle, content_values

MOMENT_DRAWS = 2**16
"""Exact draws that give the moments of a posterior that is no mixture."""

HELD_NUMBERS = 2**24
"""Numbers drawn at a time for that."""

KEPT_NUMBERS = 2**25
"""Entries of covariances that are kept in memory."""


class Params(NothingIdle):
    """Base of all settings: checked once, frozen, unknown keys and numbers without end refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


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

    info: TaskInfo
    excused: ClassVar[Mapping[str, str]] = {}
    Params: ClassVar[type[Params]] = Params

    rough_likelihood: ClassVar[str] = ""
    """Why no method can follow the gradient of `log_likelihood`; empty where it can."""

    source_sha256: str | None = None
    """Of a task from a file or an editable package, set by the harness: its code can change under
    an unchanged version."""

    def __init__(self, params: BaseModel | None = None) -> None:
        self.params = params if params is not None else self.Params()
        self.info = self.info_under(self.params)

    @classmethod
    def info_under(cls, params: BaseModel) -> TaskInfo:
        """`info` of an instance, whose presets and judged NFE may go with its settings."""
        return cls.info

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
        pairs = self.sample_joint(n, generator)
        dataset = TensorDataset(*map(torch.as_tensor, pairs))
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

    def posterior_weights(self, y: Tensor) -> Tensor | None:
        """Weights `(m, K)` of the posterior's components, or None where it is no mixture."""
        mixture = self.posterior_mixture(y)
        return None if mixture is None else mixture.weights

    def posterior_moments(self, y: Tensor) -> Moments:
        """Exact posterior mean and covariance of flattened x for each of m observations.

        The default takes them from the mixture, else from 2**16 exact draws of a fixed stream, some
        at a time where x is large.
        """
        mixture = self.posterior_mixture(y)
        if mixture is not None:
            return mixture.moments()
        moments = [self._kept_moments(row) for row in y.split(1)]
        return Moments(*(torch.cat(part) for part in zip(*moments, strict=True)))

    def _kept_moments(self, y: Tensor) -> Moments:
        """Those of draws; of many observations the first stay in memory, as metrics ask again."""
        kept: dict[bytes, Moments] = self.__dict__.setdefault("_moments", {})
        key = y.numpy().tobytes()
        if key in kept:
            return kept[key]
        moments = self._sampled_moments(y)
        if (len(kept) + 1) * moments.covariance.numel() <= KEPT_NUMBERS:
            kept[key] = moments
        return moments

    def _sampled_moments(self, y: Tensor) -> Moments:
        """Of draws of a fixed stream, as many at a time as memory should hold."""
        generator = Generator().manual_seed(0)  # each row its own: no row depends on its neighbours
        size = max(1, min(MOMENT_DRAWS, HELD_NUMBERS // math.prod(self.x_shape)))
        moments = RunningMoments()
        for n in torch.ones(MOMENT_DRAWS).split(size):
            heed()
            moments.add(self.sample_posterior(y, len(n), generator).flatten(2).double()[0])
        return moments.moments()

    def posterior_variances(self, y: Tensor) -> Tensor:
        """The diagonals `(m, d)` of the covariances; tasks of large x know them without these."""
        return self.posterior_moments(y).covariance.diagonal(dim1=1, dim2=2)

    def posterior_leading(self, y: Tensor, k: int) -> Tensor:
        """The k directions in which the posterior varies most, orthonormal, `(m, d, k)`, float64.

        All d where k is larger.
        """
        covariance = self.posterior_moments(y).covariance.double()
        directions: Tensor = torch.linalg.eigh(covariance)[1]
        return directions[..., -k:]

    def sample_moment_matched(self, y: Tensor, n: int, generator: Generator) -> Tensor:
        """As `sample_posterior`, of Gaussians with the posteriors' means and covariances."""
        draws = self.posterior_moments(y).draws(n, generator)
        return draws.reshape(len(y), n, *self.x_shape)

    def linear_operator(self) -> LinearOperator | None:
        """A, s and b of Y = A X + b + s E on flattened x and y, or None where y is not so."""
        return None

    def log_likelihood(self, x: Tensor, y: Tensor) -> Tensor:
        """Logarithm of p(y | x) with shape `(m, n)`, float64, differentiable in x, normalised.

        That of the linear operator unless overridden. Minus infinity where x cannot give y.

        Args:
            x: with shape `(m, n, *x_shape)`, float64.
            y: with shape `(m, *y_shape)`.
        """
        operator = self.linear_operator()
        if operator is None:
            raise NotImplementedError(f"{self.info.name} has no likelihood")
        return operator.log_likelihood(x, y)

    @property
    def has_likelihood(self) -> bool:
        """Whether `log_likelihood` is there."""
        overridden = type(self).log_likelihood is not Task.log_likelihood
        return overridden or self.linear_operator() is not None

    def prior_mixture(self) -> MixturePrior | FactorPrior | None:
        """The law of flattened x as a Gaussian mixture, or None where it is not one.

        A `FactorPrior` where covariance matrices would not fit into memory.
        """
        return None

    def log_prior(self, x: Tensor) -> Tensor:
        """Logarithm of p(x) with shape `(n,)`, float64, of x with shape `(n, *x_shape)`.

        That of the mixture unless overridden. Minus infinity where x cannot be.
        """
        prior = self.prior_mixture()
        if prior is None:
            raise NotImplementedError(f"{self.info.name} has no prior density")
        return noisy_prior(prior).log_density(x.flatten(1))

    @property
    def has_density(self) -> bool:
        """Whether `log_prior` is there."""
        return type(self).log_prior is not Task.log_prior or self.prior_mixture() is not None

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

        A setting that is a path counts by the bytes it leads to. Tasks that read other files hash
        those as well; a path is never part of it.
        """
        decisive = content_values(self.params)
        text = json.dumps([self.info.name, self.info.version, decisive], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def identity(self) -> tuple[str | int | None, ...]:
        """What decides everything that is computed of the task alone, and kept."""
        return self.info.name, self.info.version, self.fingerprint(), self.source_sha256


def checked_shapes(task: Task) -> None:
    """Go on if x is an array and y one too, or a label.

    Raises:
        ContractError: if not; it says what to write.
    """
    name, x, y = f"task {task.info.name!r}", task.x_shape, task.y_shape
    for what, shape in (("x_shape", x), ("y_shape", y)):
        sound = isinstance(shape, tuple) and all(isinstance(k, int) and k > 0 for k in shape)
        if not sound:
            raise ContractError(f"{name}: {what} is {shape!r}; it is a tuple such as (3,)")
    if x == ():
        raise ContractError(f"{name}: x_shape is (); one number is a vector of one, (1,)")
    if y == () and task.num_classes is None:
        raise ContractError(
            f"{name}: y_shape is (), which is that of class labels, and num_classes is None; say "
            "how many classes there are, or write (1,) for one real number"
        )
    if y != () and task.num_classes is not None:
        raise ContractError(f"{name}: num_classes says that y is a label; y_shape is {y}, not ()")


def checked_pairs(task: Task, given: Any, origin: str) -> JointSamples:
    """Pairs that a task returned.

    Raises:
        ContractError: if they are not float32 (int64 labels) of its shapes, or not finite.
    """
    origin = f"{origin} of task {task.info.name!r}"
    if not isinstance(given, tuple) or len(given) != 2:
        raise ContractError(f"{origin} returned {type(given).__name__}; return JointSamples(x, y)")
    labels = task.num_classes is not None
    parts = (("x", given[0], task.x_shape, False), ("y", given[1], task.y_shape, labels))
    for name, part, shape, label in parts:
        checked_tensor(part, f"{name} from {origin}", label=label)
        if tuple(part.shape[1:]) != shape or part.ndim == 0:
            raise ContractError(
                f"{name} from {origin} has shape {tuple(part.shape)}; the first axis counts pairs, "
                f"and {name}_shape is {shape}"
            )
        checked_finite(part, f"{name} from {origin}")
    return JointSamples(*given)


def checked_finite(part: Tensor, name: str) -> None:
    """Go on if every row is finite.

    Raises:
        ContractError: if not, with how many are not, and the first.
    """
    bad = torch.nonzero(~part.isfinite().reshape(len(part), -1).all(1))
    if len(bad):
        raise ContractError(
            f"{name} holds NaN or infinite numbers in {len(bad)} of {len(part)} pairs, first in "
            f"pair {int(bad[0])}; leave such pairs out, or mend them"
        )


def checked_tensor(part: Any, name: str, *, label: bool = False) -> None:
    """Go on if it is a float32 tensor, or an int64 one of labels.

    Raises:
        ContractError: if not; it says what to write.
    """
    wanted, cast_by = (torch.int64, "long") if label else (torch.float32, "float")
    if not isinstance(part, Tensor):
        raise ContractError(
            f"{name} is a {type(part).__module__}.{type(part).__name__}, not a tensor; return "
            f"torch.as_tensor(...).{cast_by}()"
        )
    if part.dtype != wanted:
        raise ContractError(f"{name} is {part.dtype}, not {wanted}; return it with .{cast_by}()")
