"""Adam without the compiler: torch's numbers bit for bit, and a run that never imports it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from cwbench.ot import adam

PAIRS = {"Adam": {"betas": (0.5, 0.99)}, "AdamW": {"weight_decay": 0.1}}


def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(3, 8), nn.SiLU(), nn.Linear(8, 1))


def descended(optimiser: type[torch.optim.Optimizer], **options: object) -> list[Tensor]:
    """The weights after ten steps, of which the last five are on a state that was loaded."""
    fitted, generator = network(), torch.Generator().manual_seed(1)
    stepping = optimiser(fitted.parameters(), lr=0.01, **options)
    for step in range(10):
        if step == 5:
            state = stepping.state_dict()
            stepping = optimiser(fitted.parameters(), lr=1.0)
            stepping.load_state_dict(state)
        stepping.zero_grad()
        fitted(torch.randn(20, 3, generator=generator)).square().mean().backward()
        stepping.step()
    return [p.detach() for p in fitted.parameters()]


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("name", PAIRS)
def test_weights_are_those_of_torch(name: str, fused: bool) -> None:
    options = PAIRS[name] | {"fused": fused}
    ours, theirs = (descended(getattr(of, name), **options) for of in (adam, torch.optim))
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert not torch.equal(ours[0], next(iter(network().parameters())))


@pytest.mark.parametrize("name", PAIRS)
def test_hooks_of_torch_see_each_step(name: str) -> None:
    """The checks of a plugin count steps by them, and so do profilers."""
    seen = []
    handle = register_optimizer_step_post_hook(lambda optimiser, *_: seen.append(optimiser))
    try:
        descended(getattr(adam, name))
    finally:
        handle.remove()
    assert [type(each) for each in seen] == [getattr(adam, name)] * 10


def test_a_run_imports_neither_the_compiler_nor_all_distributions(
    python: Callable, tmp_path: Path
) -> None:
    code = (
        "import sys, cwbench; "
        "record = cwbench.run('gaussian-linear', 'fm', preset='smoke', quiet=True, figures=False); "
        "print(record.cost['steps'] > 0, {'torch._dynamo', 'scipy.stats'} & set(sys.modules))"
    )
    assert python("-c", code, CWBENCH_RESULTS=tmp_path).stdout.split() == ["True", "set()"]
