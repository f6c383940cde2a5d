import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance

from cwbench.ot import sliced_wasserstein_power, unit_directions, wasserstein_power


def mean_over_directions(a, b, directions, p):
    return np.mean([wasserstein_power(a @ theta, b @ theta, p=p) for theta in directions.numpy()])


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0])
@pytest.mark.parametrize(("n", "k"), [(40, 40), (40, 25), (6, 9), (1, 5)])
def test_it_is_the_mean_of_exact_distances(n, k, p, rng, generator):
    a, b = rng.standard_normal((n, 3)), rng.standard_normal((k, 3)) + 1
    directions = unit_directions(3, 4, generator)
    exact = mean_over_directions(a, b, directions, p)
    assert sliced_wasserstein_power(a, b, directions, p=p) == pytest.approx(exact)


def test_on_the_line_it_agrees_with_scipy(rng):
    a, b = rng.standard_normal(31), rng.standard_normal(47) * 2
    value = sliced_wasserstein_power(a, b, np.ones((1, 1)), p=1)
    assert value == pytest.approx(wasserstein_distance(a, b))


def test_a_shift_counts_a_share_of_one_in_d(rng, generator):
    a = rng.standard_normal((20, 5))
    directions = unit_directions(5, 20_000, generator)
    shift = np.array([3.0, 0, 0, 4.0, 0])
    value = sliced_wasserstein_power(a, a + shift, directions)
    assert value == pytest.approx(25 / 5, rel=0.02)


def test_directions_are_uniform_unit_vectors(generator):
    directions = unit_directions(3, 20_000, generator)
    assert directions.shape == (20_000, 3)
    assert directions.dtype == torch.float64
    assert torch.allclose(directions.norm(dim=1), torch.ones(20_000).double())
    assert torch.allclose(directions.mean(0), torch.zeros(3).double(), atol=0.02)
    second = directions.T @ directions / 20_000
    assert torch.allclose(second, torch.eye(3).double() / 3, atol=0.02)
    # the fourth moment, 3 / (d (d+2)), tells the sphere from a normalised cube
    assert directions[:, 0].pow(4).mean() == pytest.approx(0.2, rel=0.03)


def test_directions_follow_the_generator():
    first, second = (unit_directions(4, 3, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first, second)


def test_nonsense_sizes_are_refused(rng, generator):
    with pytest.raises(ValueError, match="at least 1"):
        unit_directions(0, 3, generator)
    with pytest.raises(ValueError, match="same dimension"):
        sliced_wasserstein_power(rng.random((3, 2)), rng.random((3, 2)), rng.random((1, 3)))
    with pytest.raises(ValueError, match="p is"):
        sliced_wasserstein_power(np.eye(2), np.eye(2), np.eye(2), p=0.5)
