"""How much of plain OT's error comes from pairs (z, y) that its training never showed.

    python -m benchmarks.extrapolation RESULTS --points 10000

For every stored model of `ot-fm` on `eight-gaussians-moons` below RESULTS: W_2^2 of the marginal of
x, once from latents that do not know the condition, as a user draws them, and once from the pairs
(z_i, y_{sigma(i)}) of the minibatch assignment, as the network saw them. The second is what the
flow has learned; what the first has more is the network's extrapolation. Beside them stands what
two exact draws have.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

import cwbench
from cwbench import Record, Task
from cwbench.method import Method
from cwbench.ot.coupling import Coupling, MinibatchOT
from cwbench.ot.wasserstein import wasserstein_power
from cwbench.preset import NFE, Preset
from cwbench.records import beside, storage
from cwbench.records import runs as records
from cwbench_baselines.scaled import ScaledMethod

TASK, METHOD = "eight-gaussians-moons", "ot-fm"


def stored(record: Record, task: Task) -> Method:
    """The fitted method of a record."""
    params = record.method["params"]
    method = cwbench.load_method(METHOD, **params).on(task, Preset(**record.preset_values))
    state, _ = storage.load_model(
        record.directory or Path(), record.fit_id, record.files.get(beside.MODEL)
    )
    method.load_state_dict(state)
    return method


def assigned(z: Tensor, x: Tensor, y: Tensor, size: int, rule: Coupling) -> Tensor:
    """The condition of the data that a rule gives each latent, from OT batches of `size` pairs."""
    parts = zip(z.split(size), x.split(size), y.split(size), strict=True)
    return torch.cat([part[rule(some, data, part)] for some, data, part in parts])


def distances(record: Record, n: int) -> tuple[float, dict[NFE, tuple[float, float]]]:
    """W_2^2 of two exact draws; by NFE, from free latents and from those assigned."""
    task = cwbench.load_task(TASK, **record.task["params"])
    method = stored(record, task)
    generator = torch.Generator().manual_seed(record.seed)
    x, y = task.sample_joint(n, generator)
    z = task.sample_latent(n, generator)
    held_out = task.sample_joint(n, generator).x.double()
    method.spec = replace(method.spec, sample_latent=lambda _n, _generator: z)
    size = record.preset_values["batch_size"] * record.method["params"]["ot_batch"]
    assert isinstance(method, ScaledMethod)  # the assignment is that of its coordinates
    seen = assigned(method.scaling(z), method.scaling(x), y, size, MinibatchOT())

    def distance(fed: Tensor, nfe: NFE) -> float:
        drawn = method.sample(fed, 1, generator, nfe)
        return wasserstein_power(drawn.flatten(1).double(), held_out, p=2.0)

    floor = wasserstein_power(x.double(), held_out, p=2.0)
    both: tuple[NFE, ...] = (1, "adaptive")
    return floor, {nfe: (distance(y, nfe), distance(seen, nfe)) for nfe in both}


def main() -> None:
    """Print a line for each model and NFE."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--points", type=int, default=10_000)
    asked = parser.parse_args()
    read = (records.read(run) for run in records.run_directories(asked.results))
    chosen = [
        record
        for record in read
        if record and (record.task["name"], record.method["name"]) == (TASK, METHOD)
        if ((record.directory or Path()) / beside.MODEL).is_file()
    ]
    if not chosen:
        sys.exit(
            f"no model of {METHOD} on {TASK} in {str(asked.results)!r}; type cwbench run "
            f"--task {TASK} --method {METHOD} --results {asked.results}"
        )
    for record in chosen:
        floor, found = distances(record, asked.points)
        print(f"{record.label}, {record.preset} {record.settings or ''}, seed {record.seed}")
        for nfe, (free, known) in found.items():
            text = f"{free:.3f} from free latents, {known:.3f} from assigned ones"
            print(f"  NFE {nfe}: {text}, two exact draws {floor:.3f}", flush=True)


if __name__ == "__main__":
    main()
