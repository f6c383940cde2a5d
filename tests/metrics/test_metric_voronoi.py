"""Counts in Voronoi cells against SciPy, and a twin that goes point by point."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import chi2_contingency
from torch import Generator, Tensor

from cwbench.metrics.voronoi import CELLS, TESSELLATIONS, PQMass, chi_squared


@pytest.fixture
def metric(gaussian_task):
    return PQMass(gaussian_task())


def normal(n: int, d: int = 2, seed: int = 0) -> Tensor:
    return torch.randn(n, d, dtype=torch.float64, generator=Generator().manual_seed(seed))


def test_chi_squared_is_scipys_without_empty_cells() -> None:
    first, second = torch.tensor([[4.0, 0, 7, 1, 0], [9.0, 0, 2, 0, 3]]).double()
    filled = np.array([[4, 7, 1, 0], [9, 2, 0, 3]])
    expected = chi2_contingency(filled, correction=False).statistic
    assert float(chi_squared(first, second)) == pytest.approx(expected)


def test_it_is_the_definition_written_out(metric) -> None:
    a, b = normal(40, seed=1), normal(40, seed=2) + 0.3
    named = sorted([(*p, 0) for p in a.tolist()] + [(*p, 1) for p in b.tolist()])
    generator = Generator().manual_seed(0)
    found = []
    for _ in range(TESSELLATIONS):
        order = torch.randperm(80, generator=generator).tolist()
        centres = [named[i][:2] for i in order[:CELLS]]
        table = np.zeros((2, CELLS))
        for u, v, side in (named[i] for i in order[CELLS:]):
            apart = [np.hypot(u - p, v - q) for p, q in centres]
            table[side, int(np.argmin(apart))] += 1
        found.append(chi2_contingency(table[:, table.any(0)], correction=False).statistic)
    assert float(metric.distance(a[None], b[None])) == pytest.approx(np.mean(found))


def test_equal_laws_give_the_degrees_of_freedom(metric) -> None:
    """One less than the cells, all of which are filled by so many samples."""
    values = metric.distance(normal(24_000, seed=3).reshape(60, 400, 2),
                             normal(24_000, seed=4).reshape(60, 400, 2))  # fmt: skip
    assert float(values.mean()) == pytest.approx(CELLS - 1, abs=4 * float(values.std()) / 60**0.5)
    assert float(values.std()) < (2 * (CELLS - 1)) ** 0.5  # of one tessellation


def test_neither_order_nor_side_counts(metric) -> None:
    a, b = normal(30, 5, seed=5)[None], normal(30, 5, seed=6)[None] * 2
    value = metric.distance(a, b)
    order = torch.randperm(30, generator=Generator().manual_seed(7))
    assert torch.equal(metric.distance(a[:, order], b), value)
    assert torch.allclose(metric.distance(b, a), value)
