"""The search behind the defaults of imaging problems: how far posteriors are from Gaussian.

    python -m benchmarks.gaps [--task TASK] [--prior PRIOR]

measures, for every setting of a grid, what `cwbench describe` prints, on 20 observations and 200
samples a side. A default is the setting with the least noise whose Gaussian gap is at least .10; a
prior without one is nearly Gaussian under that operator. A minute for each pair.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import torch

from cwbench.api import load_task
from cwbench.judging.difficulty import Difficulty, difficulty

PRIORS = ("digits", "patches", "mnist", "fashion", "patches32")
NOISES = (0.5, 1.0, 1.5, 3.0)
OPERATORS: Mapping[str, Mapping[str, Any]] = {
    "super-resolution": {"factor": (None,)},
    "inpainting": {"seen": (0.05,)},
    "deblurring": {"width": (0.25,)},  # of the side
    "tomography": {"views": (1, 2)},
}
HOLES = {"inpainting": {"mask": ("hole",), "hole": (0.6,)}}
SAMPLES = 200


def settings_of(task: str, prior: str) -> Iterator[dict[str, Any]]:
    """Each setting of the grid."""
    side = load_task(task, prior=prior).x_shape[1]
    for grid in filter(None, (OPERATORS.get(task), HOLES.get(task))):
        for values in product(*grid.values(), NOISES):
            given = dict(zip([*grid, "noise"], values, strict=True)) | {"prior": prior}
            if "width" in given:
                given["width"] *= side
            yield given


def measured(task: str, given: Mapping[str, Any]) -> Difficulty:
    """One line's numbers."""
    made = load_task(task, **given)
    preset = made.info.presets["quick"].model_copy(update={"samples": SAMPLES})
    return difficulty(made, preset)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", nargs="*", choices=OPERATORS, default=list(OPERATORS))
    parser.add_argument("--prior", nargs="*", choices=[*PRIORS, "cifar"], default=PRIORS)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    print("| task | prior | settings | gap | resolution | modes |\n|---|---|---|---|---|---|")
    for task, prior in product(chosen.task, chosen.prior):
        for given in settings_of(task, prior):
            found = measured(task, given)
            told = " ".join(f"{k}={v}" for k, v in given.items() if k != "prior" and v is not None)
            gap = f"{found.gaussian_gap:.3f} ± {found.gaussian_gap_error:.3f}"
            numbers = f"{gap} | {found.resolution:.2f} | {found.modes:.1f}"
            print(f"| {task} | {prior} | {told} | {numbers} |", flush=True)


if __name__ == "__main__":
    main()
