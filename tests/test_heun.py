"""The solver of `diffusion` and the search for its switch, where the denoiser is exact."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from benchmarks import heun
from benchmarks.heun import Trial
from cwbench_baselines.diffusion import HEUN_FROM


def test_the_denoiser_is_the_posterior_mean() -> None:
    m, sigma = 0.8, 0.7
    clean = torch.linspace(-6, 6, 4_001, dtype=torch.float64)
    prior = sum(torch.exp(-((clean - mode) ** 2) / (2 * 0.36)) for mode in (m, -m))
    for x in (-1.3, 0.1, 0.5):
        weight = prior * torch.exp(-((x - clean) ** 2) / (2 * sigma**2))
        expected = float((weight * clean).sum() / weight.sum())
        found = heun.TwoModes(m)(torch.tensor([[x]]), torch.tensor([sigma]), torch.zeros(1))
        assert float(found) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("m", heun.MODES)
def test_more_evaluations_never_cost_accuracy(m) -> None:
    grid = (6, 8, 9, 10, 14, 18, HEUN_FROM - 1, HEUN_FROM, HEUN_FROM + 1, 28, 32)
    trials = list(heun.exact(m, grid, draws=200))
    errors = [t.heun if t.nfe >= HEUN_FROM else t.euler for t in trials]
    assert all(later < 1.01 * earlier for earlier, later in pairwise(errors))
    jump = errors[grid.index(HEUN_FROM)] / errors[grid.index(HEUN_FROM - 1)]
    assert 0.7 < jump < 1
    early = next(t for t in trials if t.nfe == 9)
    assert early.heun > 3 * early.euler  # where the switch once was


def test_the_switch_is_where_heun_stays_ahead() -> None:
    found = [
        Trial("a", nfe, 1.0, value)
        for nfe, value in ((9, 5.0), (11, 0.9), (13, 1.2), (15, 0.8), (17, 0.7))
    ]
    assert heun.switch(found) == 15
    assert heun.switch(found[:3]) is None
    both = heun.means([*found, *(t._replace(task="b", heun=0.1) for t in found)])
    assert both[13] == (1.0, pytest.approx(0.65))


def test_a_short_search_runs(monkeypatch) -> None:
    """Both solvers have the same weights and differ where steps are few."""
    small = {"observations": 3, "samples": 40, "training_pairs": 200, "split": "dev"}
    monkeypatch.setattr(heun, "SIZES", small)
    (trial,) = heun.trials("two-moons", 20, (9,))
    assert trial.heun > trial.euler > 0
