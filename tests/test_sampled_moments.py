"""Moments of a posterior that is known by its draws: streamed, those of all draws at once."""

from __future__ import annotations

import os
import signal
import threading
from typing import ClassVar

import pytest
import torch
from torch import Generator, Tensor

from cwbench import task as contract
from cwbench.errors import Interrupted
from cwbench.machine.signals import heed, stop_on_signal
from cwbench.samples import JointSamples, RunningMoments
from cwbench.task import Task, TaskInfo


class Skewed(Task):
    """X_k = y_k + (1 + k) E_k with E exponential."""

    info: ClassVar = TaskInfo("skewed", 1, "skewed", "ew2sq", "MIT", "none", {})
    y_shape = (3,)

    def __init__(self, d: int = 3) -> None:
        super().__init__()
        self.d, self.sizes = d, []

    @property
    def x_shape(self) -> tuple[int, ...]:
        return (self.d,)

    def sample_joint(self, n: int, generator: Generator) -> JointSamples:
        y = torch.randn(n, 3, generator=generator)
        return JointSamples(self.sample_posterior(y, 1, generator)[:, 0], y)

    def sample_posterior(self, y: Tensor, n: int, generator: Generator) -> Tensor:
        self.sizes.append(n)
        noise = torch.rand(len(y), n, self.d, generator=generator).clamp_min(1e-7).log().neg()
        return y[:, None, :1] + torch.arange(1.0, self.d + 1) * noise


def observations(m: int) -> Tensor:
    return torch.randn(m, 3, generator=Generator().manual_seed(3))


def test_of_a_small_x_they_are_those_of_one_call_to_the_bit() -> None:
    y = observations(2)
    mean, covariance = Skewed().posterior_moments(y)
    for row, its_mean, its_covariance in zip(y, mean, covariance, strict=True):
        draws = Skewed().sample_posterior(row[None], 2**16, Generator().manual_seed(0))[0].double()
        assert torch.equal(its_mean, draws.mean(0))
        assert torch.equal(its_covariance, torch.cov(draws.T))


def test_of_a_large_x_few_draws_are_held_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contract, "HELD_NUMBERS", 700)
    monkeypatch.setattr(contract, "MOMENT_DRAWS", 1_000)
    task, y = Skewed(7), observations(1)
    mean, covariance = task.posterior_moments(y)
    assert task.sizes == [100] * 10
    generator = Generator().manual_seed(0)
    draws = torch.cat([task.sample_posterior(y, 100, generator)[0] for _ in range(10)]).double()
    assert torch.allclose(mean[0], draws.mean(0), rtol=1e-13, atol=0)
    assert torch.allclose(covariance[0], torch.cov(draws.T), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("sizes", [[28], [1, 27], [27, 1], [1, 1, 1, 25], [5, 10, 13]])
def test_parts_of_any_size_give_the_moments_of_the_whole(sizes: list[int]) -> None:
    points = 1e3 + torch.randn(28, 4, generator=Generator().manual_seed(0)).double()
    running = RunningMoments()
    for part in points.split(sizes):
        running.add(part)
    mean, covariance = running.moments()
    assert torch.allclose(mean[0], points.mean(0), rtol=1e-14, atol=0)
    assert torch.allclose(covariance[0], torch.cov(points.T), rtol=1e-11, atol=1e-11)


def test_they_are_drawn_once_for_an_observation_and_handed_out_as_copies() -> None:
    task, y = Skewed(), observations(2)
    first = task.posterior_moments(y)
    expected = first.mean.clone()
    first.mean.zero_(), first.covariance.zero_()
    again = task.posterior_moments(y[:1])
    assert len(task.sizes) == 2
    assert torch.equal(again.mean, expected[:1])
    again.mean.zero_()
    assert torch.equal(task.posterior_moments(y).mean, expected)


def test_a_signal_is_heard_between_two_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contract, "HELD_NUMBERS", 300)

    class Signalled(Skewed):
        def sample_posterior(self, y: Tensor, n: int, generator: Generator) -> Tensor:
            if len(self.sizes) == 2:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().sample_posterior(y, n, generator)

    task, stop = Signalled(), threading.Event()
    with stop_on_signal(stop), pytest.raises(Interrupted, match="the same command goes on"):
        task.posterior_moments(observations(1))
    assert len(task.sizes) == 3
    heed()  # outside nobody has asked
