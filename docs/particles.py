"""How the samplers with particles approach the exact posterior: `python docs/particles.py`.

With the exact denoiser, `ew2sq` of `tds` on the exact kernel as particles grow at ten steps, and of
`mcgdiff` as particles and steps grow together. Writes `docs/figures/particles.png` and its numbers
beside it; some minutes on one core, from fixed seeds.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Generator

from cwbench.api import load_method, load_task
from cwbench.judging.judge import Judge
from cwbench.metrics.wasserstein import W2Squared
from cwbench.preset import Preset
from cwbench.running.request import problem_spec
from cwbench.style import EXACT, GREY, MODEL, style
from cwbench.training.networks import Meter

TASK = "gaussian-mixture-informative"
FIGURES = Path(__file__).parent / "figures"
OBSERVATIONS, SAMPLES = 16, 40
TDS = [(10, particles) for particles in (1, 2, 4, 8, 16, 32)]
MCGDIFF = [(4, 1), (8, 2), (16, 4), (32, 8), (64, 16), (128, 32)]


def stream(seed: int) -> Generator:
    """A generator of its own."""
    return Generator().manual_seed(seed)


def measured(name: str, steps: int, particles: int, **settings: Any) -> dict[str, Any]:
    """The mean of `ew2sq` over observations with its 95 % interval."""
    task = load_task(TASK)
    size = {"training_pairs": 500, "steps": 1, "observations": OBSERVATIONS, "samples": SAMPLES}
    preset = Preset.model_validate(size)
    settings |= {"steps": steps, "particles": particles, "alpha_min": 0.01}
    chosen = load_method(name, denoiser="exact", **settings)
    cpu, context = torch.device("cpu"), SimpleNamespace(standardise=True)
    spec = problem_spec(task, chosen.cls, chosen.params, preset, Meter(), cpu)
    method: Any = chosen.cls(chosen.params, spec)
    method.fit(task.training_data(500, stream(0)), context)
    judge = Judge(task, preset)
    samples = method.sample(judge.observations.y, 2 * SAMPLES, stream(1))
    values = judge.score(W2Squared(task), samples).value.double()
    half = 2.13 * float(values.std()) / len(values) ** 0.5  # t of 15 degrees of freedom
    mean = float(values.mean())
    row = {"method": name, "steps": steps, "particles": particles, "ew2sq": mean,
           "low": mean - half, "high": mean + half}  # fmt: skip
    print(
        " ".join(f"{v:.4g}" if isinstance(v, float) else str(v) for v in row.values()), flush=True
    )
    return row


def drawn(table: pd.DataFrame) -> Figure:
    """Both methods against the denoiser calls of a draw."""
    with style():
        figure = Figure(figsize=(6.4, 3.2), layout="constrained")
        ax = figure.subplots()
        titles = {"tds": "tds, exact kernel: 10 steps, 1 to 32 particles",
                  "mcgdiff": "mcgdiff: steps and particles grow together"}  # fmt: skip
        for (name, rows), colour in zip(table.groupby("method"), (EXACT, MODEL), strict=True):
            bars = rows["ew2sq"] - rows["low"]
            calls = rows["steps"] * rows["particles"]
            ax.errorbar(calls, rows["ew2sq"], bars, fmt="o-", ms=4, capsize=2, color=colour,
                        label=titles[str(name)])  # fmt: skip
        ax.axhline(0, color=GREY, lw=0.8)
        ax.set(xscale="log", xlabel="calls of the exact denoiser a draw")
        ax.set_yscale("symlog", linthresh=0.1)
        ax.set_ylabel(r"$E_y[W_2^2]$ (linear below .1)")
        ax.set_title(f"{TASK}: only particles remain", loc="left")
        ax.legend(frameon=False, fontsize=8)
    return figure


def main() -> None:
    """Measure, write the numbers and draw them."""
    rows = [measured("tds", *size, kernel="exact") for size in TDS]
    rows += [measured("mcgdiff", *size) for size in MCGDIFF]
    table = pd.DataFrame(rows)
    table.to_csv(FIGURES / "particles.csv", index=False, float_format="%.4g")
    drawn(table).savefig(FIGURES / "particles.png", dpi=120)


if __name__ == "__main__":
    main()
