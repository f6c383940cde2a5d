"""What every method keeps, checked on small probes: the contract of `cwbench.Method` as functions.

Statistical checks have margins of several standard errors; what they draw is fixed by seeds, so a
verdict does not change from one call to the next.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from cwbench import registry
from cwbench.check.company import STANDARD_ERRORS, alone
from cwbench.check.exchangeable import exchangeable_draws
from cwbench.check.fitting import Fitting
from cwbench.check.independence import independent_draws
from cwbench.check.metadata import require_metadata, require_settings
from cwbench.check.method_subject import MethodSubject
from cwbench.check.outcome import NotApplicableError, name_of, refuse_unfounded_excuses, require
from cwbench.check.statistics import (
    STRETCH,
    correlation,
    explained,
    repeated,
    same,
    standard_errors,
)
from cwbench.door import copied
from cwbench.errors import Interrupted
from cwbench.known.classes import Need
from cwbench.machine.streams import seeded_globals
from cwbench.method import Method, tensors_of
from cwbench.records.storage import load_model, save_model
from cwbench.running.fitting import training_data
from cwbench.running.needs import needs_of
from cwbench.training.networks import Meter

NEEDED: dict[Need, set[str]] = {
    "likelihood": {"log_likelihood"},
    "operator": set(),
    "denoiser": set(),
    "density": {"log_prior"},
    "posterior": {"sample_posterior", "posterior_moments", "posterior_mixture",
                  "sample_moment_matched"},
    "simulator": {"sample_joint"},
    "stored-images": set(),
}  # fmt: skip
"""What each need lets a method call on its task; what is handed to it as a copy needs no call."""

DRAWN_FROM = {"posterior", "simulator", "stored-images"}
"""Needs that only a control may have."""

FOLLOWED = 0.05
"""Share of the variance of x that y has to explain in samples; ignoring y it is about 1 / n."""

CORRELATED = 0.5
"""Correlation of the samples' means with the posterior means; rows of another y have about 0."""

OVERDRAWN = 20
"""Steps' worth of network passes by which the last step may overrun the budget, in batches."""

LARGE = 2_000

COMPARED = 10
"""Samples of an observation by which a loaded state is told."""


def metadata(subject: MethodSubject) -> None:
    """`info` names version, title and a citation that can be read; the class has a docstring."""
    registry.checked("method", subject.cls, subject.cls.__name__, None)
    require_metadata(subject.cls)


def settings(subject: MethodSubject) -> None:
    """Every setting has a default and a description, and unknown ones are refused."""
    require_settings(subject.cls.Params)


def excuses(subject: MethodSubject) -> None:
    """Every exception in `excused` names a check and gives its reason."""
    refuse_unfounded_excuses(subject.cls.excused, map(name_of, METHOD_CHECKS))


def fits(subject: MethodSubject) -> None:
    """`fit` ends without an error on at least one task, after a constructor that does no work."""
    reasons = {f.task.info.name: f.unsupported() for f in subject.fittings}
    able = [f for f in subject.fittings if not reasons[f.task.info.name]]
    require(bool(able), f"supports none of {reasons}; name a task of yours with --task")
    able[0].attempt()


def shapes(subject: MethodSubject) -> None:
    """Samples have shape (m, n, *x_shape) for every m and n, 1 among them."""
    fitting = subject.main
    y = fitting.y
    for m, n in ((1, 1), (3, 1), (1, 4), (2, 3), (len(y), fitting.preset.samples)):
        output = fitting.draw(y[:m], n) if fitting.fitted else None
        wanted = (m, n, *fitting.task.x_shape)
        shape = tuple(getattr(output, "shape", ()))
        require(shape == wanted, f"shape {shape} for {m} observations and n = {n}, not {wanted}")


def dtypes(subject: MethodSubject) -> None:
    """Samples are a real floating tensor or NumPy array."""
    fitting = subject.main
    output = fitting.draw(fitting.y[:2], 3) if fitting.fitted else None
    kind = getattr(output, "dtype", type(output).__name__)
    real = isinstance(kind, torch.dtype) and kind.is_floating_point
    require(real or getattr(kind, "kind", "") == "f", f"samples are {kind}")


def device(subject: MethodSubject) -> None:
    """Where the machine has an accelerator, the method fits on it and samples for y on the CPU."""
    if not torch.accelerator.is_available():
        raise NotApplicableError("this machine has no accelerator")
    main = subject.main
    place = torch.accelerator.current_accelerator() or torch.device("cpu")
    there = Fitting(subject.cls, subject.params, type(main.task)(main.task.params),
                    main.preset, place)  # fmt: skip
    samples = there.sampled(there.y, 3, method=there.attempt().method)
    require(bool(samples.isfinite().all()), f"samples on {place} are not finite")


def finite(subject: MethodSubject) -> None:
    """Samples are finite numbers."""
    for fitting in subject.supported:
        fault = fitting.drawn.fault
        require(not fault, f"{fitting.task.info.name}: {fault}")


def same_seed(subject: MethodSubject) -> None:
    """The same generator gives the same samples, whatever was drawn in between."""
    fitting, first = subject.main, subject.main.typical
    fitting.sampled(fitting.y[:2], 3, seed=5)
    again = fitting.sampled(fitting.y, fitting.preset.samples)
    require(torch.equal(first, again), f"samples differ by up to {_difference(first, again)}")


def other_seed(subject: MethodSubject) -> None:
    """Another generator gives other samples."""
    fitting, first = subject.main, subject.main.typical
    other = fitting.sampled(fitting.y, fitting.preset.samples, seed=1)
    require(not torch.equal(first, other), "two seeds gave identical samples")


def fit_again(subject: MethodSubject) -> None:
    """Fitting again with the same data and seed gives the same samples."""
    fitting, first = subject.main, subject.main.typical
    again = _samples_of(fitting, fitting.fit().method)
    require(torch.equal(first, again), f"samples differ by up to {_difference(first, again)}")


def follows_y(subject: MethodSubject) -> None:
    """Samples for another y are other samples in law: the condition is not ignored."""
    _not_by(subject, "lower", "a control that bounds the scale from below may ignore y")
    for fitting in subject.supported:
        share = explained(fitting.typical)
        require(
            share >= FOLLOWED,
            f"{fitting.task.info.name}: y explains {share:.1%} of the samples' variance; at least "
            f"{FOLLOWED:.0%} is expected where x depends strongly on y",
        )


def own_y(subject: MethodSubject) -> None:
    """Samples in row i are those of observation i: their means go with the posterior means."""
    _not_by(subject, "lower", "a control that bounds the scale from below may ignore y")
    fitting = subject.main
    if not fitting.task.has_posterior:
        raise NotApplicableError(f"{fitting.task.info.name} has no exact posterior")
    if explained(fitting.typical) < FOLLOWED:
        raise NotApplicableError("its samples ignore y: see follows-y")
    means = fitting.typical.flatten(2).double().mean(1)
    r = correlation(means, fitting.task.posterior_moments(fitting.y).mean)
    require(r >= CORRELATED, f"correlation {r:.2f} with the posterior means, not {CORRELATED}")


def large_n(subject: MethodSubject) -> None:
    """Two thousand samples at once have the law of few, and no stretch of them comes twice."""
    fitting, few = subject.main, subject.main.typical
    many = fitting.sampled(fitting.y, LARGE, seed=3)
    z = standard_errors(few, many)
    require(z < STANDARD_ERRORS, f"moments of the samples differ by {z:.1f} standard errors")
    for row in many.flatten(2):
        lag = repeated(row)
        require(not lag, f"samples {lag} to {lag + STRETCH} are samples 0 to {STRETCH} again")


def inputs_untouched(subject: MethodSubject) -> None:
    """`fit` leaves the data as it was, and `sample` leaves y."""
    fitting = subject.main
    before = tensors_of(training_data(fitting.task, fitting.preset, 0))
    changed = [
        part for part, was, now in zip("xy", before, fitting.fitted.data, strict=False)
        if not torch.equal(was, now)
    ]  # fmt: skip
    require(not changed, f"fit changed the training data in place: {', '.join(changed)}")
    y = fitting.y.clone()
    fitting.draw(y, 3)
    require(
        torch.equal(y, fitting.y),
        "sample changed y in place; write y = y - 1 rather than y -= 1 or y.sub_(1)",
    )


def outputs_kept(subject: MethodSubject) -> None:
    """Samples that were returned stay as they are when `sample` is called again."""
    fitting = subject.main
    first = fitting.draw(fitting.y[:2].clone(), 3)
    before = copied(first)
    fitting.draw(fitting.y[2:4].clone(), 3, seed=1)
    require(
        same(first, before),
        "a second call wrote into the samples of the first: one output is filled again and again; "
        "return a new one each time",
    )


def states(subject: MethodSubject) -> None:
    """`state_dict` holds tensors or bytes under text keys, nothing that has to be pickled."""
    for name, value in subject.main.fitted.method.state_dict().items():
        kind = type(value).__name__
        require(isinstance(name, str), f"the key {name!r} is a {type(name).__name__}")
        require(isinstance(value, Tensor | bytes), f"{name!r} is a {kind}")


def save_and_load(subject: MethodSubject) -> None:
    """A fresh object that loads the state from a file draws the same samples."""
    for fitting in subject.supported:
        _ = fitting.typical  # finite, or another check tells
        first = _samples_of(fitting, fitting.fitted.method, COMPARED)
        state = dict(fitting.fitted.method.state_dict())
        if not all(isinstance(value, Tensor | bytes) for value in state.values()):
            raise NotApplicableError("the state cannot be stored: see states")
        with tempfile.TemporaryDirectory() as directory:
            save_model(Path(directory), state, "check", {})
            kept, _ = load_model(Path(directory), "check")
        fresh = fitting.bind()
        with seeded_globals(*fitting.key, "load"):
            fresh.load_state_dict(kept)
        again = _samples_of(fitting, fresh, COMPARED)
        seen = f"{fitting.task.info.name}: samples differ by up to {_difference(first, again)}"
        require(torch.equal(first, again), seen)


def diagnostics(subject: MethodSubject) -> None:
    """`diagnostics` are numbers, texts, booleans or None under text keys."""
    facts = subject.main.fitted.method.diagnostics()
    wrong = {k: type(v).__name__ for k, v in facts.items()
             if not isinstance(k, str) or not isinstance(v, float | int | str | None)}  # fmt: skip
    require(not wrong, f"{wrong}; write float(value)")


def budget(subject: MethodSubject) -> None:
    """`fit` spends no more than the preset's budget: network passes, else optimiser steps."""
    if subject.cls.info.own_loop:
        raise NotApplicableError("declares own_loop: its budget is training pairs and wall clock")
    fitted = subject.main.fitted
    context, passes = fitted.context, fitted.passes
    allowed = context.budget + OVERDRAWN * context.batch_size
    require(passes <= allowed, f"{passes} network passes; the preset has {context.budget}")
    require(
        passes > 0 or fitted.optimizer_steps <= context.steps,
        f"{fitted.optimizer_steps} optimiser steps on a network of its own, the preset has "
        f"{context.steps}; take batches from context.batches(), or declare own_loop",
    )


def nfe(subject: MethodSubject) -> None:
    """A method that declares `nfe` evaluates its network exactly `nfe` times a sample."""
    fitting = subject.main
    if not subject.cls.info.nfe:
        raise NotApplicableError("does not declare nfe")
    wanted = fitting.nfe
    require(wanted is not None, "supports no number of network evaluations")
    meter: Meter = fitting.fitted.meter
    before = meter.evaluations
    fitting.draw(fitting.y[:3], 5)
    spent = (meter.evaluations - before) / 15
    if spent == 0:
        raise NotApplicableError("its network is its own, which the harness cannot count")
    if wanted == "adaptive":
        raise NotApplicableError("supports adaptive solvers only")
    require(spent == wanted, f"{spent:g} evaluations a sample at nfe = {wanted}")


def evaluation_untouched(subject: MethodSubject) -> None:
    """The method calls nothing on the task but what it declares in `needs`."""
    info, fitting = subject.cls.info, subject.main
    needs = needs_of(subject.cls, subject.params)
    require(
        info.role != "method" or not needs & DRAWN_FROM,
        f"role method with needs {sorted(needs & DRAWN_FROM)}: a method learns from the data, and "
        "from likelihood, operator and prior where it says so",
    )
    granted = set().union(*(NEEDED[need] for need in needs))
    _ = fitting.fitted
    fitting.draw(fitting.y[:2], 3)
    taken = sorted(fitting.watch.called - granted)
    require(not taken, f"calls {', '.join(taken)} of the task")


def globals_kept(subject: MethodSubject) -> None:
    """Default dtype and device, threads and gradient mode stay; random numbers are not reseeded."""
    fitting = subject.main
    with torch.random.fork_rng():
        state = torch.get_rng_state()
        fitting.bind()
        require(torch.equal(state, torch.get_rng_state()), "the constructor draws random numbers")
    _ = fitting.fitted
    fitting.draw(fitting.y[:2].clone(), 3)
    require(not fitting.changes, "; ".join(dict.fromkeys(fitting.changes)))


def continuous_y(subject: MethodSubject) -> None:
    """A vector y is fitted and sampled for, or `unsupported` says why not."""
    _drawn_from(
        subject,
        subject.on(
            lambda task: task.num_classes is None and len(task.x_shape) == 1,
            "no task with a vector x and a continuous y is tried",
        ),
    )


def class_labels(subject: MethodSubject) -> None:
    """Integer class labels y are fitted and sampled for, or `unsupported` says why not."""
    _drawn_from(
        subject,
        subject.on(lambda task: task.num_classes is not None, "no task with class labels is tried"),
    )


def images(subject: MethodSubject) -> None:
    """Arrays x of more than one axis are fitted and sampled, or `unsupported` says why not."""
    _drawn_from(
        subject, subject.on(lambda task: len(task.x_shape) > 1, "no task with images is tried")
    )


def resumes(subject: MethodSubject) -> None:
    """A fit that was stopped half-way and resumed gives the samples of one that was not."""
    if subject.cls.info.own_loop:
        raise NotApplicableError("declares own_loop: it is not resumable")
    fitting, first = subject.main, subject.main.typical
    with tempfile.TemporaryDirectory() as directory:
        try:
            fitting.fit(Path(directory), stop_at=0.5)
        except Interrupted:
            resumed = bool(list(Path(directory).glob("step-*.pt")))
        else:
            raise NotApplicableError("takes no context.batches(): it is fitted in one go")
        require(resumed, "keeps nothing: call context.save({...}) before context.batches()")
        again = _samples_of(fitting, fitting.fit(Path(directory)).method)
    require(torch.equal(first, again), f"samples differ by up to {_difference(first, again)}")


METHOD_CHECKS: tuple[Callable[[MethodSubject], None], ...] = (
    metadata, settings, excuses, fits, shapes, dtypes, device, finite, continuous_y, class_labels,
    images, same_seed, other_seed, fit_again, follows_y, own_y, alone, large_n, independent_draws,
    exchangeable_draws, inputs_untouched, outputs_kept, states, save_and_load, diagnostics, budget,
    nfe, evaluation_untouched, globals_kept, resumes,
)  # fmt: skip


def _samples_of(fitting: Fitting, method: Method, n: int | None = None) -> Tensor:
    return fitting.sampled(fitting.y, n or fitting.preset.samples, method=method)


def _difference(a: Tensor, b: Tensor) -> str:
    return f"{float((a - b).abs().max()):.3g}"


def _drawn_from(subject: MethodSubject, fitting: Fitting) -> None:
    """Fit and sample on this task, unless the first one already fails."""
    _ = subject.main.drawn
    samples = fitting.sampled(fitting.y, 3, method=fitting.attempt().method)
    require(len(samples) == len(fitting.y), "no samples")


def _not_by(subject: MethodSubject, role: str, reason: str) -> None:
    if subject.cls.info.role == role:
        raise NotApplicableError(reason)
