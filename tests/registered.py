"""Which of our tasks a test is for."""

from __future__ import annotations

from cwbench import registry
from cwbench.task import TaskInfo


def with_posterior() -> dict[str, TaskInfo]:
    """The tasks of this package that have an exact posterior by default; images by class do not."""
    plugins = [p for p in registry.plugins() if (p.kind, p.distribution) == ("task", "cwbench")]
    infos = {p.name: registry.load_task(p.name).info for p in plugins}
    return {name: info for name, info in infos.items() if info.group != "labelled-images"}
