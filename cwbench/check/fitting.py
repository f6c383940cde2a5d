"""A method on one task, fitted with little and as a run would: what the checks look at."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_post_hook

from cwbench.check.outcome import NotApplicableError
from cwbench.judging.taken import Taken, taken
from cwbench.machine.cpu import single_threaded
from cwbench.machine.streams import seeded_globals, stream
from cwbench.method import Method
from cwbench.preset import NFE, Preset
from cwbench.running.fitting import training_data
from cwbench.running.needs import unsupported
from cwbench.running.request import problem_spec
from cwbench.task import Task
from cwbench.training.context import Progress, TrainingContext
from cwbench.training.networks import Meter, networks_of

PRIVATE = (
    "evaluation_set", "sample_joint", "training_data", "sample_posterior", "posterior_moments",
    "posterior_mixture", "sample_moment_matched", "standardised_residual", "linear_operator",
    "log_likelihood", "prior_mixture", "log_prior",
)  # fmt: skip
"""What a method may not call on its task, unless it declares the need."""

CPU = torch.device("cpu")
CANDIDATES: tuple[NFE, ...] = (4, 3, 2, 1, "adaptive")


class Watch:
    """Notes which private parts of a task are called while a method is at work."""

    def __init__(self, task: Task) -> None:
        self.called: set[str] = set()
        self._active = False
        for name in PRIVATE:
            setattr(task, name, self._noting(name, getattr(task, name)))

    def _noting(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def noting(*arguments: Any, **options: Any) -> Any:
            if not self._active:
                return function(*arguments, **options)
            self.called.add(name)
            with self.asleep():  # what it calls itself is no doing of the method
                return function(*arguments, **options)

        return noting

    @contextmanager
    def _set(self, active: bool) -> Iterator[None]:
        before, self._active = self._active, active
        try:
            yield
        finally:
            self._active = before

    def awake(self) -> AbstractContextManager[None]:
        """Note calls inside."""
        return self._set(True)

    def asleep(self) -> AbstractContextManager[None]:
        """Note nothing inside."""
        return self._set(False)


@dataclass
class Fitted:
    """A fitted method, what the harness counted, and what the fit left behind."""

    method: Method
    context: TrainingContext
    meter: Meter
    passes: int
    optimizer_steps: int
    data: tuple[Tensor, ...]


class Fitting:
    """A method class with settings on a task and preset."""

    def __init__(
        self,
        cls: type[Method],
        params: BaseModel,
        task: Task,
        preset: Preset,
        device: torch.device = CPU,
    ) -> None:
        self.cls, self.params, self.task, self.preset = cls, params, task, preset
        self.device = device
        self.key = ("check", task.info.name, 0)
        self.watch = Watch(task)
        self.changes: list[str] = []
        """What the method changed for everyone else in the process."""

    @contextmanager
    def _at_work(self, what: str) -> Iterator[None]:
        """Note what the method calls on its task and what it changes; put the dtype back."""
        before = global_state()
        try:
            with self.watch.awake():
                yield
        finally:
            after = global_state()
            self.changes += [
                f"{what} changed {name} from {before[name]} to {after[name]}"
                for name in before
                if before[name] != after[name]
            ]
            torch.set_default_dtype(before["torch.get_default_dtype()"])

    @cached_property
    def y(self) -> Tensor:
        """Observations with shape `(m, *y_shape)`."""
        return self.task.evaluation_set(self.preset.observations, stream(*self.key, "y")).y

    @property
    def nfe(self) -> NFE | None:
        """A number of network evaluations that the method can do, for those that declare `nfe`."""
        if not self.cls.info.nfe:
            return None
        able = [n for n in CANDIDATES if self.cls.unsupported_nfe(self.params, n) is None]
        return able[0] if able else None

    def unsupported(self) -> str | None:
        """Why the method cannot do this task, or None."""
        return unsupported(self.task, self.cls, self.params, self._spec(Meter()))

    def _spec(self, meter: Meter) -> Any:
        return problem_spec(self.task, self.cls, self.params, self.preset, meter, self.device)

    def bind(self, meter: Meter | None = None) -> Method:
        """A fresh method."""
        spec = self._spec(meter or Meter())
        with self.watch.awake():
            return self.cls(self.params, spec)

    def fit(self, directory: Path | None = None, stop_at: float | None = None) -> Fitted:
        """A fresh method, fitted on the same data with the same streams each time.

        Args:
            directory: of checkpoints; one that is there is resumed.
            stop_at: share of the budget at which the harness asks for a stop.

        Raises:
            Interrupted: if it was stopped.
        """
        meter, stop = Meter(), threading.Event()
        method = self.bind(meter)

        def update(_: str, progress: float, __: Mapping[str, float]) -> None:
            if stop_at is not None and progress >= stop_at:
                stop.set()

        data = training_data(self.task, self.preset, 0)
        context = TrainingContext(
            data, self.preset, self.key, networks_of(self.task, self.preset, meter), self.device,
            directory=directory, checkpoint_seconds=float("inf"), show=Progress(update=update),
            stop=stop,
        )  # fmt: skip
        with (
            single_threaded(),
            seeded_globals(*self.key, "fit"),
            counted_steps() as steps,
            self._at_work("fit"),
        ):
            method.fit(data, context)
        tensors = getattr(data, "tensors", ())
        most = max(steps.values(), default=0)
        return Fitted(method, context, meter, meter.passes, most, tensors)

    @cached_property
    def _attempt(self) -> Fitted | Exception:
        try:
            return self.fit()
        except Exception as error:  # noqa: BLE001 - `fits` tells it, the other checks stand aside
            return error

    def attempt(self) -> Fitted:
        """The fit, made once.

        Raises:
            Exception: whatever `fit` raised.
        """
        if isinstance(self._attempt, Exception):
            raise self._attempt
        return self._attempt

    @property
    def fitted(self) -> Fitted:
        """The fit, made once.

        Raises:
            NotApplicableError: if it failed, which `fits` tells.
        """
        if isinstance(self._attempt, Exception):
            raise NotApplicableError("it could not be fitted: see fits")
        return self._attempt

    def draw(self, y: Tensor, n: int, seed: int = 0, method: Method | None = None) -> Any:
        """What `sample` returns, called as a run calls it."""
        chosen = method or self.fitted.method
        key = (*self.key, seed, "sampling")
        with single_threaded(), seeded_globals(*key, "global"), self._at_work("sample"):
            return chosen.sample(y, n, stream(*key), self.nfe)

    def _taken(self, y: Tensor, n: int, seed: int = 0, method: Method | None = None) -> Taken:
        """`draw` as the harness takes it: float32 with shape `(m, n, *x_shape)`.

        Raises:
            ContractError: if it is no real floating numbers of that shape.
        """
        output = self.draw(y.clone(), n, seed, method)
        return taken(output, (len(y), n, *self.task.x_shape), f"sample of {self.cls.info.name}")

    @cached_property
    def _drawn(self) -> Taken | Exception:
        try:
            return self._taken(self.y, self.preset.samples)
        except Exception as error:  # noqa: BLE001 - `shapes` and `dtypes` tell it
            return error

    def sampled(self, y: Tensor, n: int, seed: int = 0, method: Method | None = None) -> Tensor:
        """`draw` as a tensor with shape `(m, n, *x_shape)`."""
        return self._taken(y, n, seed, method).samples

    @property
    def drawn(self) -> Taken:
        """The preset's samples for all observations, drawn once, `(m, n, *x_shape)`.

        Raises:
            NotApplicableError: if there are none, which another check tells.
        """
        if isinstance(self._drawn, Exception):
            raise NotApplicableError("there are no samples: see fits, shapes and dtypes")
        return self._drawn

    @property
    def typical(self) -> Tensor:
        """`drawn`, known to be finite.

        Raises:
            NotApplicableError: if they are not, which `finite` tells.
        """
        if self.drawn.fault:
            raise NotApplicableError("samples are not finite: see finite")
        return self.drawn.samples


@contextmanager
def counted_steps() -> Iterator[Counter[int]]:
    """The steps of each torch optimiser inside, whoever made it."""
    steps: Counter[int] = Counter()

    def count(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        steps[id(optimizer)] += 1

    handle = register_optimizer_step_post_hook(count)
    try:
        yield steps
    finally:
        handle.remove()


def global_state() -> dict[str, Any]:
    """What a plugin shares with everyone else in the process; random numbers may be used up."""
    return {
        "torch.get_default_dtype()": torch.get_default_dtype(),
        "torch.get_default_device()": torch.get_default_device(),
        "torch.is_grad_enabled()": torch.is_grad_enabled(),
        "torch.get_num_threads()": torch.get_num_threads(),
        "torch.get_float32_matmul_precision()": torch.get_float32_matmul_precision(),
        "torch.are_deterministic_algorithms_enabled()": (
            torch.are_deterministic_algorithms_enabled()
        ),
        "torch.initial_seed()": torch.initial_seed(),
    }
