"""The check of independent draws, on samplers of known faults."""

from __future__ import annotations

import torch

from cwbench.check.independence import STANDARD_ERRORS, correlated


def pairs(share: float) -> torch.Tensor:
    """Pairs `(m, calls, 2, d)` of unit variance with that correlation, about means far apart."""
    generator = torch.Generator().manual_seed(0)
    own = torch.randn(20, 40, 2, 3, generator=generator).double()
    common = torch.randn(20, 40, 1, 3, generator=generator).double()
    means = 10 * torch.randn(20, 1, 1, 3, generator=generator).double()
    return torch.as_tensor(means + (1 - share) ** 0.5 * own + share**0.5 * common)


def test_correlated_pairs_are_told_from_independent_ones() -> None:
    assert abs(correlated(pairs(0.0))) < 3
    assert correlated(pairs(0.25)) > STANDARD_ERRORS
    assert correlated(pairs(1.0)) > STANDARD_ERRORS  # the same population for both
