"""What a task offers beyond pairs, held to its form where it enters, and what it does not offer.

A part that is malformed is told when it is asked for: a task whose noise is 0 still serves methods
that learn from pairs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from cwbench.door import copied
from cwbench.errors import ContractError
from cwbench.known.classes import NEEDS, Need
from cwbench.known.factors import noisy_prior
from cwbench.known.operator import LinearOperator
from cwbench.samples import FactorPrior, MixturePrior

if TYPE_CHECKING:
    from cwbench.task import Task

LACKING: dict[Need, str] = {
    "likelihood": "a likelihood",
    "operator": "a linear operator with Gaussian noise",
    "denoiser": "a prior whose exact denoiser is known",
    "density": "a prior whose density is known",
    "posterior": "an exact posterior",
    "stored-images": "stored images with classes",
}

_OFFERS: Mapping[str, Callable[[Task], bool]] = {
    "likelihood": lambda task: task.has_likelihood,
    "operator": lambda task: operator_of(task) is not None,
    "denoiser": lambda task: prior_of(task) is not None,
    "density": lambda task: task.has_density,
    "posterior": lambda task: task.has_posterior,
    "stored-images": lambda task: task.stored_images("test") is not None,
}


def lacking(task: Task, needs: Iterable[str]) -> str | None:
    """What a task does not offer of what is needed, as a reason, or None."""
    for need in NEEDS:
        if need in set(needs) and need in _OFFERS and not _OFFERS[need](task):
            return f"needs {LACKING[need]}, which this task does not have"
    return None


def operator_of(task: Task) -> LinearOperator | None:
    """A copy of the task's operator, or None where it has none.

    Raises:
        ContractError: if it is none, or not one of flattened x and y.
    """
    given, origin = task.linear_operator(), f"linear_operator of task {task.info.name!r}"
    if given is None:
        return None
    if not isinstance(given, LinearOperator):
        raise ContractError(f"{origin} returned {_kind(given)}; return a LinearOperator or None")
    shape = math.prod(task.y_shape), math.prod(task.x_shape)
    if given.matrix.shape != shape:
        raise ContractError(
            f"{origin} has a matrix of shape {tuple(given.matrix.shape)}, not {shape}: it takes "
            "flattened x to flattened y"
        )
    return given.copy()


def prior_of(task: Task) -> MixturePrior | FactorPrior | None:
    """A copy of the task's prior, or None where it is no mixture.

    Raises:
        ContractError: if it is none, or not one of flattened x.
    """
    given, origin = task.prior_mixture(), f"prior_mixture of task {task.info.name!r}"
    if given is None:
        return None
    if not isinstance(given, MixturePrior | FactorPrior):
        raise ContractError(
            f"{origin} returned {_kind(given)}; return a MixturePrior or None (or a FactorPrior)"
        )
    size, found = math.prod(task.x_shape), noisy_prior(given).size
    if found != size:
        raise ContractError(f"{origin} is of {found} numbers; flattened x has {size}")
    return copied(given)


def _kind(given: object) -> str:
    return f"a {type(given).__name__}"
