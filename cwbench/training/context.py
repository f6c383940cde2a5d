"""What the harness hands to `Method.fit`: it counts the budget, feeds batches, saves and restores.

A batch is a function of (task, seed, step): the data order is a permutation drawn for each epoch.
Couplings run on a second thread, a few batches ahead of the network.
"""

from __future__ import annotations

import functools
import math
import threading
import time
from collections import abc, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.utils.data import Dataset

from cwbench.door import copied
from cwbench.errors import Interrupted
from cwbench.machine.processes import Processes
from cwbench.machine.streams import seeded_globals, stream
from cwbench.method import Optimiser, Prepare, State, Stateful, take
from cwbench.preset import Preset
from cwbench.samples import JointSamples
from cwbench.training import checkpoint
from cwbench.training.following import Following, averaged
from cwbench.training.networks import Networks

PASSES_A_STEP = 3
"""A flow's step on one example: a forward and a backward of its network."""

TRACKED_STEPS = 500
"""How often a whole fit hands its values to those who track it."""

LOOKAHEAD = 4
"""Groups of batches prepared before the network asks for them."""

DECAY_FROM = 0.3
"""Share of the budget after which the learning rate falls linearly to 0."""


def unshared(name: str, fit: Callable[[], tuple[State, float]]) -> tuple[State, float]:
    """Fit at each call: where nothing is kept."""
    return fit()[0], 0.0


@dataclass
class Progress:
    """Where progress and log lines go; the default is silence."""

    update: Callable[[str, float, Mapping[str, float]], None] = lambda *_: None
    message: Callable[[str], None] = lambda _: None
    track: Callable[[int, Mapping[str, float]], None] = lambda *_: None
    """Is handed the step and what the method logged."""


@dataclass
class TrainingContext:
    """The harness's side of `cwbench.method.FitContext`; see there for what each part means."""

    data: Dataset[tuple[Tensor, Tensor]]
    preset: Preset
    key: tuple[str | int, ...]
    networks: Networks
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    directory: Path | None = None
    fit: str = ""
    """Which fit the checkpoints in `directory` are of; those of another are refused."""
    validation: JointSamples | None = None
    processes: Processes = field(default_factory=Processes)
    checkpoint_seconds: float = 30.0
    show: Progress = field(default_factory=Progress)
    stop: threading.Event = field(default_factory=threading.Event)
    following: Following | None = None
    shelf: Callable[[str, Callable[[], tuple[State, float]]], tuple[State, float]] = unshared
    """Keeps what several methods share; see `cwbench.running.shared.Shelf.state`."""

    def __post_init__(self) -> None:
        """Find out whether there is a checkpoint to resume."""
        self.meter = self.networks.meter
        self.steps = self.preset.steps
        self.batch_size = self.processes.share(self.preset.batch_size)
        self.standardise = self.preset.standardise
        self.budget = PASSES_A_STEP * self.steps * self.batch_size
        self.step = 0
        self.track_every = max(1, self.steps // TRACKED_STEPS)
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._values: dict[str, float] = {}
        self._stateful: dict[str, Stateful] = {}
        self._resumed = checkpoint.load(self.directory, self.fit) if self.directory else None
        self._shared_wall = self._shared_fit = 0.0
        self._saved_at = time.monotonic()

    @property
    def progress(self) -> float:
        """Share of the budget spent; steps count where networks are not the harness's."""
        return min(1.0, max(self.meter.passes / self.budget, self.step / self.steps))

    def learning_rate(self, default: float) -> float:
        """The preset's or the default rate after warm-up, falling linearly over the last 70 %."""
        rate = self.preset.learning_rate or default
        if self.step < self.preset.warmup:
            rate *= (self.step + 1) / self.preset.warmup
        if not self.preset.decay:
            return rate
        return rate * min(1.0, (1.0 - self.progress) / (1.0 - DECAY_FROM))

    @property
    def optimiser(self) -> Optimiser:
        """What the preset fixes of the optimiser."""
        preset = self.preset
        return Optimiser(preset.average, preset.gradient_clip, preset.beta_2, preset.bfloat16)

    def generator(self, purpose: str, *index: int) -> Generator:
        """A CPU generator that depends on (task, seed, purpose, index) alone.

        What has an index, such as the noise of a step, differs between processes.
        """
        rank = self.processes.rank
        return stream(*self.key, purpose, *index, *([f"rank {rank}"] if index and rank else []))

    def network(
        self, inputs: int | Sequence[int], outputs: int, name: str = "network"
    ) -> nn.Module:
        """A network of the task and preset, initialised from the stream `name`."""
        with seeded_globals(*self.key, "init", name):
            return self.networks(inputs, outputs).to(self.device)

    def counted(self, network: nn.Module) -> nn.Module:
        """The network itself, its passes charged to the budget."""
        return self.meter.attach(network)

    def save(self, state: Mapping[str, Stateful]) -> None:
        """Keep `state` with every checkpoint, and restore it now if one is being resumed.

        What was spent comes back with it: a checkpoint of what another run has finished since, and
        shares, is of no use.
        """
        self._stateful = dict(state)
        if self._resumed is not None:
            for name, part in self._stateful.items():
                part.load_state_dict(self._resumed["state"][name])
            self.meter.passes = int(self._resumed["passes"])
            self.step = int(self._resumed["step"])
            self.seconds.clear()
            self.seconds.update(self._resumed["seconds"])
            if self.following:
                self.following.resume(self._resumed.get("following"), self.progress)
            self.show.message(f"resuming at step {self.step}")

    def shared(self, name: str, fit: Callable[[], State]) -> State:
        """What several methods of this task and seed use; processes that share a fit all fit it."""

        def timed() -> tuple[State, float]:
            before, begun = self.seconds["fit"], time.perf_counter()
            state = fit()
            if self.seconds["fit"] == before:  # it took no batches
                self.seconds["fit"] += time.perf_counter() - begun
            return state, self.seconds["fit"] - before

        begun, before = time.perf_counter(), self.seconds["fit"]
        keep = self.shelf if self.processes.size == 1 else unshared
        state, elsewhere = keep(name, timed)
        if elsewhere:
            self.seconds["shared"] += elsewhere
        self._shared_fit += self.seconds["fit"] - before
        self._shared_wall += time.perf_counter() - begun
        return state

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Around a fit: one without batches of its own took all the time but what it shares."""
        begun = time.perf_counter()
        yield
        if math.isclose(self.seconds["fit"], self._shared_fit):
            self.seconds["fit"] += time.perf_counter() - begun - self._shared_wall

    def uncounted(self) -> AbstractContextManager[None]:
        """Network passes inside are not charged to the budget."""
        return self.meter.paused()

    def log(self, **values: float) -> None:
        """Show these values beside the progress bar."""
        self._values.update(values)

    @contextmanager
    def clock(self, name: str) -> Iterator[None]:
        """Add the seconds spent inside to `seconds[name]`."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - started

    def batches(
        self, prepare: Prepare | None = None, *, group: int = 1
    ) -> Iterator[tuple[Tensor, ...]]:
        """The training batches on the device until the budget is spent; see `FitContext`."""
        clock = time.perf_counter()
        with closing(self._ahead(prepare, group)) as ahead:  # its thread ends now, not when freed
            for batch in ahead:
                yield tuple(part.to(self.device, non_blocking=True) for part in batch)
                self.step += 1
                now = time.perf_counter()
                self.seconds["fit"] += now - clock
                clock = now
                self.show.update("fit", self.progress, self._values)
                if self.step % self.track_every == 0 or self.progress >= 1.0:
                    self.show.track(self.step, dict(self._values))
                self._follow_if_due()
                clock = time.perf_counter()
                if self.progress >= 1.0:
                    return
                self._checkpoint_if_due()

    def _follow_if_due(self) -> None:
        """Score what is trained as it is now; methods that keep no checkpoint are not followed."""
        following = self.following
        if following is None or not self._stateful or not following.due(self.progress):
            return
        progress = self.progress
        with self.clock("following"), self.uncounted(), averaged(self._stateful.values()):
            value = following.take(self.step, progress)
        if value is not None:
            self.show.track(self.step, {following.about["metric"]: value})

    def _checkpoint_if_due(self) -> None:
        stopping = self.stop.is_set()
        due = time.monotonic() - self._saved_at >= self.checkpoint_seconds
        if self.directory and self.processes.leads and self._stateful and (due or stopping):
            state = {name: part.state_dict() for name, part in self._stateful.items()}
            content = {"step": self.step, "passes": self.meter.passes, "state": state}
            if self.following:
                content["following"] = self.following.state_dict()
            content |= {"seconds": dict(self.seconds), "fit": self.fit}
            checkpoint.save(self.directory, self.step, content)
            self._saved_at = time.monotonic()
        if stopping:
            raise Interrupted(f"stopped at step {self.step}; the same command resumes there")

    def _ahead(
        self, prepare: Prepare | None, group: int
    ) -> abc.Generator[tuple[Tensor, ...], None, None]:
        """Batches from the current step on, prepared on a second thread."""
        first = self.step - self.step % group
        pending: deque[Future[list[tuple[Tensor, ...]]]] = deque()
        pool = ThreadPoolExecutor(1, "cwbench-batches")
        try:
            starts = iter(range(first, self.steps, group))
            while True:
                while len(pending) < LOOKAHEAD and (start := next(starts, None)) is not None:
                    pending.append(pool.submit(self._group, prepare, start, group))
                if not pending:
                    return
                with self.clock("waiting"):
                    prepared = pending.popleft().result()
                yield from prepared[max(0, self.step - first) :]
                first += group
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _group(self, prepare: Prepare | None, first: int, group: int) -> list[tuple[Tensor, ...]]:
        """`group` consecutive batches, prepared together; the last group may be shorter."""
        steps = range(first, min(first + group, self.steps))
        x, y = take(self.data, torch.cat([self._order(step) for step in steps]))
        if prepare is None:
            prepared: tuple[Tensor, ...] = (x, y)
        else:
            with self.clock("coupling"):
                prepared = copied(prepare(first, x, y))  # ahead of use, when it may prepare again
        return list(zip(*(part.split(self.batch_size) for part in prepared), strict=True))

    def _order(self, step: int) -> Tensor:
        """Indices of this process's share of batch `step` in endless shuffled epochs."""
        size = len(self.data)  # type: ignore[arg-type]  # map-style data sets have a length
        first = step * self.preset.batch_size + self.processes.rank * self.batch_size
        position = torch.arange(first, first + self.batch_size)
        epochs = position // size
        return torch.cat(
            [self._epoch(int(e), size)[position[epochs == e] % size] for e in epochs.unique()]
        )

    @functools.lru_cache(maxsize=2)  # noqa: B019 - a context lives as long as its run
    def _epoch(self, epoch: int, size: int) -> Tensor:
        return torch.randperm(size, generator=stream(*self.key, "order", epoch))

    def __hash__(self) -> int:
        return id(self)

    def costs(self) -> dict[str, Any]:
        """Steps, examples, network passes and seconds spent so far."""
        seconds = {f"{name}_seconds": value for name, value in self.seconds.items()}
        examples = self.step * self.preset.batch_size
        passes = self.meter.passes * self.processes.size
        return {"steps": self.step, "examples": examples, "network_passes": passes} | seconds
