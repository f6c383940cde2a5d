"""The search behind the defaults of imaging problems: how far posteriors are from Gaussian.

    python -m benchmarks.gaps --defaults    # the table of docs/tasks.md
    python -m benchmarks.gaps --search [--task TASK] [--prior PRIOR]

Both measure what `cwbench describe` prints, on as many observations and samples, of the defaults or
for every setting of a grid. A default is the setting with the least noise whose Gaussian gap is at
least .10; a prior without one is nearly Gaussian under that operator. On one core a minute for each
default of the larger priors, some minutes for each pair of the search.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import torch

from cwbench import registry
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
SHOWN: Mapping[str, tuple[str, ...]] = {
    "super-resolution": ("noise",),
    "inpainting": ("seen", "noise"),
    "deblurring": ("width", "noise"),
    "tomography": ("views", "noise"),
}
"""The settings whose defaults depend on the prior, or decide the gap."""
SAMPLES = 500
COLOUR = "patches32 in colour"


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
    return difficulty(made, made.info.presets["quick"].model_copy(update={"samples": SAMPLES}))


def default_of(task: str, column: str) -> dict[str, Any]:
    """The prior of a column and the settings that it comes with."""
    prior: dict[str, Any] = {"prior": column}
    if column == COLOUR:
        prior = {"prior": "patches32", "colour": True}
    params = registry.load("task", task).cls.Params(**prior)
    return prior | {name: getattr(params, name) for name in SHOWN[task]}


def told(given: Mapping[str, Any]) -> str:
    """Settings as they are typed, but for the prior."""
    kept = {k: v for k, v in given.items() if k not in ("prior", "colour") and v is not None}
    return ", ".join(f"{name}={value}" for name, value in kept.items())


def print_defaults() -> None:
    """The table of the defaults: for each task and prior setting, gap and modes."""
    columns = [*PRIORS, COLOUR]
    print("| task | |", " | ".join(f"`{each}`" for each in columns), "|")
    print("|---" * (2 + len(columns)) + "|")
    for task in OPERATORS:
        defaults = [default_of(task, column) for column in columns]
        print(f"| `{task}` | setting |", " | ".join(map(told, defaults)), "|", flush=True)
        found = [measured(task, given) for given in defaults]
        gaps = [f"{one.gaussian_gap:.3f} ± {one.gaussian_gap_error:.3f}" for one in found]
        print("| | gap |", " | ".join(gaps), "|")
        print("| | modes |", " | ".join(f"{one.modes:.1f}" for one in found), "|", flush=True)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", nargs="*", choices=OPERATORS, default=list(OPERATORS))
    parser.add_argument("--prior", nargs="*", choices=[*PRIORS, "cifar"], default=PRIORS)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--defaults", action="store_true", help="of the tasks")
    which.add_argument("--search", action="store_true", help="a grid of settings")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    if chosen.defaults:
        print_defaults()
        return
    print("| task | prior | settings | gap | resolution | modes |\n|---|---|---|---|---|---|")
    for task, prior in product(chosen.task, chosen.prior):
        for given in settings_of(task, prior):
            found = measured(task, given)
            gap = f"{found.gaussian_gap:.3f} ± {found.gaussian_gap_error:.3f}"
            numbers = f"{gap} | {found.resolution:.2f} | {found.modes:.1f}"
            print(f"| {task} | {prior} | {told(given)} | {numbers} |", flush=True)


if __name__ == "__main__":
    main()
