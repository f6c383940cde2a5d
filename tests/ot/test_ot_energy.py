import math

import numpy as np
import pytest
from scipy.stats import energy_distance as scipy_energy_distance

from cwbench.ot import energy_distance


def test_on_the_line_it_is_the_square_of_scipys(rng):
    a, b = rng.standard_normal(30), rng.standard_normal(50) + 0.5
    assert energy_distance(a, b) == pytest.approx(scipy_energy_distance(a, b) ** 2)


def test_two_points_against_one_by_hand():
    # 2 (5 + 0)/2 - (0 + 5 + 5 + 0)/4 - 0
    assert energy_distance([[0.0, 0.0], [3.0, 4.0]], [[0.0, 0.0]]) == pytest.approx(5 - 2.5)


def test_gaussians_come_near_the_closed_form(rng):
    # E|N(m, s^2)| = s sqrt(2/pi) exp(-m^2/(2 s^2)) + m erf(m / (s sqrt 2)), with s^2 = 2 here
    a, b = rng.standard_normal(4000), rng.standard_normal(4000) + 2
    cross = math.sqrt(4 / math.pi) * math.exp(-1) + 2 * math.erf(1)
    exact = 2 * cross - 2 * math.sqrt(4 / math.pi)
    assert energy_distance(a, b) == pytest.approx(exact, rel=0.05)


def test_scale_shift_and_identity(rng):
    a, b = rng.standard_normal((2, 30, 4))
    value = energy_distance(a, b)
    assert value > 0
    assert energy_distance(b, a) == pytest.approx(value)
    assert energy_distance(3 * a + 1, 3 * b + 1) == pytest.approx(3 * value)
    assert energy_distance(a, a[::-1]) == pytest.approx(0, abs=1e-12)
    assert energy_distance(np.repeat(a, 2, axis=0), b) == pytest.approx(value)
