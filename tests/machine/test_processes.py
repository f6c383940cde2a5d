"""Two processes on one fit: the same network as one process finds, written once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import cwbench
from cwbench.errors import UsageError
from cwbench.machine.processes import Processes
from cwbench.training.context import TrainingContext
from cwbench.training.networks import Meter, Networks

REGRESSION = """
    def fit(self, data, context):
        self.network = context.network(self.spec.y_shape[0], self.spec.x_size)
        trainer = Trainer(self.network, context, learning_rate=1e-2, average=0.9)
        context.save({"trainer": trainer})
        for x, y in context.batches():
            trainer.step((self.network(y) - x).square().mean())
        trainer.finish()

    def state_dict(self):
        return self.network.state_dict()
"""


def processes(python: Callable[..., Any], *arguments: str | Path, **variables: str) -> Any:
    start = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone")
    return python(*start, "-m", "cwbench", *arguments, OMP_NUM_THREADS="1", **variables)


@pytest.mark.slow
def test_two_processes_find_the_network_of_one(
    python: Callable[..., Any], method_file: Callable[..., str], results: Path, tmp_path: Path
) -> None:
    """Gradients of equal shares average to that of the batch; noise plays no part here.

    That shares make up the batch is tested without processes below.
    """
    method = method_file(REGRESSION)
    words = ["run", "--no-figures", "--task", "gaussian-linear", "--method", method]
    words += ["--preset", "smoke", "--set", "preset.batch_size=50", "--device", "cpu", "--json"]
    settings = {"preset.batch_size": 50}
    fitted = cwbench.run("gaussian-linear", method, "smoke", settings=settings, device="cpu",
                         quiet=True, figures=False)  # fmt: skip
    alone = json.loads(fitted.to_json())
    together = json.loads(processes(python, *words).stdout)  # one document: process 0 reports
    assert (alone["environment"]["world_size"], together["environment"]["world_size"]) == (1, 2)
    assert alone["fit_key"] != together["fit_key"]
    for key in ("steps", "examples", "network_passes"):
        assert alone["cost"][key] == together["cost"][key]
    models = [
        load_file(next(results.glob(f"runs/*/*/*/{record['fit_key'][:16]}/*/model.safetensors")))
        for record in (alone, together)
    ]
    for name, value in models[0].items():
        assert torch.allclose(value, models[1][name], atol=1e-5), name


@pytest.mark.slow
def test_a_flow_couples_in_each_process(python: Callable[..., Any], results: Path) -> None:
    words = ["run", "--no-figures", "--task", "digits", "--method", "cot-fm", "--preset", "smoke"]
    words += ["--device", "cpu", "--json"]
    record = json.loads(processes(python, *words).stdout)
    assert record["status"] == "ok"
    assert record["diagnostics"]["changed_pairs"] > 0.5
    assert len(list(results.glob("runs/*/*/*/*/*/record.json"))) == 1
    again = json.loads(processes(python, *words).stdout)  # on record: nothing is fitted
    assert again["started"] == record["started"]


def test_shares_of_a_batch_are_the_batch_and_noise_differs() -> None:
    task = cwbench.load_task("gaussian-linear")
    preset = task.info.presets["smoke"].model_copy(update={"batch_size": 12})
    data = task.training_data(100, torch.Generator().manual_seed(0))

    def context(rank: int, size: int) -> TrainingContext:
        networks = Networks(preset, Meter())
        return TrainingContext(data, preset, ("t", 0), networks, processes=Processes(rank, size))

    whole = context(0, 1)
    shares = [context(rank, 3) for rank in range(3)]
    for step in (0, 7, 30):  # 30 steps of 12 are beyond three epochs
        joined = torch.cat([share._order(step) for share in shares])
        assert torch.equal(joined, whole._order(step))
    drawn = [torch.rand(3, generator=share.generator("noise", 5)) for share in shares]
    assert not torch.equal(drawn[0], drawn[1])
    assert torch.equal(drawn[0], torch.rand(3, generator=whole.generator("noise", 5)))
    common = [torch.rand(3, generator=share.generator("calibration")) for share in shares]
    assert torch.equal(common[0], common[2])


def test_a_batch_that_cannot_be_split_is_refused() -> None:
    with pytest.raises(UsageError, match=r"batch of 10 .* 3 processes.*batch_size=9"):
        Processes(0, 3).share(10)


def test_a_sweep_is_not_started_by_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(UsageError, match=r"cwbench sweep starts its own processes"):
        cwbench.sweep("gaussian-linear", "prior", preset="smoke")
