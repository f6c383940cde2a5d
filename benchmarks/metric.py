"""The expected Wasserstein distance with its self terms against a loop over POT."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import ot as pot
import torch
from torch import Tensor

from benchmarks.timing import Measurement, Ratio, medians
from cwbench.api import load_task
from cwbench.metrics.wasserstein import W2Squared
from cwbench.running.evaluation import Judge
from cwbench.training.streams import stream

SAMPLES, BLOCK, REPEATS = 1_000, 20, 5
"""Each repeat takes 20 observations, so 100 are timed in all, besides those of the warm-up."""


def pot_terms(pairs: list[tuple[Tensor, Tensor]]) -> None:
    """W_2^2 of each observation of each pair of sample sets."""
    uniform = pot.unif(SAMPLES)
    for a, b in pairs:
        for points, others in zip(a, b, strict=True):
            pot.emd2(uniform, uniform, pot.dist(points.numpy(), others.numpy()), numItermax=10**7)


def measurements(*, with_reference: bool, cache: Path) -> dict[str, Measurement]:
    """Seconds of the harness and of the loop, for the next block of observations each."""
    task = load_task("gaussian-mixture")
    blocks: dict[str, int] = {"cwbench": 0, "pot": 0}

    def block(name: str) -> tuple[Judge, Tensor]:
        blocks[name] += 1
        preset = task.info.presets["quick"].model_copy(
            update={"observations": BLOCK, "samples": SAMPLES}
        )
        judge = Judge(task, preset, cache)
        judge.key = (*judge.key, f"block {blocks[name]}")
        y = judge.observations.y
        samples = task.sample_posterior(y, 2 * SAMPLES, stream("benchmark", blocks[name]))
        metric = W2Squared(task)
        if not with_reference:
            judge._floor(metric)
        return judge, samples

    def harness() -> float:
        judge, samples = block("cwbench")
        judge.reference  # noqa: B018 - drawn once for all methods, so outside the clock
        started = time.perf_counter()
        judge.score(W2Squared(task), samples)
        return time.perf_counter() - started

    def loop() -> float:
        judge, samples = block("pot")
        a1, a2 = samples.double().split(SAMPLES, 1)
        b1, b2 = judge.reference
        terms = [(a1, b1), (a2, b2), (a1, a2)] + ([(b1, b2)] if with_reference else [])
        started = time.perf_counter()
        pot_terms(terms)
        return time.perf_counter() - started

    return {"cwbench": harness, "pot": loop}


def ratios() -> Iterator[Ratio]:
    """Seconds of `ew2sq` over those of the loop, for the same terms on both sides."""
    with tempfile.TemporaryDirectory() as directory:
        seconds = medians(measurements(with_reference=False, cache=Path(directory)), REPEATS)
    detail = (
        f"{seconds['cwbench']:.2f} / {seconds['pot']:.2f} s for {BLOCK} of 100 observations, "
        "reference term counted on neither side"
    )
    title = f"ew2sq with self terms / loop over ot.emd2, n = {SAMPLES}, d = 5"
    yield Ratio(title, seconds["cwbench"] / seconds["pot"], 0.6, detail)
