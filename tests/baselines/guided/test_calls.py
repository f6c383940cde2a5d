"""The ready sweeps of samplers that know the operator spend the calls that their names say."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch import Generator

from cwbench.api import load_task
from cwbench.running.request import problem_spec
from cwbench.sweeping.file import read
from cwbench.sweeping.matrix import Combination
from cwbench.sweeping.request import sweep_request
from cwbench.training.context import TrainingContext
from cwbench.training.networks import Meter, Networks

SWEEPS = Path(__file__).parents[3] / "sweeps"
KEYS = ["task", "method", "preset", "seeds", "set"]
NO_DENOISER = {"oracle", "oracle-gaussian", "prior", "fm", "cot-fm", "diffusion", "npe",
               "npe-importance"}  # fmt: skip


def combinations(file: str) -> list[Combination]:
    """Those of a file on one small task, with the exact denoiser, at the first seed."""
    words = read(SWEEPS / file, KEYS)
    own = {k: v for k, v in words["set"].items() if not k.endswith(".noise")}
    methods = [m for m in words["method"] if m not in NO_DENOISER]
    if find_spec("azula") is None:
        methods = [m for m in methods if not m.startswith("azula-")]
    kept = {k: v for k, v in own.items() if k.split(".")[0] in {"method", *methods}}
    small = {"task": "gaussian-linear", "method": methods, "seeds": "0"}
    chosen = kept | {"method.denoiser": "exact"}
    return sweep_request(words | small | {"set": chosen}).matrix.combinations()


def calls(combination: Combination) -> float:
    """Of the denoiser, a draw."""
    task, request, meter = load_task("gaussian-linear"), combination.request, Meter()
    preset, cpu = task.info.presets["smoke"], torch.device("cpu")
    spec = problem_spec(task, request.method, request.method_params, preset, meter, cpu)
    method = request.method(request.method_params, spec)
    data = task.training_data(100, Generator().manual_seed(0))
    method.fit(data, TrainingContext(data, preset, ("test", 0), Networks(preset, meter)))
    y = task.evaluation_set(1, Generator().manual_seed(1)).y
    method.sample(y, 2, Generator().manual_seed(2))
    return meter.evaluations / 2


@pytest.mark.parametrize(
    ("file", "wanted"),
    [
        ("ladder-20.toml", 20),
        pytest.param("known-operator.toml", 100, marks=pytest.mark.slow),
        pytest.param("known-operator-20.toml", 20, marks=pytest.mark.slow),
        pytest.param("ladder-1000.toml", 1_000, marks=pytest.mark.slow),
    ],
)
def test_every_sampler_spends_the_same_calls(file: str, wanted: int) -> None:
    spent = {one.method: calls(one) for one in combinations(file)}
    assert len(spent) >= 9
    assert spent == dict.fromkeys(spent, wanted)
