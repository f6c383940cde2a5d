"""Which of our tasks and methods a test is for, by what they declare."""

from __future__ import annotations

from cwbench import registry
from cwbench.method import Method
from cwbench.task import TaskInfo


def with_posterior() -> dict[str, TaskInfo]:
    """The tasks of this package that have an exact posterior by default; images by class do not."""
    plugins = [p for p in registry.plugins() if (p.kind, p.distribution) == ("task", "cwbench")]
    infos = {p.name: registry.load_task(p.name).info for p in plugins}
    return {name: info for name, info in infos.items() if info.group != "labelled-images"}


def methods() -> dict[str, type[Method]]:
    """All methods of this package."""
    plugins = [p for p in registry.plugins() if (p.kind, p.distribution) == ("method", "cwbench")]
    return {p.name: registry.load_method(p.name) for p in plugins}


def flows() -> list[str]:
    """The methods that sample by an ODE whose solver is a setting."""
    return [name for name, cls in methods().items() if cls.info.nfe and has(cls, "solver")]


def trained_in_batches() -> set[str]:
    """The methods that a network is trained for, step by step."""
    return {name for name, cls in methods().items() if has(cls, "learning_rate")}


def games() -> set[str]:
    """The methods that are two networks in a game, which may collapse at one observation."""
    return {name for name, cls in methods().items() if has(cls, "critic_steps")}


def has(cls: type[Method], setting: str) -> bool:
    """Whether a method has a setting of that name."""
    return setting in cls.Params.model_fields
