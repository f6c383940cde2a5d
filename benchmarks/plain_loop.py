"""What the harness adds to a bare training loop."""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch
from torch import nn

from benchmarks.timing import Measurement, Ratio, medians
from benchmarks.training import flow, problem
from cwbench.machine.cpu import single_threaded
from cwbench.method import tensors_of
from cwbench.training.networks import Meter, Networks

STEPS, REPEATS = 300, 9


def bare_loop(steps: int) -> Measurement:
    """Seconds a step of independent flow matching in as few lines as it takes."""
    _, preset, data = problem(steps)
    x, y = tensors_of(data)
    y = (y - y.mean(0)) / y.std(0)

    def seconds_per_step() -> float:
        network = Networks(preset, Meter())(x.shape[1] + 1 + y.shape[1], x.shape[1])
        network._forward_hooks.clear()
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
        with single_threaded():
            started = time.perf_counter()
            for _ in range(steps):
                rows = torch.randint(len(x), (preset.batch_size,))
                x_1, z, t = x[rows], torch.randn(len(rows), x.shape[1]), torch.rand(len(rows), 1)
                v = network(torch.cat([(1 - t) * z + t * x_1, t, y[rows]], 1))
                loss = nn.functional.mse_loss(v, x_1 - z)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            return (time.perf_counter() - started) / steps

    return seconds_per_step


def ratios() -> Iterator[Ratio]:
    """Step time of `fm` over the bare loop's, with equal threads."""
    seconds = medians({"fm": flow("fm", STEPS), "bare": bare_loop(STEPS)}, REPEATS)
    detail = f"{seconds['fm'] * 1e3:.2f} / {seconds['bare'] * 1e3:.2f} ms a step, equal threads"
    title = "step time of fm / bare loop, same network, fused Adam"
    yield Ratio(title, seconds["fm"] / seconds["bare"], 1.3, detail)
