"""The shift of the latents against a case where it is known."""

from __future__ import annotations

import sys

import pytest
import torch

import cwbench
from benchmarks import latent_shift
from cwbench.ot.coupling import Independent


def test_a_known_shift_is_found_and_none_where_there_is_none() -> None:
    generator = torch.Generator().manual_seed(0)
    y, noise = torch.randn(2, 20_000, 2, generator=generator)
    value, error = latent_shift.shift(0.6 * y + 0.8 * noise, y)  # E|E[Z | Y]|^2 = .36 * 2
    assert value == pytest.approx(0.72, abs=4 * error)
    assert error < 0.02
    value, error = latent_shift.shift(noise, y)
    assert abs(value) < 4 * error


def test_a_shift_that_no_linear_map_sees_is_found() -> None:
    generator = torch.Generator().manual_seed(0)
    y, noise = torch.randn(2, 20_000, 1, generator=generator)
    value, error = latent_shift.shift(y.square() - 1 + noise, y)  # E[(Y^2 - 1)^2] = 2
    assert value == pytest.approx(2, abs=4 * error)


def test_conditions_follow_the_rule_batch_by_batch() -> None:
    task = cwbench.load_task("gaussian-mixture")

    def reverse(z, x, y):
        return torch.arange(len(z)).flip(0)

    z, as_drawn = latent_shift.fed_pairs(task, Independent(), 40, 10, seed=0)
    same, reversed_ = latent_shift.fed_pairs(task, reverse, 40, 10, seed=0)
    assert torch.equal(z, same)
    assert torch.equal(reversed_, as_drawn.view(4, 10, -1).flip(1).flatten(0, 1))
    assert torch.allclose(as_drawn.mean(0), torch.zeros(5, dtype=as_drawn.dtype), atol=1e-6)


def test_it_prints_a_line_for_each_rule(monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["", "--pairs", "2400", "--batch", "600"])
    latent_shift.main()
    lines = capsys.readouterr().out.splitlines()
    found = {line[:40].strip(): float(line.split()[-5]) for line in lines}
    assert list(found) == list(latent_shift.RULES)
    assert found["ot-fm"] > 0.5 > found["independent"] + 0.4
