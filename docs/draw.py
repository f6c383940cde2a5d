"""The figures of the guide, and the numbers printed in it: `python docs/draw.py [DIRECTORY]`.

Everything is computed by the suite, from fixed seeds; a minute on one core.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Generator, Tensor

import cwbench
from cwbench.judging.judge import Judge
from cwbench.judging.measured import Scores
from cwbench.metrics.wasserstein import W2Squared
from cwbench.ot import (
    bures_wasserstein_squared,
    conditional_wasserstein_power,
    joint_wasserstein_power,
)
from cwbench.preset import Preset
from cwbench.style import EXACT, GREY, MODEL, style
from cwbench.task import Task

SCALES = (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4)
STRIPES = (1, 2, 4, 8, 16, 32)


def stream(seed: int) -> Generator:
    """A generator of its own."""
    return Generator().manual_seed(seed)


def judge(task: Task, observations: int, samples: int) -> Judge:
    """What `cwbench run` judges by, in a size of our own."""
    size = {"training_pairs": 1, "steps": 1, "observations": observations, "samples": samples}
    return Judge(task, Preset.model_validate(size))


def ew2sq(by: Judge, samples: Tensor) -> Scores:
    """E_y[W_2^2], observation by observation."""
    return by.score(W2Squared(by.task), samples)


def floor() -> Figure:
    """Plug-in and debiased value of exact draws by n, and of draws scaled about their mean."""
    with style():
        figure = Figure(figsize=(8.2, 3.0), layout="constrained")
        left, right = figure.subplots(1, 2)
        for d, shade in ((2, 0.35), (5, 0.65), (20, 1.0)):
            task = cwbench.load_task("gaussian-linear", dimension=d)
            sizes, plug_in, value = (50, 100, 200, 400), [], []
            for n in sizes:
                by = judge(task, 30, n)
                scores = ew2sq(by, task.sample_posterior(by.observations.y, 2 * n, stream(1)))
                scale = task.posterior_moments(by.observations.y).covariance[0].trace()
                plug_in.append(float(scores.plug_in.mean() / scale))
                value.append(float(scores.value.mean() / scale))
                print(f"floor    d = {d:2d}, n = {n:3d}: {plug_in[-1]:.3f} {value[-1]:+.3f}")
            left.plot(sizes, plug_in, "o-", color=(*MODEL, shade), label=f"plug-in, d = {d}", ms=4)
            left.plot(sizes, value, "s:", color=(*EXACT, shade), ms=4)
        left.plot([], [], "s:", color=EXACT, label="debiased, each d", ms=4)
        left.axhline(0, color=GREY, lw=0.8)
        left.set(xscale="log", xticks=sizes, xlabel="n, samples a side")
        left.set_xticklabels(sizes)
        left.minorticks_off()
        left.set_ylabel(r"$E_y[W_2^2]$ / tr Cov(posterior)")
        left.set_title("A perfect sampler", loc="left")
        left.legend(frameon=False, fontsize=8)
        _scaled(right)
    return figure


def _scaled(ax: Axes) -> None:
    """Two ways to remove the floor, for posteriors that are too narrow or too wide."""
    task = cwbench.load_task("gaussian-linear", dimension=20)
    by = judge(task, 30, 200)
    y, n = by.observations.y, by.preset.samples
    mean, covariance = task.posterior_moments(y)
    exact = task.sample_posterior(y, 2 * n, stream(2)).double() - mean[:, None]
    debiased, subtracted, true = [], [], []
    for s in SCALES:
        scores = ew2sq(by, mean[:, None] + s * exact)
        debiased.append(float(scores.value.mean()))
        subtracted.append(float((scores.plug_in - scores.floor).mean()))
        true.append((1 - s) ** 2 * float(covariance[0].trace()))
        text = f"true {true[-1]:.3f}, minus floor {subtracted[-1]:+.3f}"
        print(f"scaled   s = {s}: {text}, debiased {debiased[-1]:+.3f}")
    ax.plot(SCALES, true, color=GREY, lw=3, alpha=0.5, label="true")
    ax.plot(SCALES, subtracted, "o-", color=MODEL, ms=4, label="plug-in minus floor")
    ax.plot(SCALES, debiased, "s-", color=EXACT, ms=4, label="debiased: cross − (self + self)/2")
    ax.axhline(0, color=GREY, lw=0.8)
    ax.set(xlabel="scale of the model's posterior; 1 is right", ylabel=r"$E_y[W_2^2]$, d = 20")
    ax.set_title("Too narrow, too wide", loc="left")
    ax.legend(frameon=False, fontsize=8)


def joint() -> Figure:
    """A model with every posterior wrong, near in the joint distance."""
    y = (torch.arange(512) + 0.5)[:, None].double() / 512
    nearest, within = [], []
    for k in STRIPES:
        x = stripes(y, k)
        nearest.append(joint_wasserstein_power(x, y, -x, y, p=2) ** 0.5)
        within.append(conditional_wasserstein_power(x, y, -x, y, p=2) ** 0.5)
        print(f"joint    {2 * k:2d} stripes: joint {nearest[-1]:.3f}, conditional {within[-1]:.3f}")
    with style():
        figure = Figure(figsize=(8.2, 2.7), layout="constrained")
        left, right = figure.subplots(1, 2)
        shown = stripes(y, 8)
        left.scatter(y, shown, s=3, color=EXACT, label="truth: x given y")
        left.scatter(y, -shown, s=3, color=MODEL, label="model: the other sign")
        left.set(xlabel="y", ylabel="x", ylim=(-1.4, 2.1), yticks=(-1, 1))
        left.set_title("Every posterior is wrong", loc="left")
        left.legend(frameon=False, fontsize=8, ncols=2, markerscale=3, loc="upper left")
        counts = [2 * k for k in STRIPES]
        right.plot(counts, within, "s-", color=EXACT, ms=4, label=r"conditional, $W_{2,Y}$")
        right.plot(counts, nearest, "o-", color=MODEL, ms=4, label=r"joint, $W_2$ of (x, y)")
        right.set(xscale="log", xticks=counts, ylim=(0, 2.3), xlabel="stripes", ylabel="distance")
        right.set_xticklabels(counts)
        right.minorticks_off()
        right.set_title("The joint distance moves mass in y", loc="left")
        right.legend(frameon=False, fontsize=8)
    return figure


def stripes(y: Tensor, k: int) -> Tensor:
    """X = 1 or -1 by turns along y, with shape `(n, 1)`."""
    return 1.0 - 2.0 * ((2 * k * y).long() % 2)


Sampler = Callable[[Tensor, int, int], Tensor]


def samplers(task: Task) -> Iterator[tuple[str, Sampler]]:
    """Four samplers without training: right, right in moments, a point, and blind to y."""

    def gaussian(y: Tensor, n: int, seed: int) -> Tensor:
        mean, covariance = task.posterior_moments(y)
        noise = torch.randn(len(y), n, mean.shape[1], dtype=torch.float64, generator=stream(seed))
        return mean[:, None] + noise @ torch.linalg.cholesky(covariance).mT

    yield "exact posterior", lambda y, n, seed: task.sample_posterior(y, n, stream(seed))
    yield "Gaussian of its moments", gaussian
    yield (
        "its mean, n times",
        lambda y, n, _: task.posterior_moments(y).mean[:, None].expand(-1, n, -1),
    )
    yield (
        "prior, blind to y",
        lambda y, n, seed: task.sample_joint(len(y) * n, stream(seed)).x.unflatten(0, (len(y), n)),
    )


def frechet(a: Tensor, b: Tensor) -> float:
    """FID's formula on x itself: no network, all observations in one pool."""
    moments = ((part.mean(0), part.T.cov()) for part in (a.flatten(1), b.flatten(1)))
    return bures_wasserstein_squared(*(m for pair in moments for m in pair))


def judges() -> Figure:
    """FID's formula, PSNR of the posterior mean and ew2sq, for the same four samplers."""
    task = cwbench.load_task("deblurring")
    by = judge(task, 30, 200)
    pool = task.sample_joint(4_000, stream(3))
    numbers: dict[str, tuple[float, float, float]] = {}
    for name, sampler in samplers(task):
        pooled = torch.cat([sampler(y, 1, 10 + i)[:, 0].flatten(1).double()
                            for i, y in enumerate(pool.y.split(500))])  # fmt: skip
        mean = sampler(by.observations.y, 400, 4).reshape(30, 400, -1).double().mean(1)
        error = (mean - by.observations.x.flatten(1)).square().mean(1)
        samples = sampler(by.observations.y, 400, 5).reshape(30, 400, *task.x_shape)
        psnr = float((-10 * error.log10()).mean())
        fid = frechet(pooled, task.sample_joint(4_000, stream(6)).x.double())
        numbers[name] = fid, psnr, float(ew2sq(by, samples).value.mean())
        print("judges   {}: FID's formula {:.3f}, PSNR {:.2f}, ew2sq {:+.3f}".format(
            name, *numbers[name]))  # fmt: skip
    heads = ("FID's formula on x, ↓", "PSNR of the mean (dB), ↑", r"$E_y[W_2^2]$, debiased, ↓")
    with style():
        figure = Figure(figsize=(8.2, 2.2), layout="constrained")
        for column, (ax, head) in enumerate(zip(figure.subplots(1, 3, sharey=True), heads,
                                                strict=True)):  # fmt: skip
            values = [row[column] for row in numbers.values()]
            bars = ax.barh(list(numbers), values, color=EXACT if column == 2 else MODEL)
            ax.bar_label(bars, [f"{value:.2f}" for value in values], padding=2, fontsize=8)
            ax.set_title(head, loc="left", fontsize=9)
            ax.set_xlim(-0.15 * max(values) if min(values) < 0 else 0, 1.3 * max(values))
            ax.tick_params(left=False)
        ax.invert_yaxis()
    return figure


def tiles(images: Tensor, rows: int) -> np.ndarray:
    """Images `(n, channels, height, width)` side by side in so many rows, `(H, W, channels)`."""
    grid = images.clamp(0, 1).unflatten(0, (rows, -1)).permute(0, 3, 1, 4, 2)
    return grid.flatten(0, 1).flatten(1, 2).numpy()


def priors() -> Figure:
    """Draws of each prior of factor analysers."""
    named = {"mnist": {}, "fashion": {}, "patches32": {}, "patches32, colour": {"colour": True}}
    with style():
        figure = Figure(figsize=(8.2, 3.7), layout="constrained")
        for ax, (name, given) in zip(figure.subplots(2, 2).flat, named.items(), strict=True):
            task = cwbench.load_task("super-resolution", prior=name.split(",")[0], **given)
            ax.imshow(tiles(task.sample_joint(48, stream(7)).x, 4), cmap="grey", vmin=0, vmax=1)
            ax.set_title(f"prior {name}", loc="left", fontsize=9)
            ax.set_axis_off()
    return figure


def digits() -> Figure:
    """Three images, the 4x4 means that are seen of them, and draws of what they may have been."""
    task = cwbench.load_task("super-resolution", prior="mnist")
    x, y = task.evaluation_set(3, stream(8))
    draws = task.sample_posterior(y, 14, stream(9))
    with style():
        figure = Figure(figsize=(8.2, 1.9), layout="constrained")
        axes = figure.subplots(3, 3, width_ratios=(1, 1, 14))
        for row, (left, middle, right) in enumerate(axes):
            for ax, images in ((left, x[row : row + 1]), (right, draws[row])):
                ax.imshow(tiles(images, 1), cmap="grey", vmin=0, vmax=1)
            middle.imshow(y[row, 0], cmap="grey")
            for ax in (left, middle, right):
                ax.set_axis_off()
        for ax, title in zip(axes[0], ("truth", "y", "draws of the exact posterior"), strict=True):
            ax.set_title(title, loc="left", fontsize=9)
    return figure


if __name__ == "__main__":
    place = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("figures")
    torch.set_num_threads(1)
    np.random.seed(0)  # noqa: NPY002 - matplotlib's ids of clip paths
    for draw in (floor, joint, judges, priors, digits):
        draw().savefig(place / f"{draw.__name__}.png", dpi=130, metadata={"Software": None})
