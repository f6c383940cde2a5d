"""A method made for a task, and fitted: computed here, gone on with, or taken from disk."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from cwbench.door import HandedData, copied
from cwbench.machine.cpu import single_threaded
from cwbench.machine.guests import visiting
from cwbench.machine.processes import Processes
from cwbench.machine.streams import seeded_globals, stream
from cwbench.method import Method, State, take
from cwbench.preset import Preset
from cwbench.records import beside, storage
from cwbench.records.record import Record, finite, recordable
from cwbench.running.longer import NO_STEPS, is_longer
from cwbench.running.needs import unsupported
from cwbench.running.outcome import Outcome
from cwbench.running.request import Request, problem_spec
from cwbench.running.shared import Shelf
from cwbench.samples import JointSamples
from cwbench.task import Task, checked_pairs
from cwbench.training.context import Progress, TrainingContext, unshared
from cwbench.training.following import Following
from cwbench.training.networks import Meter, networks_of


@dataclass(frozen=True)
class Bound:
    """A method made for the task of a request, and what counts its network evaluations."""

    request: Request
    method: Method
    meter: Meter
    device: torch.device


@dataclass(frozen=True)
class Place:
    """Where a run is carried out: its directory, what shows its progress, and what stops it."""

    directory: Path
    progress: Progress = field(default_factory=Progress)
    stop: threading.Event = field(default_factory=threading.Event)
    processes: Processes = field(default_factory=Processes)
    """Those that share the fit."""
    checkpoint_seconds: float = 30.0
    cache: Path | None = None
    """Of what several runs share."""

    @property
    def has_model(self) -> bool:
        """Whether a fitted model is stored."""
        return any(self.directory.glob(f"{beside.MODEL}*"))


Follow = Callable[[], Following | None]
"""Makes what scores the method during its fit, if anything, once the fit is about to begin."""


@visiting()
def bind(request: Request, device: torch.device) -> Bound | str:
    """The method made for the task, or the reason why it cannot do it."""
    meter = Meter()
    params = request.method_params.model_copy(deep=True)
    spec = problem_spec(request.task, request.method, params, request.preset, meter, device)
    reason = unsupported(request.task, request.method, params, spec)
    if reason:
        return reason
    return Bound(request, request.method(params, spec), meter, device)


def fit(
    bound: Bound,
    place: Place,
    outcome: Outcome,
    previous: Record | None,
    *,
    follow: Follow = lambda: None,
    begin: Callable[[], None] = lambda: None,
) -> str | None:
    """Fit and keep the model, or take the fitted one from disk.

    Args:
        bound: whose method has its weights afterwards.
        place: with the checkpoint of a fit that was interrupted, which is gone on with.
        outcome: takes the costs and the diagnostics.
        previous: the record that names the stored model, where there is one.
        follow: see `Follow`.
        begin: called where a fit is about to begin.

    Returns:
        Why nothing is kept, of the longer twin of a fit that takes no steps; else None.

    Raises:
        CorruptFileError: if the stored model is damaged or not the one that `previous` names.
    """
    if not place.has_model:
        begin()
        return _train_and_keep(bound, place, outcome, follow)
    sha256 = previous.files.get(beside.MODEL) if previous else None
    state, facts = storage.load_model(place.directory, bound.request.fit_id, sha256)
    with seeded_globals(*_key(bound.request), "load"):
        bound.method.load_state_dict(state)
    outcome.cost, outcome.diagnostics = facts["cost"], facts["diagnostics"]
    place.progress.message("fitted before; model loaded")
    return None


def _train_and_keep(bound: Bound, place: Place, outcome: Outcome, follow: Follow) -> str | None:
    outcome.cost, following, stepped, shared = train(bound, place, follow)
    if not stepped and is_longer(bound.request):
        return NO_STEPS
    trained = dict(bound.method.state_dict())
    outcome.cost["parameters"] = sum(v.numel() for v in trained.values() if isinstance(v, Tensor))
    outcome.cost["sampling"] = {}
    outcome.diagnostics = recordable(bound.method.diagnostics(), "diagnostics of the method")
    if shared:
        outcome.diagnostics["shared_fit"] = shared
    if following:
        outcome.diagnostics["followed"] = finite(following.facts())
    facts = {"cost": outcome.cost, "diagnostics": outcome.diagnostics}
    storage.save_model(place.directory, trained, bound.request.fit_id, facts)
    shutil.rmtree(place.directory / "checkpoint", ignore_errors=True)
    return None


class Trained(NamedTuple):
    """What a fit cost, what scored the method meanwhile, and whether its steps decide anything."""

    cost: dict[str, Any]
    following: Following | None
    stepped: bool
    shared: str
    """What it shares with other runs, one of which has fitted it."""


def train(bound: Bound, place: Place, follow: Follow = lambda: None) -> Trained:
    """Fit a method that is not fitted yet."""
    request, key = bound.request, _key(bound.request)
    data = training_data(request.task, request.preset, request.seed)
    following = follow()
    kept = Shelf.of(place.cache, request) if place.cache else None
    shared: list[str] = []

    def shelf(name: str, fit: Callable[[], tuple[State, float]]) -> tuple[State, float]:
        shared.append(kept.place(name).name if kept else "")  # another may have taken its steps
        return (kept.state if kept else unshared)(name, fit)

    context = TrainingContext(
        data,
        request.preset.model_copy(deep=True),
        key,
        networks_of(request.task, request.preset, bound.meter),
        bound.device,
        directory=place.directory / "checkpoint",
        fit=request.fit_id,
        validation=validation_pairs(request.task, request.preset, request.seed),
        processes=place.processes,
        checkpoint_seconds=place.checkpoint_seconds,
        show=place.progress,
        stop=place.stop,
        following=following,
        shelf=shelf,
    )
    with single_threaded(), seeded_globals(*key, "fit"), context.whole():
        bound.method.fit(HandedData(data), context)
    stepped = bool(context.step or shared)
    return Trained(context.costs(), following, stepped, ", ".join(filter(None, shared)))


def _key(request: Request) -> tuple[str | int, ...]:
    """Of the streams of a fit, whatever the method."""
    return request.task.info.name, request.task.info.version, request.seed


def training_data(task: Task, preset: Preset, seed: int) -> Dataset[tuple[Tensor, Tensor]]:
    """The training pairs of a seed: the same for every method.

    Raises:
        ContractError: if those that are in memory are not what a task declares, or not finite.
    """
    generator = stream(task.info.name, task.info.version, seed, "data")
    data = task.training_data(preset.training_pairs, generator)
    tensors = getattr(data, "tensors", None)
    pairs = take(data, torch.arange(1)) if tensors is None else tuple(tensors[:2])
    checked_pairs(task, pairs, "training_data")
    return data


def validation_pairs(task: Task, preset: Preset, seed: int) -> JointSamples | None:
    """The validation pairs of a seed, where the preset has them."""
    if not preset.validation_pairs:
        return None
    generator = stream(task.info.name, task.info.version, seed, "validation")
    pairs = task.sample_joint(preset.validation_pairs, generator)
    return copied(checked_pairs(task, pairs, "sample_joint"))
