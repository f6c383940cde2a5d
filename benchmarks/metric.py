"""The expected Wasserstein distance with its self terms against a loop over POT."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import ot as pot
from torch import Tensor

from benchmarks.timing import Measurement, Ratio, medians
from cwbench.api import load_task
from cwbench.judging.judge import Judge
from cwbench.machine.streams import stream
from cwbench.metrics.wasserstein import W2Squared

OBSERVATIONS, SAMPLES, REPEATS = 20, 1_000, 5
"""So 100 observations are timed in all, besides those of the warm-up."""


def pot_loop(pairs: list[tuple[Tensor, Tensor]]) -> None:
    """W_2^2 of each observation of each pair of sample sets."""
    uniform = pot.unif(SAMPLES)
    for a, b in pairs:
        for points, others in zip(a, b, strict=True):
            pot.emd2(uniform, uniform, pot.dist(points.numpy(), others.numpy()), numItermax=10**7)


def measurements(cache: Path) -> dict[str, Measurement]:
    """Seconds of the harness and of the loop, for the two cross terms and the model's self term."""
    task = load_task("gaussian-mixture")
    sizes = {"observations": OBSERVATIONS, "samples": SAMPLES}
    judge = Judge(task, task.info.presets["quick"].model_copy(update=sizes), cache)
    y, metric = judge.observations.y, W2Squared(task)
    samples = task.sample_posterior(y, 2 * SAMPLES, stream("benchmark", "samples"))
    judge.score(metric, samples)  # leaves the reference term in the cache
    (a1, a2), (b1, b2) = samples.double().split(SAMPLES, 1), judge.reference

    def harness() -> float:
        started = time.perf_counter()
        judge.score(metric, samples)
        return time.perf_counter() - started

    def loop() -> float:
        started = time.perf_counter()
        pot_loop([(a1, b1), (a2, b2), (a1, a2)])
        return time.perf_counter() - started

    return {"cwbench": harness, "pot": loop}


def ratios() -> Iterator[Ratio]:
    """Seconds of `ew2sq` over those of the loop, for the same terms on both sides."""
    with tempfile.TemporaryDirectory() as directory:
        seconds = medians(measurements(Path(directory)), REPEATS)
    detail = (
        f"{seconds['cwbench']:.2f} / {seconds['pot']:.2f} s for {OBSERVATIONS} observations, "
        "reference term counted on neither side"
    )
    title = f"ew2sq with self terms / loop over ot.emd2, n = {SAMPLES}, d = 5"
    yield Ratio(title, seconds["cwbench"] / seconds["pot"], 0.6, detail)
