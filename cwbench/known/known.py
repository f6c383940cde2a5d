"""What a method declared and the task offers, and nothing else, in the coordinates it works in.

A method names in `needs(params)` what it uses beyond pairs; what it does not name is not here.
`cwbench.known.classes` has the words, and the classes that comparisons are made within.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

import torch
from torch import Tensor

from cwbench.door import copying
from cwbench.errors import ContractError
from cwbench.known.classes import Need
from cwbench.known.factors import noisy_prior
from cwbench.known.offered import LACKING, operator_of, prior_of
from cwbench.known.operator import LinearOperator
from cwbench.known.prior import ExactPrior
from cwbench.ot.scaling import Scaling
from cwbench.samples import FactorPrior, MixturePrior

if TYPE_CHECKING:
    from cwbench.task import Task

T = TypeVar("T")


class Counts(Protocol):
    """The harness's side: notes what is used."""

    def operated(self, rows: int) -> None:
        """An operator or a likelihood was applied to so many x or y."""

    def denoised(self, rows: int, result: Tensor) -> None:
        """So many x_t were denoised; watch the result for Jacobian products."""


class Unwatched:
    """Counts nothing."""

    def operated(self, rows: int) -> None:
        """Nothing."""

    def denoised(self, rows: int, result: Tensor) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Granted:
    """The parts of a task that a method declared and the task has; the others are None."""

    task: str = ""
    x_shape: tuple[int, ...] = ()
    y_shape: tuple[int, ...] = ()
    rough: str = ""
    likelihood: Callable[[Tensor, Tensor], Tensor] | None = None
    operator: LinearOperator | None = None
    denoiser: MixturePrior | FactorPrior | None = None
    density: Callable[[Tensor], Tensor] | None = None


@dataclass(frozen=True)
class Likelihood:
    """Logarithm of p(y | x)."""

    function: Callable[[Tensor, Tensor], Tensor]
    granted: Granted
    scaling: Scaling
    counts: Counts

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """With shape `(m, n)`, float64, differentiable in x.

        Args:
            x: with shape `(m, n, *x_shape)`, in the coordinates of `scaling`.
            y: with shape `(m, *y_shape)`, in the task's units.

        Raises:
            ContractError: if x or y has another shape, or if what the task returns has, is NaN or
                plus infinity, or does not follow x.
        """
        granted = self.granted
        _of_shape(x, (None, None, *granted.x_shape), "the likelihood takes x (m, n, *x_shape)")
        _of_shape(y, (len(x), *granted.y_shape), "the likelihood takes y (m, *y_shape)")
        self.counts.operated(x.shape[0] * x.shape[1])
        given = self.function(_double(self.scaling).inverse(x.double()), y)
        return _checked(given, x, x.shape[:2], f"log_likelihood of task {granted.task!r}")


@dataclass(frozen=True)
class Density:
    """Logarithm of p(x) of the prior."""

    function: Callable[[Tensor], Tensor]
    granted: Granted
    scaling: Scaling

    def __call__(self, x: Tensor) -> Tensor:
        """With shape `(n,)`, float64, of x with shape `(n, *x_shape)`, in those of `scaling`.

        Raises:
            ContractError: if x has another shape, or if what the task returns has, is NaN or plus
                infinity, or does not follow x.
        """
        scaling = _double(self.scaling)
        _of_shape(x, (None, *self.granted.x_shape), "the density takes x (n, *x_shape)")
        given = self.function(scaling.inverse(x.double()))
        density = _checked(given, x, x.shape[:1], f"log_prior of task {self.granted.task!r}")
        return density + scaling.deviation.expand(x.shape[1:]).log().sum()


@dataclass(frozen=True)
class Known:
    """What a method may ask; `standardised` gives the same in other coordinates.

    Coordinates are those of `cwbench.ot.scaling.Scaling`: x = mean + deviation u. The operator
    becomes A diag(deviation) with an offset, the prior is mapped likewise.
    """

    method: str = ""
    declared: frozenset[Need] = frozenset()
    granted: Granted = field(default_factory=Granted, repr=False)
    counts: Counts = field(default_factory=Unwatched, repr=False)
    scaling: Scaling = field(default_factory=Scaling.identity, repr=False)

    def standardised(self, scaling: Scaling) -> Known:
        """The same for u = scaling(x)."""
        return replace(self, scaling=scaling)

    @property
    def likelihood(self) -> Likelihood:
        """Logarithm of p(y | x), for those that declare `likelihood`."""
        function = self._asked("likelihood", self.granted.likelihood)
        return Likelihood(function, self.granted, self.scaling, self.counts)

    @property
    def operator(self) -> LinearOperator:
        """A, its adjoint and the noise, for those that declare `operator`."""
        operator = self._asked("operator", self.granted.operator)
        return replace(operator, count=self.counts.operated).standardised(*self._flat())

    @property
    def denoiser(self) -> ExactPrior:
        """E[X_0 | x_t], score and draws of X_0 | x_t, for those that declare `denoiser`."""
        asked = self._asked("denoiser", self.granted.denoiser)
        prior = cast("MixturePrior | FactorPrior", asked)  # mypy joins named tuples to a tuple
        return noisy_prior(prior, self.counts.denoised).standardised(*self._flat())

    @property
    def density(self) -> Density:
        """Logarithm of p(x), for those that declare `density`."""
        function = self._asked("density", self.granted.density)
        return Density(function, self.granted, self.scaling)

    @property
    def rough(self) -> str:
        """Why the gradient of the likelihood leads nowhere; empty where it can be followed."""
        return self.granted.rough

    def _flat(self) -> tuple[Tensor, Tensor]:
        mean, deviation = _double(self.scaling)
        shape = self.granted.x_shape
        return mean.expand(shape).flatten(), deviation.expand(shape).flatten()

    def _asked(self, need: Need, part: T | None) -> T:
        """The part, if the method declared the need and the task can serve it."""
        if need not in self.declared:
            told = ", ".join(sorted(self.declared)) or "nothing"
            raise ContractError(
                f"method {self.method!r} asks for the {need} and declares {told}: let "
                f"needs(params) return {need!r} as well"
            )
        if part is None:
            raise ContractError(f"needs {LACKING[need]}, which {self.granted.task} does not have")
        return part


def known_of(task: Task, method: str, needs: frozenset[Need], counts: Counts) -> Known:
    """What is handed to a method that declares `needs`, as far as the task has it."""
    has_likelihood = "likelihood" in needs and task.has_likelihood
    granted = Granted(
        task.info.name,
        task.x_shape,
        task.y_shape,
        task.rough_likelihood,
        copying(task.log_likelihood) if has_likelihood else None,
        operator_of(task) if "operator" in needs else None,
        prior_of(task) if "denoiser" in needs else None,
        copying(task.log_prior) if "density" in needs and task.has_density else None,
    )
    return Known(method, needs, granted, counts)


def _double(scaling: Scaling) -> Scaling:
    return Scaling(scaling.mean.double(), scaling.deviation.double())


def _of_shape(given: Tensor, shape: tuple[int | None, ...], wanted: str) -> None:
    """Go on if a method asks with a tensor of that shape; None is any number."""
    sound = len(given.shape) == len(shape) and all(
        k is None or k == found for k, found in zip(shape, given.shape, strict=True)
    )
    if not sound:
        numbers = ", ".join("any" if k is None else str(k) for k in shape)
        raise ContractError(f"{wanted}, here ({numbers}); got {tuple(given.shape)}")


def _checked(given: object, x: Tensor, shape: tuple[int, ...], origin: str) -> Tensor:
    """A log density of x that a task returned."""
    if not isinstance(given, Tensor) or given.shape != torch.Size(shape):
        seen = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
        raise ContractError(f"{origin} returned {seen}, not a tensor of shape {tuple(shape)}")
    if not given.is_floating_point():
        raise ContractError(f"{origin} returned {given.dtype}; it is a real floating tensor")
    bad = int((given.isnan() | (given == torch.inf)).sum())
    if bad:
        raise ContractError(
            f"{origin} is NaN or infinite for {bad} of {given.numel()} x; it is finite, or minus "
            "infinity where x cannot be"
        )
    if x.requires_grad and torch.is_grad_enabled() and not given.requires_grad:
        raise ContractError(
            f"{origin} does not follow x: it has no gradient. Compute it in torch, without detach"
        )
    return given.double()
