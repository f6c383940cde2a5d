"""How far couplings that feed the data's condition shift the latents of a condition.

    python -m benchmarks.latent_shift

A flow samples from latents that do not know the condition. Where its training pairs have
E[Z | Y = y] other than 0, it starts from the wrong place for that y, though a single latent may
hardly tell y, which is what `prior_skew` in a record says. So: E|E[Z | Y]|^2 over pairs made by
each rule, by nearest neighbours on one half of the pairs and the inner product with the other half,
which has mean 0 where there is no shift. The latents have E|Z|^2 = d.
"""

from __future__ import annotations

import argparse

import torch
from sklearn.neighbors import KNeighborsRegressor
from torch import Tensor

import cwbench
from benchmarks.extrapolation import assigned
from cwbench.ot.c2ot import ConditionAwareOT
from cwbench.ot.coupling import Coupling, Independent, MinibatchOT
from cwbench.ot.regression import Standardised
from cwbench.ot.scaling import Scaling
from cwbench.task import Task

RULES: dict[str, Coupling] = {
    "independent": Independent(),
    "c2ot": ConditionAwareOT(0.005),
    "c2ot, diagonal=row": ConditionAwareOT(0.005, diagonal="row"),
    "c2ot, distance=squared": ConditionAwareOT(0.005, "squared"),
    "c2ot, distance=squared, r_tar=0.002": ConditionAwareOT(0.002, "squared"),
    "ot-fm": MinibatchOT(),
}
NEIGHBOURS = 100


def fed_pairs(task: Task, rule: Coupling, n: int, size: int, seed: int) -> tuple[Tensor, Tensor]:
    """`n` pairs (z, y) as a network is fed them, from OT batches of `size`.

    All are in the coordinates in which methods couple: x and y standardised, latents that a task
    brings mapped like x.
    """
    generator = torch.Generator().manual_seed(seed)
    x, y = task.sample_joint(n, generator)
    z = task.sample_latent(n, generator)
    scaling, y = Scaling.of(x, by_channel=True), Standardised(y)(y)
    z = scaling(z) if type(task).sample_latent is not Task.sample_latent else z
    return z.flatten(1), assigned(z, scaling(x), y, size, rule)


def shift(z: Tensor, y: Tensor) -> tuple[float, float]:
    """E|E[Z | Y]|^2 and its standard error."""
    half = len(z) // 2
    seen = KNeighborsRegressor(NEIGHBOURS).fit(y[:half], z[:half])
    predicted = torch.from_numpy(seen.predict(y[half:]))
    product = (predicted * z[half:]).sum(1).double()
    return float(product.mean()), float(product.std() / half**0.5)


def main() -> None:
    """Print a line for each rule."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--task", default="gaussian-mixture-informative")
    parser.add_argument("--pairs", type=int, default=40_000)
    parser.add_argument("--batch", type=int, default=1_000, help="the OT batch")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    task = cwbench.load_task(asked.task)
    for name, rule in RULES.items():
        z, y = fed_pairs(task, rule, asked.pairs, asked.batch, asked.seed)
        value, error = shift(z, y)
        print(f"{name:<40} {value:7.4f} +- {error:.4f} of {z.shape[1]}", flush=True)


if __name__ == "__main__":
    main()
