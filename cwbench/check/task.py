"""What every task keeps: the contract of `cwbench.Task` as functions.

Statistical checks draw from fixed streams, so a verdict does not change from one call to the next;
their thresholds leave a false alarm of less than one in ten thousand.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ValidationError
from scipy import stats
from torch import Generator, Tensor

from cwbench import registry
from cwbench.check.calibration import rank_p_values
from cwbench.check.known import KNOWN_CHECKS
from cwbench.check.metadata import require_metadata, require_settings
from cwbench.check.outcome import NotApplicableError, name_of, refuse_unfounded_excuses, require
from cwbench.check.statistics import same
from cwbench.door import copied
from cwbench.judging.judge import Judge
from cwbench.method import take
from cwbench.metrics.wasserstein import W2Squared
from cwbench.preset import Preset
from cwbench.samples import JointSamples
from cwbench.task import Task, checked_shapes

PRESETS = {"smoke", "quick", "standard"}
LEAST_P = 1e-6
STANDARD_ERRORS = 4.0
COMPARED = 1_500
DIRECTIONS = 20
DRAWS = 20_000
JUDGED = Preset.model_validate(
    {"training_pairs": 1, "steps": 1, "observations": 40, "samples": 100}
)


class TaskSubject:
    """A task class with its settings."""

    def __init__(self, cls: type[Task], settings: Mapping[str, Any] | None = None) -> None:
        self.cls, self.settings = cls, dict(settings or {})

    def make(self, **settings: Any) -> Task:
        """A fresh instance, with further settings."""
        return self.cls(self.cls.Params(**(self.settings | settings)))

    @cached_property
    def task(self) -> Task:
        """One instance."""
        return self.make()

    @property
    def with_posterior(self) -> Task:
        """The instance, known to have an exact posterior.

        Raises:
            NotApplicableError: if it has none.
        """
        if not self.task.has_posterior:
            raise NotApplicableError("has no exact posterior")
        return self.task

    @cached_property
    def judge(self) -> Judge:
        """Observations and reference draws of a small size."""
        return Judge(self.with_posterior, JUDGED)


def stream(seed: int) -> Generator:
    """A generator of its own."""
    return Generator().manual_seed(seed)


def metadata(subject: TaskSubject) -> None:
    """`info` names version, title, licence, metric and citation; a docstring is there."""
    registry.checked("task", subject.cls, subject.cls.__name__, None)
    require_metadata(subject.cls)
    info = subject.cls.info
    require(bool(info.licence.strip()), "no licence; of the data, e.g. MIT or CC-BY-4.0")
    metrics = sorted(p.name for p in registry.plugins() if p.kind == "metric")
    require(info.main_metric in metrics, f"main_metric {info.main_metric!r}; there are {metrics}")


def settings(subject: TaskSubject) -> None:
    """Every setting has a default and a description, and unknown ones are refused."""
    require_settings(subject.cls.Params)


def excuses(subject: TaskSubject) -> None:
    """Every exception in `excused` names a check and gives its reason."""
    refuse_unfounded_excuses(subject.cls.excused, map(name_of, TASK_CHECKS))


def presets(subject: TaskSubject) -> None:
    """The presets smoke, quick and standard are there, and under settings the same ones."""
    names = set(subject.cls.info.presets)
    missing = sorted(PRESETS - names)
    require(not missing, f"missing: {', '.join(missing)}; see cwbench.vector_presets")
    others = sorted(names ^ set(subject.task.info.presets))
    require(not others, f"not the same under its settings: {', '.join(others)}")


def shapes(subject: TaskSubject) -> None:
    """Pairs, observations, draws and latents have the shapes that the task declares."""
    task = subject.task
    checked_shapes(task)
    for m, n in ((1, 1), (3, 1), (1, 4)):
        for what, pairs in _pairs(task, m):
            _same(f"x of {what}", pairs.x.shape, (m, *task.x_shape))
            _same(f"y of {what}", pairs.y.shape, (m, *task.y_shape))
        _same("sample_latent", task.sample_latent(n, stream(0)).shape, (n, *task.x_shape))
        if task.has_posterior:
            y = task.evaluation_set(m, stream(0)).y
            draws = task.sample_posterior(y, n, stream(0))
            _same("sample_posterior", draws.shape, (m, n, *task.x_shape))


def dtypes(subject: TaskSubject) -> None:
    """Pairs, draws and latents are float32 on the CPU; labels are int64 below num_classes."""
    task = subject.task
    wanted = torch.float32 if task.num_classes is None else torch.int64
    for what, pairs in _pairs(task, 50):
        _same(f"x of {what}", pairs.x.dtype, torch.float32)
        _same(f"y of {what}", pairs.y.dtype, wanted)
        _same(f"device of {what}", pairs.x.device.type, "cpu")
        if task.num_classes is not None:
            low, high = int(pairs.y.min()), int(pairs.y.max())
            sound = low >= 0 and high < task.num_classes
            require(sound, f"labels {low} to {high} with num_classes {task.num_classes}")
    _same("sample_latent", task.sample_latent(2, stream(0)).dtype, torch.float32)
    if task.has_posterior:
        y = task.evaluation_set(2, stream(0)).y
        _same("sample_posterior", task.sample_posterior(y, 2, stream(0)).dtype, torch.float32)


def finite(subject: TaskSubject) -> None:
    """Pairs and posterior draws are finite numbers."""
    task = subject.task
    parts = [(what, part) for what, pairs in _pairs(task, 200) for part in pairs]
    if task.has_posterior:
        y = task.evaluation_set(5, stream(0)).y
        parts.append(("sample_posterior", task.sample_posterior(y, 200, stream(0))))
    bad = sorted({what for what, part in parts if not part.isfinite().all()})
    require(not bad, f"not finite: {', '.join(bad)}")


def same_seed(subject: TaskSubject) -> None:
    """The same generator gives the same numbers, from another instance and other global seeds."""
    with _global_seeds(1):
        first = _numbers(subject.task, 5)
    with _global_seeds(2):
        again = _numbers(subject.make(), 5)
    changed = [name for name in first if not torch.equal(first[name], again[name])]
    require(not changed, f"other numbers from {', '.join(changed)}")


def other_seed(subject: TaskSubject) -> None:
    """Another generator gives other numbers."""
    first = copied(_numbers(subject.task, 5))
    other = _numbers(subject.task, 6)
    fixed = [name for name in first if torch.equal(first[name], other[name])]
    require(not fixed, f"the same numbers from {', '.join(fixed)}")


def globals_kept(subject: TaskSubject) -> None:
    """Global random numbers and the default dtype are left alone."""
    with _global_seeds(1):
        before = _global_states()
        _numbers(subject.make(), 5)
        after = _global_states()
    changed = [name for name in before if before[name] != after[name]]
    require(not changed, f"changed: {', '.join(changed)}; draw from the generator that is passed")


def inputs_untouched(subject: TaskSubject) -> None:
    """The posterior and what else is a function of x and y leave them as they were."""
    task = subject.task
    x, y = task.evaluation_set(3, stream(0))
    functions: dict[str, Callable[[Tensor, Tensor], Any]] = {
        "standardised_residual": lambda x, y: task.standardised_residual(x[:, None], y),
        "back_projection": lambda _, y: task.back_projection(y),
        "posterior_mixture": lambda _, y: task.posterior_mixture(y),
    }
    if task.has_posterior:
        functions |= {
            "sample_posterior": lambda _, y: task.sample_posterior(y, 2, stream(0)),
            "posterior_moments": lambda _, y: task.posterior_moments(y),
        }
    for name, function in functions.items():
        handed = x.clone(), y.clone()
        function(*handed)
        for part, before, after in zip("xy", (x, y), handed, strict=True):
            require(same(before, after), f"{name} changed {part} in place")


def outputs_kept(subject: TaskSubject) -> None:
    """What was drawn stays as it is when the task draws again."""
    first = _numbers(subject.task, 5)
    before = copied(first)
    _numbers(subject.task, 6)
    reused = [name for name in first if not same(first[name], before[name])]
    require(
        not reused,
        f"{', '.join(reused)}: a second call wrote into what the first returned: one output is "
        "filled again and again; return a new one each time",
    )


def fingerprint(subject: TaskSubject) -> None:
    """The fingerprint is the same for equal settings, and another where settings move numbers."""
    first, again = subject.task.fingerprint(), subject.make().fingerprint()
    require(first == again, f"two equal instances have {first} and {again}")
    for name, value in _alternatives(subject.task.params):
        try:
            other = subject.make(**{name: value})
        except (ValidationError, ValueError):  # not allowed together with the other settings
            continue
        same = torch.equal(*(task.sample_joint(8, stream(1)).y for task in (subject.task, other)))
        problem = f"{name} = {value!r} moves the data and leaves it as it is"
        require(same or other.fingerprint() != first, problem)


def observations(subject: TaskSubject) -> None:
    """Held-out observations have the law of the simulator, coordinate by coordinate and jointly."""
    task = subject.task
    held_out = task.evaluation_set(COMPARED, stream(1))
    _same_law("evaluation_set", held_out, task.sample_joint(COMPARED, stream(2)), task.num_classes)


def training_data(subject: TaskSubject) -> None:
    """Training data is map-style, as long as asked for, with the law of the simulator."""
    task = subject.task
    data = task.training_data(COMPARED, stream(3))
    length = len(data)  # type: ignore[arg-type]  # that it has one is what is checked
    _same("length of training_data", length, COMPARED)
    x, y = take(data, torch.arange(COMPARED))
    simulated = task.sample_joint(COMPARED, stream(4))
    _same_law("training_data", JointSamples(x, y), simulated, task.num_classes)


def calibrated(subject: TaskSubject) -> None:
    """The x behind each y of the simulator ranks uniformly among draws of the posterior."""
    task = subject.with_posterior
    p_values = rank_p_values(task, task.sample_posterior)
    bad = {name: f"p = {p:.1e}" for name, p in p_values.items() if not p > LEAST_P}
    require(not bad, f"ranks are not uniform in {bad}")


def moments(subject: TaskSubject) -> None:
    """`posterior_moments` are float64 and those of the posterior draws."""
    task = subject.with_posterior
    y = task.evaluation_set(5, stream(5)).y
    draws = task.sample_posterior(y, DRAWS, stream(6)).flatten(2).double()
    mean, covariance = task.posterior_moments(y)
    d = draws.shape[2]
    _same("mean", (mean.dtype, *mean.shape), (torch.float64, len(y), d))
    _same("covariance", (covariance.dtype, *covariance.shape), (torch.float64, len(y), d, d))
    scale = covariance.diagonal(dim1=1, dim2=2).sum(-1)
    shift = ((draws.mean(1) - mean).square().sum(-1) / scale).max()
    require(
        bool(shift < 30 / DRAWS), f"a mean is off by {float(shift.sqrt()):.3g} posterior deviations"
    )
    for row, wanted, size in zip(draws, covariance, scale, strict=True):
        error = float((row.T.cov().reshape(d, d) - wanted).abs().max() / size)
        require(error < 0.05, f"a covariance is off by {error:.3g} of its trace")


def residual(subject: TaskSubject) -> None:
    """`standardised_residual` at the true x is standard normal noise."""
    task = subject.task
    x, y = task.sample_joint(COMPARED, stream(7))
    noise = task.standardised_residual(x[:, None], y)
    if noise is None:
        raise NotApplicableError("declares no standardised residual")
    p = float(stats.kstest(noise.flatten().numpy()[: 10 * COMPARED], "norm").pvalue)
    require(p > LEAST_P, f"not N(0, I): p = {p:.1e}, deviation {float(noise.std()):.3g}")


def oracle_at_floor(subject: TaskSubject) -> None:
    """The debiased W_2^2 of exact draws is 0 within four standard errors."""
    task, judge = subject.with_posterior, subject.judge
    draws = task.sample_posterior(judge.observations.y, 2 * JUDGED.samples, stream(8))
    t = _t_value(judge.score(W2Squared(task), draws).value)
    require(abs(t) < STANDARD_ERRORS, f"{t:.1f} standard errors from 0")


def prior_worse(subject: TaskSubject) -> None:
    """Draws of the prior, which ignore y, score clearly worse than the posterior."""
    task, judge = subject.with_posterior, subject.judge
    if not task.info.informative:
        raise NotApplicableError("declares informative = False: y says little")
    m, n = len(judge.observations.y), 2 * JUDGED.samples
    x = task.sample_joint(m * n, stream(9)).x.unflatten(0, (m, n))
    t = _t_value(judge.score(W2Squared(task), x).value)
    require(
        t > STANDARD_ERRORS,
        f"{t:.1f} standard errors above 0; if y says so little, declare informative = False",
    )


TASK_CHECKS: tuple[Callable[[TaskSubject], None], ...] = (
    metadata, settings, excuses, presets, shapes, dtypes, finite, same_seed, other_seed,
    globals_kept, inputs_untouched, outputs_kept, fingerprint, observations, training_data,
    calibrated, moments, residual, oracle_at_floor, prior_worse, *KNOWN_CHECKS,
)  # fmt: skip


def _pairs(task: Task, n: int) -> Iterator[tuple[str, JointSamples]]:
    yield "sample_joint", task.sample_joint(n, stream(0))
    yield "evaluation_set", task.evaluation_set(n, stream(0))


def _same(what: str, seen: Any, wanted: Any) -> None:
    plain = tuple(seen) if isinstance(seen, torch.Size) else seen
    require(plain == wanted, f"{what}: {plain}, not {wanted}")


def _numbers(task: Task, seed: int) -> dict[str, Tensor]:
    """What the task draws from a seed, by function; 8 rows, so that few classes differ too."""
    x, y = task.sample_joint(8, stream(seed))
    held_out = task.evaluation_set(8, stream(seed))
    numbers = {
        "sample_joint": x,
        "evaluation_set": held_out.x,
        "sample_latent": task.sample_latent(8, stream(seed)),
        "training_data": take(task.training_data(8, stream(seed)), torch.arange(8)).x,
    }
    if task.has_posterior:
        y = task.evaluation_set(4, stream(100)).y
        numbers["sample_posterior"] = task.sample_posterior(y, 3, stream(seed))
    return numbers


class _global_seeds:  # noqa: N801 - a context manager
    """Seed the global generators inside, restore them outside."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __enter__(self) -> None:
        self.before = (torch.get_rng_state(), np.random.get_state(), random.getstate())  # noqa: NPY002
        torch.manual_seed(self.seed)
        np.random.seed(self.seed)  # noqa: NPY002 - the global state is what is checked
        random.seed(self.seed)

    def __exit__(self, *_: object) -> None:
        torch.set_rng_state(self.before[0])
        np.random.set_state(self.before[1])  # noqa: NPY002
        random.setstate(self.before[2])


def _global_states() -> dict[str, Any]:
    return {
        "torch's random numbers": torch.get_rng_state().numpy().tobytes(),
        "NumPy's random numbers": str(np.random.get_state()),  # noqa: NPY002
        "Python's random numbers": random.getstate(),
        "the default dtype": torch.get_default_dtype(),
    }


def _alternatives(params: BaseModel) -> Iterator[tuple[str, Any]]:
    """Another value for each setting that is a number; which texts are allowed is not known."""
    for name, value in params:
        if isinstance(value, bool):
            yield name, not value
        elif isinstance(value, int):
            yield name, value + 1
        elif isinstance(value, float):
            yield name, value * 1.25 or 0.5


def _same_law(what: str, ours: JointSamples, theirs: JointSamples, classes: int | None) -> None:
    """Kolmogorov-Smirnov tests of coordinates and of random directions of (x, y)."""
    a, b = _flat(ours, classes), _flat(theirs, classes)
    scale = b.std(0).clamp_min(1e-12)
    a, b = (a - b.mean(0)) / scale, (b - b.mean(0)) / scale
    directions = torch.randn(a.shape[1], DIRECTIONS, dtype=torch.float64, generator=stream(10))
    some = torch.linspace(0, a.shape[1] - 1, min(a.shape[1], DIRECTIONS)).long()
    a, b = (torch.cat([part[:, some], part @ directions], 1) for part in (a, b))
    tests = (stats.ks_2samp(p, q).pvalue for p, q in zip(a.T.numpy(), b.T.numpy(), strict=True))
    p = float(min(tests))
    require(p > LEAST_P, f"{what} and sample_joint differ in law: p = {p:.1e}")


def _flat(pairs: JointSamples, classes: int | None) -> Tensor:
    y = pairs.y if classes is None else torch.nn.functional.one_hot(pairs.y, classes)
    return torch.cat([pairs.x.flatten(1), y.flatten(1)], 1).double()


def _t_value(values: Tensor) -> float:
    return float(values.mean() / (values.std() / len(values) ** 0.5))
