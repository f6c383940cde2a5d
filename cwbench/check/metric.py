"""What every metric keeps: the contract of `cwbench.Metric` as functions.

Samplers with one fault each (`cwbench.check.faults`) are compared with exact draws on the same
observations, entry by entry. All streams are fixed, so a verdict does not change from one call to
the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import get_args

import torch
from torch import Tensor

from cwbench import registry
from cwbench.check.faults import FAULTS
from cwbench.check.metadata import require_metadata
from cwbench.check.metric_subject import FEW, TRIED, ImageTrial, MetricSubject, ReferenceTrial
from cwbench.check.outcome import (
    NotApplicableError,
    UnmetError,
    name_of,
    refuse_unfounded_excuses,
    require,
)
from cwbench.check.statistics import same
from cwbench.errors import CwbenchError
from cwbench.metric import Fault, ImageMetric, Need

STANDARD_ERRORS = 4.0
CLOSE = 1e-6
"""Relative difference of values that rounding may leave, in the units of the larger one."""


def metadata(subject: MetricSubject) -> None:
    """`info` names version, title, citation, needs of its kind, and faults that it sees."""
    cls = subject.cls
    registry.checked("metric", cls, cls.__name__, None)
    require_metadata(cls)
    info = cls.info
    require(info.direction in ("lower", "higher"), f"direction {info.direction!r}")
    kinds = ", ".join(kind.__name__ for kind in TRIED)
    require(issubclass(cls, tuple(TRIED)), f"it is of no kind; derive it from one of {kinds}")
    _known("needs", info.needs, get_args(Need))
    base = subject.trial.base
    require(base in info.needs, f"needs {sorted(info.needs)}; its kind needs {base!r} as well")
    _known("sees", info.sees, FAULTS)
    require(bool(info.sees), f"sees names none of {', '.join(FAULTS)}")


def excuses(subject: MetricSubject) -> None:
    """Every exception in `excused` names a check and gives its reason."""
    refuse_unfounded_excuses(subject.cls.excused, map(name_of, METRIC_CHECKS))


def needs(subject: MetricSubject) -> None:
    """It is computed on a task that offers what it declares in `needs`, and nothing more."""
    if issubclass(subject.cls, ImageMetric):
        raise NotApplicableError("a task of labelled images offers metrics nothing else")
    bare = MetricSubject(subject.cls, subject.cls.info.needs)
    require(bool(bare.values().isfinite().all()), "values are not finite")


def shapes(subject: MetricSubject) -> None:
    """Values are float64, one for each observation, and finite for exact samples."""
    values = subject.call(*subject.trial.arguments())
    wanted = (FEW,) if subject.trial.has_rows else (1,)
    require(tuple(values.shape) == wanted, f"shape {tuple(values.shape)}, not {wanted}")
    require(values.dtype == torch.float64, f"{values.dtype}, not torch.float64")
    require(bool(values.isfinite().all()), f"values are not finite: {values.tolist()}")


def alone(subject: MetricSubject) -> None:
    """An observation has the same value alone as in company."""
    if not subject.trial.has_rows:
        raise NotApplicableError("it has one value for a whole set")
    arguments = subject.trial.arguments()
    company = subject.call(*arguments)
    single = subject.call(*(part[:1] for part in arguments))
    _close(company[:1], single, "values differ")


def same_value(subject: MetricSubject) -> None:
    """The same samples give the same value, whatever the global random numbers are."""
    arguments = subject.trial.arguments()
    first, again = (subject.call(*arguments, seed=seed) for seed in (0, 1))
    require(torch.equal(first, again), f"values differ by up to {_most(first, again):.3g}")


def inputs_untouched(subject: MetricSubject) -> None:
    """Samples, x and y are left as they were."""
    arguments = subject.trial.arguments()
    handed = tuple(part.clone() for part in arguments)
    subject.trial.call(*handed)
    changed = [i for i, pair in enumerate(zip(arguments, handed, strict=True))
               if not torch.equal(*pair)]  # fmt: skip
    require(not changed, f"changed in place: its arguments number {changed}")


def outputs_kept(subject: MetricSubject) -> None:
    """A value that was returned stays as it is when the metric is called again."""
    arguments = subject.trial.arguments()
    first = subject.call(*arguments)
    before = first.clone()
    shifted, *rest = arguments
    subject.call(shifted + 1, *rest)
    require(
        same(first, before),
        "a second call wrote into the values of the first: one output is filled again and again; "
        "return a new one each time",
    )


def permutation(subject: MetricSubject) -> None:
    """Samples in another order give the same value."""
    arguments = subject.trial.arguments()
    order = torch.Generator().manual_seed(0)
    other = subject.trial.permuted(arguments, order)
    _close(subject.call(*arguments), subject.call(*other), "values differ")


def symmetry(subject: MetricSubject) -> None:
    """A distance is the same with its two sets exchanged, or declares `symmetric=False`."""
    if not isinstance(subject.trial, ReferenceTrial):
        raise NotApplicableError("it is no distance of two sets of samples")
    if not subject.cls.info.symmetric:
        raise NotApplicableError("declares symmetric = False")
    a, b = subject.trial.arguments()
    b = b * 1.5 + 1
    _close(subject.call(a, b), subject.call(b, a), "D(a, b) and D(b, a) differ")


def not_finite(subject: MetricSubject) -> None:
    """A sample that is not finite is refused, or makes its value not finite."""
    if isinstance(subject.trial, ImageTrial):
        raise NotApplicableError("the harness refuses such images before features are taken")
    samples, *rest = (part.clone() for part in subject.trial.arguments())
    samples[(0,) * samples.ndim] = torch.nan
    try:
        values = subject.call(samples, *rest)
    except (ValueError, ArithmeticError, RuntimeError, CwbenchError):
        return
    require(not values[0].isfinite(), f"a sample of NaN has the value {float(values[0]):.3g}")


def equal_laws(subject: MetricSubject) -> None:
    """Exact draws score 0 within four standard errors if it is `debiased`, else best of all."""
    info, exact = subject.cls.info, subject.values()
    if info.debiased:
        t = standard_errors(exact)
        require(abs(t) < STANDARD_ERRORS, f"{float(exact.mean()):.3g}, {t:.1f} errors from 0")
        return
    if not info.ranks:
        raise NotApplicableError("neither debiased nor ranks: another value may look better")
    better = {f: f"{-t:.1f}" for f in FAULTS if (t := worse(subject, f)) < -STANDARD_ERRORS}
    require(
        not better,
        f"better than exact draws, by standard errors: {better}; declare ranks = False",
    )


def sees(subject: MetricSubject) -> None:
    """Each fault in `sees` makes it worse in its `direction`, by four standard errors."""
    found = {fault: worse(subject, fault) for fault in sorted(subject.cls.info.sees)}
    missed = {fault: f"{t:.1f}" for fault, t in found.items() if not t > STANDARD_ERRORS}
    require(not missed, f"worse by standard errors: {missed}; leave out what it does not see")


METRIC_CHECKS: tuple[Callable[[MetricSubject], None], ...] = (
    metadata, excuses, needs, shapes, alone, same_value, inputs_untouched, outputs_kept,
    permutation, symmetry, not_finite, equal_laws, sees,
)  # fmt: skip


def worse(subject: MetricSubject, fault: Fault) -> float:
    """By how many standard errors a fault is worse than exact draws, in the metric's direction."""
    sign = 1 if subject.cls.info.direction == "lower" else -1
    return standard_errors(sign * (subject.values(fault) - subject.values()))


def standard_errors(values: Tensor) -> float:
    """The mean of values `(r,)` over its standard error; 0 where all are 0."""
    mean, error = float(values.mean()), float(values.std() / len(values) ** 0.5)
    if error == 0:
        return 0.0 if mean == 0 else float("inf") * mean
    return mean / error


def _known(what: str, given: Iterable[str], allowed: Iterable[str]) -> None:
    strangers = sorted(set(given) - set(allowed))
    require(not strangers, f"{what} names {strangers}; there are {', '.join(sorted(allowed))}")


def _close(first: Tensor, again: Tensor, what: str) -> None:
    scale = max(1e-3, float(first.abs().max()), float(again.abs().max()))
    apart = _most(first, again)
    if not apart <= CLOSE * scale:
        raise UnmetError(f"{what} by up to {apart:.3g}")


def _most(first: Tensor, again: Tensor) -> float:
    return float((first - again).abs().max())
