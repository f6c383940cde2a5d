"""One optimiser step: averages in closed form, and what happens to a loss that is not finite."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cwbench.errors import DivergedError
from cwbench.machine.processes import Processes
from cwbench.method import Optimiser
from cwbench.training.loop import PATIENCE, Trainer


class Line(nn.Module):
    """A single weight w; the loss w has gradient 1, so Adam moves by the rate each step."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([2.0]))


class Constant:
    """As much of a context as a trainer asks for, at a rate that does not decay."""

    device = torch.device("cpu")
    processes = Processes()

    def __init__(self, **optimiser: Any) -> None:
        self.logged: list[float] = []
        self.optimiser = Optimiser(**optimiser)

    def learning_rate(self, default: float) -> float:
        return default

    def log(self, **values: float) -> None:
        self.logged.append(values["loss"])


@pytest.fixture
def line() -> Line:
    return Line()


@pytest.fixture
def trainer(line):
    def make(**options) -> Trainer:
        return Trainer(line, Constant(), learning_rate=0.1, **options)

    return make


def slope(line: Line, factor: float = 1.0) -> Tensor:
    return factor * line.w.sum()


def test_adam_moves_by_the_rate_along_a_constant_gradient(line, trainer) -> None:
    descend = trainer()
    for step in range(1, 6):
        assert descend.step(slope(line))
        assert line.w.item() == pytest.approx(2.0 - 0.1 * step, abs=1e-5)
    assert descend.context.logged == pytest.approx([2.0, 1.9, 1.8, 1.7, 1.6], abs=1e-5)


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.9999])
def test_average_weighs_the_steps_geometrically_and_not_the_weights_before(
    line, trainer, decay
) -> None:
    descend = trainer(average=decay)
    weights = []
    for step in range(8):
        descend.step(slope(line, float("nan") if step == 5 else 1.0))  # a step that is skipped
        weights += [line.w.item()] if step != 5 else []
    shares = [decay ** (6 - k) for k in range(7)]
    expected = sum(s * w for s, w in zip(shares, weights, strict=True)) / sum(shares)
    descend.finish()
    assert line.w.item() == pytest.approx(expected, rel=1e-6)


def test_average_is_no_part_of_the_graph(line, trainer) -> None:
    descend = trainer(average=0.9)
    descend.step(slope(line))
    assert not descend.averaged[0].requires_grad


def test_without_an_average_the_last_weights_stay(line, trainer) -> None:
    descend = trainer()
    descend.step(slope(line))
    last = line.w.item()
    descend.finish()
    assert line.w.item() == last


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_changes_nothing(line, trainer, bad) -> None:
    descend = trainer(average=0.9)
    descend.step(slope(line))
    weight, average = line.w.item(), descend.averaged[0].clone()
    assert not descend.step(slope(line, bad))
    assert line.w.item() == weight
    assert torch.equal(descend.averaged[0], average)
    assert descend.step(slope(line))
    assert line.w.item() == pytest.approx(weight - 0.1, abs=1e-5)


def test_many_losses_in_a_row_that_are_not_finite_end_training(line, trainer) -> None:
    descend = trainer()
    for _ in range(PATIENCE - 1):
        descend.step(slope(line, float("nan")))
    descend.step(slope(line))  # one good step, and the count starts again
    for _ in range(PATIENCE - 1):
        descend.step(slope(line, float("nan")))
    with pytest.raises(DivergedError, match="10 times in a row"):
        descend.step(slope(line, float("nan")))


class BadGradient(torch.autograd.Function):
    """A finite value whose gradient is not."""

    @staticmethod
    def forward(ctx, w: Tensor) -> Tensor:
        return w.clone()

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return gradient * torch.inf


def test_gradients_that_are_not_finite_end_training_too(line, trainer) -> None:
    descend = trainer(clip=1.0)
    for _ in range(PATIENCE - 1):
        assert not descend.step(BadGradient.apply(line.w).sum())
    assert line.w.item() == 2.0
    with pytest.raises(DivergedError):
        descend.step(BadGradient.apply(line.w).sum())


def test_clipping_bounds_the_gradient(line, trainer) -> None:
    descend = trainer(clip=0.25)
    descend.step(slope(line, 100.0))
    assert line.w.grad is not None
    assert line.w.grad.item() == pytest.approx(0.25, rel=1e-4)


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_a_restored_trainer_goes_on_bit_equal(average, tmp_path) -> None:
    def go(trainer: Trainer, steps: int) -> None:
        for step in range(steps):
            trainer.step(((trainer.network.w - 1) ** 2).sum() * (1 + step % 3))

    whole = Trainer(Line(), Constant(), learning_rate=0.1, average=average)
    go(whole, 3)
    torch.save(whole.state_dict(), tmp_path / "state.pt")
    go(whole, 6)
    again = Trainer(Line(), Constant(), learning_rate=0.1, average=average)
    again.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    go(again, 6)
    whole.finish()
    again.finish()
    assert torch.equal(whole.network.w, again.network.w)


def test_what_the_preset_fixes_overrides_the_family() -> None:
    network = torch.nn.Linear(1, 1)
    fixed = Constant(average=0.5, clip=2.0, beta_2=0.95)
    trainer = Trainer(network, fixed, learning_rate=1e-3, betas=(0.9, 0.999), average=0.9)
    assert (trainer.average, trainer.clip) == (0.5, 2.0)
    assert trainer.optimizer.param_groups[0]["betas"] == (0.9, 0.95)
    free = Trainer(network, Constant(), learning_rate=1e-3, clip=7.0, average=0.9)
    assert (free.average, free.clip) == (0.9, 7.0)
