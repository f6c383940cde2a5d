"""What a run was asked to do, validated before anything is computed or written."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ParamSpec, cast

import torch
from pydantic import BaseModel

from cwbench import registry, settings
from cwbench.declared import NAME
from cwbench.door import Behind, copied, copying
from cwbench.errors import ContractError, CwbenchError, UsageError, message_of, unknown
from cwbench.judging.choice import chosen_metrics, sized
from cwbench.judging.taken import Taken
from cwbench.known.classes import Need
from cwbench.known.known import known_of
from cwbench.machine import processes
from cwbench.machine.guests import visiting
from cwbench.machine.streams import stream
from cwbench.machine.torch_state import plain_torch
from cwbench.method import Method, Posterior, ProblemSpec
from cwbench.metric import ImageMetric, Metric
from cwbench.preset import NFE, NOT_KEYED, Preset
from cwbench.records.record import Track, fit_id, key_of
from cwbench.records.schema import LARGEST
from cwbench.running.needs import needs_of
from cwbench.samples import ImageSet, Part
from cwbench.task import Task, checked_pairs, checked_shapes, checked_tensor
from cwbench.training.networks import Meter, networks_of

Drawn = tuple[Taken, dict[str, Any]]
"""Samples `(m, 2n, *x_shape)`, and what they cost."""

P = ParamSpec("P")


@dataclass(frozen=True)
class ConfiguredMethod:
    """A method class with checked settings, not yet bound to a task."""

    cls: type[Method]
    params: BaseModel
    origin: registry.Loaded

    def on(self, task: Task, preset: str | Preset = "quick") -> Method:
        """The method for a task, ready to be fitted or to load a state."""
        chosen = preset_of(task, preset) if isinstance(preset, str) else preset
        meter, device = Meter(), torch.device("cpu")
        return self.cls(
            self.params, problem_spec(task, self.cls, self.params, chosen, meter, device)
        )


@dataclass(frozen=True)
class Request:
    """Task, method, preset, seed and what to measure."""

    task: Task
    task_origin: registry.Loaded
    method: type[Method]
    method_params: BaseModel
    method_origin: registry.Loaded
    preset_name: str
    preset: Preset
    settings: dict[str, Any]
    track: Track
    seed: int
    nfe: tuple[NFE | None, ...]
    metrics: dict[str, Metric]
    recorded_key: str | None = None
    """The key of the record that this request was made from, if it was.

    Several processes may have fitted it, or a method that is gone: it stays the run it is.
    """
    followed: ImageMetric | None = None
    """What is taken during the fit, where the preset asks for it."""
    metric_hashes: Mapping[str, str | None] = field(default_factory=dict)
    """By metric name the hash of its source, where it comes from a file or an editable package."""
    needs: frozenset[Need] = frozenset()
    """What the method says that it uses beyond pairs."""
    drawn: Mapping[NFE | None, Drawn] = field(default_factory=dict)
    """What a sampler from outside drew for the observations, by NFE: its key holds their hash."""

    def keyed(self) -> dict[str, Any]:
        """What decides the fit."""
        task, method = self.task.info, self.method.info
        return {
            "task": [
                task.name, task.version, settings.keyed_values(self.task.params),
                self.task.fingerprint(), self.task_origin.source_sha256,
            ],
            "method": [
                method.name, method.version, settings.content_values(self.method_params),
                self.method_origin.source_sha256,
            ],
            "preset": keyed_preset(self.preset),
            "world_size": processes.size(),
        }  # fmt: skip

    @property
    def fit_key(self) -> str:
        """SHA-256 of what decides the fit."""
        return self.recorded_key or key_of(self.keyed())

    @property
    def fit_id(self) -> str:
        """Which fit its model and checkpoints are of."""
        return fit_id(self.task.info.name, self.fit_key, self.seed)

    @property
    def run_id(self) -> str:
        """The key's first 16 digits and the seed."""
        return f"{self.fit_key[:16]}-{self.seed}"


def keyed_preset(preset: Preset) -> dict[str, Any]:
    """The values of a preset that decide the fit."""
    return {k: v for k, v in settings.keyed_values(preset).items() if k not in NOT_KEYED}


def preset_of(task: Task, name: str) -> Preset:
    """A preset of a task.

    Raises:
        UsageError: if the task has none of that name.
    """
    if name not in task.info.presets:
        raise unknown(f"preset of {task.info.name}", name, task.info.presets)
    return task.info.presets[name]


def problem_spec(
    task: Task,
    method: type[Method],
    params: BaseModel,
    preset: Preset,
    meter: Meter,
    device: torch.device,
) -> ProblemSpec:
    """What the method may know of the task: of what it is not told, only what it declares.

    Raises:
        ContractError: if the task's shapes or latents are not what they have to be.
    """
    refuse_broken(task)
    needs = needs_of(method, params)
    networks = networks_of(task, preset, meter)
    return ProblemSpec(
        x_shape=task.x_shape,
        y_shape=task.y_shape,
        num_classes=task.num_classes,
        sample_latent=copying(task.sample_latent),
        network=networks,
        back_projection=copying(task.back_projection) if networks.image_shape else None,
        device=device,
        posterior=_posterior(task) if "posterior" in needs and task.has_posterior else None,
        simulator=copying(task.sample_joint) if "simulator" in needs else None,
        stored_images=_stored_images(task) if "stored-images" in needs else None,
        known=known_of(task, method.info.name, needs, meter),
        own_latent=type(task).sample_latent is not Task.sample_latent,
    )


def _posterior(task: Task) -> Posterior:
    """What a control may ask, through the door."""
    return cast("Posterior", Behind(task))


def refuse_broken(task: Task) -> None:
    """Go on if shapes and latents are as a method needs them.

    A latent has the shape of x: a flow moves each z to an x along a path between them.

    Raises:
        ContractError: if they are not; it says what to write.
    """
    checked_shapes(task)
    if not NAME.fullmatch(str(task.main_metric)):
        raise ContractError(
            f"main_metric of task {task.info.name!r} is {task.main_metric!r}, no name of a metric"
        )
    if not isinstance(task.fingerprint(), str):
        kind = type(task.fingerprint()).__name__
        raise ContractError(f"fingerprint of task {task.info.name!r} returns {kind}, not str")
    latents = task.sample_latent(2, torch.Generator().manual_seed(0))
    checked_tensor(latents, f"what sample_latent of task {task.info.name!r} returns")
    shape = tuple(latents.shape)
    if shape != (2, *task.x_shape):
        raise ContractError(
            f"sample_latent(2, ...) of task {task.info.name!r} returns shape {shape}, not "
            f"{(2, *task.x_shape)}: z has the shape of x. Return (n, *x_shape), or leave "
            "sample_latent out for standard normal latents"
        )


def _stored_images(task: Task) -> Callable[[Part], ImageSet] | None:
    """How a control asks for stored images, where the task consists of them."""
    if task.stored_images("test") is None:
        return None
    return lambda part: copied(cast("ImageSet", task.stored_images(part)))


def configured_task(name: str, params: Mapping[str, Any]) -> tuple[Task, registry.Loaded]:
    """A task by name with its settings checked."""
    origin = registry.load("task", name)
    return task_from(origin, params), origin


def task_from(origin: registry.Loaded, params: Mapping[str, Any]) -> Task:
    """A task of a class that is loaded, with its settings checked."""
    return _made(origin, settings.validated(origin.cls.Params, params, "task"))


def _made(origin: registry.Loaded, params: BaseModel) -> Task:
    """The task.

    Raises:
        ContractError: if its constructor fails.
    """
    try:
        with plain_torch():
            task: Task = origin.cls(params)
    except (CwbenchError, KeyboardInterrupt):
        raise
    except BaseException as error:
        reason = f"{type(error).__name__}: {error}"
        raise ContractError(f"task {origin.cls.info.name!r} cannot be made: {reason}") from error
    task.source_sha256 = origin.source_sha256
    return task


def configured_method(name: str, params: Mapping[str, Any]) -> ConfiguredMethod:
    """A method by name with its settings checked."""
    return method_from(registry.load("method", name), params)


def method_from(origin: registry.Loaded, params: Mapping[str, Any]) -> ConfiguredMethod:
    """A method of a class that is loaded, with its settings checked."""
    checked = settings.validated(origin.cls.Params, params, "method")
    return ConfiguredMethod(origin.cls, checked, origin)


def _explained(make: Callable[P, Request]) -> Callable[P, Request]:
    """What a plugin raises while it is set up is named as its own."""

    @functools.wraps(make)
    def made(*arguments: P.args, **options: P.kwargs) -> Request:
        try:
            with plain_torch():
                return make(*arguments, **options)
        except (CwbenchError, KeyboardInterrupt):
            raise
        except BaseException as error:
            reason = f"task or method cannot be set up: {message_of(error)}"
            raise ContractError(reason) from error

    return made


@_explained
def resolve(
    task: str,
    method: str | registry.Loaded,
    *,
    preset: str = "quick",
    seed: int = 0,
    given: Mapping[str, Any] | None = None,
    nfe: Iterable[NFE | str] | None = None,
    metrics: Iterable[str] = (),
    track: Track | None = None,
) -> Request:
    """Check everything that was asked for.

    Args:
        task: its name, or `./file.py:ClassName`.
        method: likewise, or what was loaded of it.
        preset: one of the task's.
        seed: of data, initialisation and noise.
        given: settings by `KEY`, `task.KEY`, `method.KEY` or `preset.KEY`.
        nfe: those to measure; None takes the preset's.
        metrics: names or `./file.py:ClassName`, besides the default ones and the preset's.
        track: None for `fixed`, or `open` where a value of the preset was changed.

    Raises:
        UsageError: for an unknown name, key or value; it says what is allowed.
        ContractError: if a plugin breaks its contract.
    """
    given = dict(given or {})
    if not isinstance(seed, int) or not 0 <= seed < LARGEST:
        raise UsageError(f"the seed must be an integer from 0 to 2^63 - 1, got {seed!r}")
    task_origin = registry.load("task", task)
    method_origin = registry.load("method", method) if isinstance(method, str) else method
    if preset not in task_origin.cls.info.presets:
        raise unknown(f"preset of {task}", preset, task_origin.cls.info.presets)
    owned = settings.split(
        given,
        {
            "task": task_origin.cls.Params.model_fields,
            "method": method_origin.cls.Params.model_fields,
            "preset": Preset.model_fields,
        },
    )
    task_params = settings.validated(task_origin.cls.Params, owned["task"], "task")
    method_params = settings.validated(method_origin.cls.Params, owned["method"], "method")
    instance = _made(task_origin, task_params)
    base = preset_of(instance, preset)
    resolved = settings.validated(Preset, base.model_dump() | owned["preset"], "preset")
    with visiting():
        refuse_broken(instance)
        if instance.stored_images("test") is None:
            checked_pairs(instance, instance.evaluation_set(1, stream("probe")), "evaluation_set")
    opened = keyed_preset(resolved) != keyed_preset(base)
    chosen = chosen_metrics(instance, resolved.metrics, metrics)
    sized(chosen.metrics, resolved.images)
    return Request(
        task=instance,
        task_origin=task_origin,
        method=method_origin.cls,
        method_params=method_params,
        method_origin=method_origin,
        preset_name=preset,
        preset=resolved,
        settings=given,
        track=track or ("open" if opened else "fixed"),
        seed=seed,
        nfe=nfe_grid(method_origin.cls, method_params, nfe, resolved),
        metrics=chosen.metrics,
        followed=followed_metric(instance, resolved),
        metric_hashes=chosen.hashes,
        needs=needs_of(method_origin.cls, method_params),
    )


def followed_metric(task: Task, preset: Preset) -> ImageMetric | None:
    """The metric that is taken during the fit, where the preset asks for one.

    Raises:
        UsageError: if it is none of labelled images, or cannot do with so few.
    """
    if not preset.follow:
        return None
    name = preset.follow_metric or task.main_metric
    metric = chosen_metrics(task, [name]).metrics[name].of_images
    if metric is None:
        raise UsageError(
            f"preset.follow takes a metric of labelled images during the fit, {name} is none; "
            "leave it out, or name another by --set preset.follow_metric=NAME"
        )
    images = preset.follow_images or preset.images
    sized(
        {name: metric}, images, "preset.follow_images" if preset.follow_images else "preset.images"
    )
    return metric


def nfe_grid(
    method: type[Method], params: BaseModel, given: Iterable[NFE | str] | None, preset: Preset
) -> tuple[NFE | None, ...]:
    """The NFE to measure: those given, else the preset's that the method supports.

    Raises:
        UsageError: if one that was given cannot be had exactly, or the method supports none.
    """
    wanted = preset.nfe if given is None else [given] if isinstance(given, int | str) else given
    grid = tuple(dict.fromkeys(parse_nfe(value) for value in wanted))
    if not grid:
        raise UsageError("--nfe is empty; e.g. --nfe 1,3,10,adaptive")
    if not method.info.nfe:
        return (None,)
    refusals = {nfe: method.unsupported_nfe(params, nfe) for nfe in grid}
    supported = tuple(nfe for nfe in grid if refusals[nfe] is None)
    if not supported or (given is not None and supported != grid):
        refused = "; ".join(f"{nfe}: {why}" for nfe, why in refusals.items() if why)
        raise UsageError(f"--nfe {refused}")
    return supported


def parse_nfe(value: NFE | str) -> NFE:
    """`"10"`, 10 or `"adaptive"`.

    Raises:
        UsageError: for anything else.
    """
    text = str(value).strip()
    if text == "adaptive":
        return "adaptive"
    if not re.fullmatch(r"[1-9][0-9]{0,5}", text):
        raise UsageError(
            f"NFE {text!r} is not a positive integer or 'adaptive'; e.g. --nfe 1,3,adaptive"
        )
    return int(text)
