"""`cot-fm` against scripts that solve optimal transport in line, as public code does.

Both use the same network, batch and data, Adam as it comes, and all the threads torch takes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import ot as pot
import torch
from torch import Tensor, nn

from benchmarks.timing import Measurement, Ratio, medians
from benchmarks.training import flow, problem
from cwbench.method import tensors_of
from cwbench.training.networks import Meter, Networks

STEPS, REPEATS = 100, 5
BETA = 400.0  # the paper's flag 20
REVALIDATE_EVERY, VALIDATION_PAIRS = 50, 2_000

Pairing = Callable[[Tensor], tuple[Tensor, Tensor]]


def row_argmax(plan: Tensor) -> tuple[Tensor, Tensor]:
    """Each row with the column that takes most of its mass."""
    return torch.arange(len(plan)), plan.argmax(1)


def sampled_pairs(plan: Tensor) -> tuple[Tensor, Tensor]:
    """As many pairs as rows, drawn with replacement from the flattened plan."""
    mass = plan.flatten().numpy()
    chosen = np.random.choice(len(mass), size=len(plan), p=mass / mass.sum())  # noqa: NPY002 - as public code does
    rows, columns = np.divmod(chosen, len(plan))
    return torch.from_numpy(rows), torch.from_numpy(columns)


def coupled_loss(network: nn.Module, x: Tensor, y: Tensor, pairing: Pairing) -> Tensor:
    """The flow-matching loss on pairs of the plan of |z - x|^2 + beta |y - y'|^2."""
    z, t = torch.randn_like(x), torch.rand(len(x), 1)
    cost = torch.cdist(z, x) ** 2 + BETA * torch.cdist(y, y) ** 2
    uniform = pot.unif(len(x))
    plan = torch.from_numpy(pot.emd(uniform, uniform, cost.double().numpy(), numItermax=10_000_000))
    rows, columns = pairing(plan)
    z, x, y = z[rows], x[columns], y[rows]
    velocity = network(torch.cat([(1 - t) * z + t * x, t, y], 1))
    return nn.functional.mse_loss(velocity, x - z)


def plain_script(steps: int, pairing: Pairing, *, revalidate: bool) -> Measurement:
    """Seconds a step of a plain training script."""
    _, preset, data = problem(steps)
    x, y = tensors_of(data)

    def seconds_per_step() -> float:
        network = Networks(preset, Meter())(x.shape[1] + 1 + y.shape[1], x.shape[1])
        network._forward_hooks.clear()
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
        started = time.perf_counter()
        for step in range(1, steps + 1):
            rows = torch.randint(len(x), (preset.batch_size,))
            optimizer.zero_grad()
            coupled_loss(network, x[rows], y[rows], pairing).backward()
            optimizer.step()
            if revalidate and step % REVALIDATE_EVERY == 0:
                with torch.no_grad():
                    coupled_loss(network, x[-VALIDATION_PAIRS:], y[-VALIDATION_PAIRS:], pairing)
        return (time.perf_counter() - started) / steps

    return seconds_per_step


def ratios() -> Iterator[Ratio]:
    """Steps per second of `cot-fm` over those of the scripts."""
    scripts = {
        "ot.emd in line, argmax, 2000-point validation": (row_argmax, True, 6.0),
        "ot.emd in line, sampled pairs": (sampled_pairs, False, 2.5),
    }
    measurements = {"cot-fm": flow("cot-fm", 3 * STEPS)} | {
        title: plain_script(STEPS, pairing, revalidate=revalidate)
        for title, (pairing, revalidate, _) in scripts.items()
    }
    seconds = medians(measurements, REPEATS)
    for title, (_, _, target) in scripts.items():
        detail = f"{seconds[title] * 1e3:.2f} / {seconds['cot-fm'] * 1e3:.2f} ms a step"
        ratio = seconds[title] / seconds["cot-fm"]
        yield Ratio(f"speed of cot-fm / {title}", ratio, target, detail, at_most=False)
