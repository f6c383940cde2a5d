"""What differs on a GPU: where tensors lie, bfloat16, a compiled U-Net, couplings beside it.

Skipped where there is no CUDA device. The same paths run on the CPU in the tests of their rooms.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from registered import methods, trained_in_batches
from torch import Tensor
from torch.utils.data import TensorDataset

from cwbench.api import load_method, load_task
from cwbench.errors import Interrupted
from cwbench.images import to_x
from cwbench.machine.streams import stream
from cwbench.method import Method
from cwbench.metrics.features import efficientnet
from cwbench.preset import Preset
from cwbench.running.request import problem_spec
from cwbench.training.context import TrainingContext
from cwbench.training.loop import Trainer
from cwbench.training.networks import Condition, Meter, Networks
from cwbench.training.unet import Recipe, UNet
from cwbench_baselines.flows.loss import VelocityNetwork, velocity_loss

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
]
GPU = torch.device("cuda")
SHAPE, PARTS, TINY = (1, 8, 8), (64, 1, 10), Recipe(8, (1, 2), 1, (4,))
IMAGES_ALONE = {name for name, cls in methods().items() if "stored-images" in cls.info.needs}
SMALLER = {
    "daps": {"steps": 5},
    "langevin": {"levels": 20},
    "latent-mcmc": {"moves": 8},
    "npe-importance": {"proposals": 8},
}


@pytest.mark.parametrize("method", sorted(set(methods()) - IMAGES_ALONE))
def test_every_method_measures_on_a_gpu_what_it_measures_on_the_cpu(run, method: str) -> None:
    """Random numbers are drawn on the CPU: rounding is what is left, which fits amplify."""
    settings = {f"method.{k}": v for k, v in SMALLER.get(method, {}).items()}
    settings |= {"preset.observations": 4}
    here, there = (
        run(method, settings=settings, device=d, results=None, force=True) for d in ("cpu", "cuda")
    )
    assert (here.status, there.status) == ("ok", "ok"), there.error
    assert there.environment["device"] == "cuda" and there.environment["gpu"]
    assert there.cost["peak_memory_bytes"] > 0
    for name, entry in there.metrics.items():
        if entry.ranks and entry.value is not None:
            other = here.metrics[name]
            half = max(entry.high - entry.low, other.high - other.low) / 2
            assert abs(entry.value - other.value) <= half, name


def flow(device: torch.device, directory: Path | None = None, **preset: object) -> TrainingContext:
    sizes = {
        "training_pairs": 64, "steps": 40, "batch_size": 16, "width": 8, "depth": 1,
        "observations": 2, "samples": 2,
    } | preset  # fmt: skip
    x = torch.arange(64.0)[:, None]
    chosen = Preset(**sizes)
    data, networks = TensorDataset(x, -x), Networks(chosen, Meter())
    return TrainingContext(data, chosen, ("gpu", 0), networks, device, directory, "fit")


def shuffled(step: int, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(step))
    return x[order], y


@pytest.mark.parametrize("group", [1, 4])
def test_batches_arrive_on_the_gpu_as_they_are_on_the_cpu(group: int) -> None:
    for here, there in zip(
        flow(torch.device("cpu")).batches(shuffled, group=group),
        flow(GPU).batches(shuffled, group=group),
        strict=True,
    ):
        assert all(part.device.type == "cuda" for part in there)
        assert all(torch.equal(a, b.cpu()) for a, b in zip(here, there, strict=True))


def test_couplings_are_prepared_while_the_gpu_works() -> None:
    prepared, threads = [], set()

    def prepare(step: int, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        prepared.append(step)
        threads.add(threading.current_thread().name)
        return x, y

    context = flow(GPU)
    batches = context.batches(prepare)
    next(batches)
    torch.cuda.synchronize()
    for _ in range(200):
        if len(prepared) > 1:
            break
        threading.Event().wait(0.01)
    assert len(prepared) > 1 and all("cwbench-batches" in name for name in threads)
    batches.close()


def trained(context: TrainingContext, stop_at: int | None = None) -> list[Tensor]:
    """Weights of a regression of y on x, x / 64 and y / 64 as they are fed."""
    network = context.network(1, 1)
    context.counted(network)
    trainer = Trainer(network, context, learning_rate=1e-2, average=0.9, clip=1.0)
    context.save({"trainer": trainer})
    for x, y in context.batches():
        trainer.step(torch.nn.functional.mse_loss(network(x / 64), y / 64))
        if context.step + 1 == stop_at:
            context.stop.set()
    trainer.finish()
    return [p.detach().cpu() for p in network.parameters()]


def test_a_fit_on_the_gpu_is_that_on_the_cpu_up_to_rounding() -> None:
    for here, there in zip(trained(flow(torch.device("cpu"))), trained(flow(GPU)), strict=True):
        torch.testing.assert_close(there, here, rtol=1e-3, atol=1e-4)


def test_a_stopped_fit_resumes_on_the_gpu_and_ends_the_same(tmp_path: Path) -> None:
    whole = trained(flow(GPU))
    with pytest.raises(Interrupted):
        trained(flow(GPU, tmp_path), stop_at=17)
    resumed = trained(flow(GPU, tmp_path))
    for one, other in zip(whole, resumed, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-6)


def features(rows: int = 8) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    parts = torch.randn(rows, 64, generator=generator), torch.rand(rows, 1, generator=generator)
    return torch.cat([*parts, torch.eye(10)[:rows]], 1)


def unet(compiled: bool = False) -> UNet:
    torch.manual_seed(0)
    return UNet(PARTS, SHAPE, TINY, compiled=compiled).eval()


@torch.no_grad()
def test_the_unet_on_a_gpu_compiled_or_not_is_that_of_the_cpu() -> None:
    expected = unet()(features())
    for compiled in (False, True):
        found = unet(compiled).to(GPU)(features().to(GPU)).cpu()
        torch.testing.assert_close(found, expected, rtol=5e-3, atol=5e-3)  # TF32 in convolutions


def test_bfloat16_computes_with_few_digits_and_keeps_float32_weights() -> None:
    generator = torch.Generator().manual_seed(0)
    z, x = (torch.randn(256, *SHAPE, generator=generator).to(GPU) for _ in range(2))
    t, y = torch.rand(256, generator=generator).to(GPU), torch.arange(256, device=GPU) % 10
    losses = {}
    for bfloat16 in (False, True):
        network = VelocityNetwork(unet(), Condition((), 10)).to(GPU)
        loss = velocity_loss(network, z, x, y, t, bfloat16=bfloat16)
        loss.backward()
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        assert gradients and all(g.dtype == torch.float32 for g in gradients)
        losses[bfloat16] = float(loss.detach())
    assert losses[True] == pytest.approx(losses[False], rel=1e-2)
    assert losses[True] != losses[False]


def test_feature_networks_run_on_the_gpu_and_answer_on_the_cpu() -> None:
    images = torch.randint(256, (40, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    x = to_x(images.to(torch.uint8))
    network = efficientnet()
    found = network(x)
    assert network.device.type == "cuda" and found.device.type == "cpu"
    alone: Callable[[Tensor], Tensor] = network.network.cpu()
    try:
        expected = alone(x)
    finally:
        network.network.to(network.device)
    torch.testing.assert_close(found, expected, rtol=2e-2, atol=2e-2)  # TF32 in convolutions


@pytest.mark.parametrize("method", sorted(trained_in_batches() - IMAGES_ALONE))
def test_a_model_fitted_on_the_gpu_draws_the_same_on_the_cpu(method: str) -> None:
    """A stored model is opened where there is no GPU."""
    task, chosen = load_task("gaussian-linear"), load_method(method, **SMALLER.get(method, {}))
    preset = task.info.presets["smoke"].model_copy(update={"steps": 30, "width": 16})
    data = task.training_data(preset.training_pairs, stream("gpu", 0, "data"))
    y = task.evaluation_set(6, stream("gpu", 0, "observations")).y

    def bound(device: torch.device) -> Method:
        spec = problem_spec(task, chosen.cls, chosen.params, preset, Meter(), device)
        return chosen.cls(chosen.params, spec)

    fitted, opened = bound(GPU), bound(torch.device("cpu"))
    networks = Networks(preset, Meter())
    fitted.fit(data, TrainingContext(data, preset, ("gpu", 0), networks, GPU))
    opened.load_state_dict(fitted.state_dict())
    nfe = 10 if chosen.cls.info.nfe else None
    there, here = (m.sample(y, 50, stream("gpu", 0, "z"), nfe).cpu() for m in (fitted, opened))
    assert float((there - here).norm() / here.norm()) < 1e-2
