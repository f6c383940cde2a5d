"""What others bring: a method and a task as source, and distributions that are installed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cwbench import registry

OUTSIDE = """
from cwbench import Method, MethodInfo
class Outside(Method):
    info = MethodInfo(name="{name}", version=1, title="outside", citation="none")
    def fit(self, data, context): pass
    def sample(self, y, n, generator, nfe=None): raise NotImplementedError
    def state_dict(self): return {{}}
    def load_state_dict(self, state): pass
"""
"""With a place for its name."""

SHIFT = """
import torch
from cwbench import JointSamples, Task, TaskInfo, vector_presets
class Shift(Task):
    info = TaskInfo(
        name="shift", version=1, title="shift", main_metric="ew2sq", licence="MIT",
        citation="none", presets={presets},
    )
    x_shape = y_shape = (2,)
    def sample_joint(self, n, generator):
        y = torch.randn(n, 2, generator=generator)
        return JointSamples(self.sample_posterior(y, 1, generator)[:, 0], y)
    def sample_posterior(self, y, n, generator):
        return y[:, None] + torch.randn(len(y), n, 2, generator=generator)
"""
"""A task with an exact posterior, with a place for its presets."""


@pytest.fixture
def distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Install a distribution with one module and entry points for the length of a test."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    modules = []

    def install(name: str, source: str, **groups: dict[str, str]) -> None:
        module = name.replace("-", "_")
        modules.append(module)
        (tmp_path / f"{module}.py").write_text(source)
        info = tmp_path / f"{module}-1.5.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")
        sections = [
            f"[cwbench.{group}]\n" + "".join(f"{n} = {target}\n" for n, target in points.items())
            for group, points in groups.items()
        ]
        (info / "entry_points.txt").write_text("\n".join(sections))
        registry.plugins.cache_clear()

    yield install
    for module in modules:
        sys.modules.pop(module, None)
    registry.plugins.cache_clear()
