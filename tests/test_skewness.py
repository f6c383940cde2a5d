"""The skewness of differences where it is known."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import skewness


def test_the_skewness_of_a_known_law() -> None:
    rng = np.random.default_rng(0)
    exponential = rng.exponential(size=100_000)
    found = skewness.pair(1.0 - exponential)  # skewness -2, mean 0
    assert found.skewness == pytest.approx(2, abs=0.1)
    assert found.near
    assert not skewness.pair(exponential).near
    assert skewness.summary_of([found]).split() == ["1", *[f"{found.skewness:.2f}"] * 3]
