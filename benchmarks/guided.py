"""The search behind the settings of samplers that know the operator: up to twelve trials, on `dev`.

    python -m benchmarks.guided RESULTS

Each trial is a run of preset `quick` with twelve held-out observations of split `dev`, 2 x 40 draws
each, on the learned prior that all of a task share, at about 100 calls of the denoiser a draw
(`dps` at 20 as well, `latent-mcmc` at about 1,000). `pigdm` has four trials, as it has one setting
besides its steps. Where the best setting lies at the end of its grid there is a second round of up
to twelve beyond that end. What counts is the mean over tasks of `scaled`, a method's `ew2sq` over
that of `prior`: a default stands unless another setting is ahead by more than a tenth, and then it
is the lowest. `npe-importance` takes what `benchmarks.defaults` finds for `npe`. What stands in the
output is not run again, so that a search may be stopped; rows of a method that was changed have to
be taken out of it first.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

import cwbench

COMMITTED = Path(__file__).parents[1] / "results" / "guided-defaults.csv"
COLUMNS = ["search", "setting", "task", "status", "ew2sq", "scaled"]
TASKS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("gaussian-linear", {}),
    ("gaussian-mixture-informative", {}),
    ("deblurring", {"task.noise": 0.2}),
)
SMALL = {"preset.split": "dev", "preset.observations": 12, "preset.samples": 40,
         "preset.metrics": ["ew2sq"]}  # fmt: skip
ZETAS = (0.03, 0.06, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.5, 4.0, 7.0)
ALPHAS = (0.001, 0.003, 0.01, 0.03)
Trial = dict[str, Any]


def grid(**values: Iterable[Any]) -> list[Trial]:
    """All combinations; a tuple under several names, `a__b`, sets them together."""
    trials = []
    for chosen in itertools.product(*values.values()):
        trial: Trial = {}
        for names, value in zip(values, chosen, strict=True):
            parts = names.split("__")
            trial |= dict(zip(parts, value if len(parts) > 1 else (value,), strict=True))
        trials.append(trial)
    return trials


SEARCH: dict[str, tuple[str, list[Trial]]] = {
    "dps-100": ("dps", grid(steps=(100,), zeta=ZETAS)),
    "dps-20": ("dps", grid(steps=(20,), zeta=ZETAS)),
    "langevin": ("langevin", grid(
        levels__steps=((100, 1), (50, 2), (20, 5)), step=(0.25, 0.5), sigma_min=(0.01, 0.1),
        sigma_max=(30.0,),
    )),
    "daps": ("daps", grid(
        steps__ode_steps=((20, 5), (50, 2)), step=(0.1, 0.5), sigma_max=(10.0, 30.0, 100.0),
    )),
    "pnp-dm": ("pnp-dm", grid(
        steps__inner=((20, 5), (50, 2), (10, 10)), rho_max=(3.0, 10.0), rho_min=(0.03, 0.1),
    )),
    "tds": ("tds", grid(
        steps__particles=((10, 10), (20, 5), (33, 3), (50, 2)), alpha_min=(0.003, 0.01, 0.03),
    )),
    "mcgdiff": ("mcgdiff", grid(
        steps__particles=((10, 10), (20, 5), (33, 3), (50, 2)), alpha_min=(0.003, 0.01, 0.03),
    )),
    "pigdm": ("pigdm", grid(steps=(100,), alpha_min=ALPHAS)),
    "mmps": ("mmps", grid(steps=(100,), alpha_min=ALPHAS, tolerance=(1e-6, 1e-2, 1e-1))),
    "pnp-flow": ("pnp-flow", grid(
        steps__average=((100, 1), (50, 2), (20, 5), (10, 10)), exponent=(0.1, 0.5, 1.0),
    )),
    "latent-mcmc": ("latent-mcmc", grid(
        moves__ode_steps=((201, 5), (100, 10), (49, 20), (24, 40)), sigma_max=(3.0, 10.0, 30.0),
    )),
    "langevin-2": ("langevin", grid(
        levels__steps=((100, 1),), step=(0.5, 1.0, 1.5), sigma_max=(10.0, 30.0),
        sigma_min=(0.1, 0.3),
    )),
    "daps-2": ("daps", grid(
        steps__ode_steps=((50, 2), (100, 1)), step=(0.5, 1.0), sigma_max=(3.0, 5.0, 10.0),
    )),
    "pnp-dm-2": ("pnp-dm", grid(
        steps__inner=((50, 2), (33, 3), (100, 1)), rho_max=(1.0, 3.0), rho_min=(0.01, 0.03),
    )),
    "tds-2": ("tds", grid(
        steps__particles=((20, 5), (25, 4), (33, 3)), alpha_min=(0.03, 0.06, 0.1, 0.2),
    )),
    "mcgdiff-2": ("mcgdiff", grid(
        steps__particles=((20, 5), (25, 4), (33, 3)), alpha_min=(0.03, 0.06, 0.1, 0.2),
    )),
}  # fmt: skip
"""A name of each search, its method, and at most twelve trials."""


def value(task: str, method: str, given: Mapping[str, Any], results: Path) -> tuple[str, Any]:
    """The status of a trial and its `ew2sq`."""
    record = cwbench.run(
        task, method, preset="quick", settings=dict(given), results=results, figures=False,
        quiet=True,
    )  # fmt: skip
    entries = (e["value"] for i, e in record.metrics.items() if i.startswith("ew2sq"))
    return record.status, next(entries, None)


def searched(name: str, results: Path, known: set[tuple[str, ...]]) -> Iterator[dict[str, Any]]:
    """The rows of a search but those whose search, setting and task are known."""
    method, trials = SEARCH[name]
    for task, changed in TASKS:
        for trial in trials:
            setting = " ".join(f"{key}={v}" for key, v in trial.items())
            if (name, setting, task) in known:
                continue
            _, prior = value(task, "prior", SMALL | changed, results)
            given = SMALL | changed | {f"method.{key}": v for key, v in trial.items()}
            status, found = value(task, method, given, results)
            scaled = None if found is None else found / prior
            print(name, setting, task, status, scaled, flush=True)
            yield {"search": name, "setting": setting, "task": task, "status": status,
                   "ew2sq": found, "scaled": scaled}  # fmt: skip


def main() -> None:
    """Run the trials that are lacking and write the table after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("--output", type=Path, default=COMMITTED)
    parser.add_argument("--only", nargs="*", default=list(SEARCH), choices=SEARCH)
    arguments = parser.parse_args()
    table = pd.DataFrame(columns=COLUMNS)
    if arguments.output.exists():
        table = pd.read_csv(arguments.output)
    known = set(table[COLUMNS[:3]].itertuples(index=False, name=None))
    for name in arguments.only:
        for row in searched(name, arguments.results, known):
            table = pd.concat([table, pd.DataFrame([row])]) if len(table) else pd.DataFrame([row])
            table.to_csv(arguments.output, index=False, float_format="%.4g")
    means = table.groupby(["search", "setting"], sort=False)["scaled"].mean()
    print(means.to_string())


if __name__ == "__main__":
    main()
