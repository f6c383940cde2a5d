"""What each coupling rule costs a batch, by itself: the assignment, the search or the plan.

In training the rule runs beside the network; what a step then waits is in `coupling`. The ratio is
to the plain minibatch assignment of the same batch, each rule at its method's defaults. Calibration
and potentials are made once and not counted. `w-cfm` weighs the pairs as drawn and has no plan; the
A2A rule is the assignment of `cot-fm` at another beta.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

import torch

from benchmarks.timing import Measurement, Ratio, medians
from benchmarks.training import KEY
from cwbench.api import load_task
from cwbench.machine.streams import stream
from cwbench.ot import (
    ConditionalOT,
    ConditionAwareOT,
    EntropicOT,
    Independent,
    MinibatchOT,
    Semidiscrete,
)
from cwbench_baselines.flows.c2ot import ConditionAwareParams
from cwbench_baselines.flows.sinkhorn_fm import EntropicParams

BATCHES, REPEATS = (256, 640, 2048), 3
PAIRS, BETA = 20_000, 10.0
MOST = {"independent": 1.0, "cot-fm": 3.0, "c2ot": 6.0, "sinkhorn-fm": 4.0, "sd-fm": 20.0}
"""Times the plain assignment that a rule may cost, on this problem."""


def ratios() -> Iterator[Ratio]:
    """Seconds a batch of each rule over those of the plain assignment."""
    for size in BATCHES:
        seconds = medians(measurements(size), REPEATS)
        for name, most in MOST.items():
            detail = f"{seconds[name] * 1e3:.1f} / {seconds['ot-fm'] * 1e3:.1f} ms a batch"
            title = f"{name} / plain assignment, batch {size}, d = 5"
            yield Ratio(title, seconds[name] / seconds["ot-fm"], most, detail)


def measurements(size: int) -> dict[str, Measurement]:
    """Each rule on one batch of the Gaussian mixture."""
    task = load_task("gaussian-mixture")
    x, y = task.sample_joint(PAIRS, stream(*KEY, "rules"))
    z = task.sample_latent(size, stream(*KEY, "latents"))
    semidiscrete = Semidiscrete(x, y, beta=BETA)
    rules = {
        "independent": Independent(),
        "ot-fm": MinibatchOT(),
        "cot-fm": ConditionalOT(BETA),
        "c2ot": ConditionAwareOT(ConditionAwareParams().r_tar),
        "sinkhorn-fm": EntropicOT(EntropicParams().epsilon, BETA),
    }
    found: dict[str, Measurement] = {
        name: partial(seconds_of, rule, z, x[:size], y[:size]) for name, rule in rules.items()
    }
    return found | {"sd-fm": partial(seconds_of, semidiscrete, z, y[:size])}


def seconds_of(rule: object, *arguments: torch.Tensor) -> float:
    """Of one call."""
    assert callable(rule)
    started = time.perf_counter()
    rule(*arguments)
    return time.perf_counter() - started
