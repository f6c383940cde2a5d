import pytest
import torch

from cwbench.ot import ConditionalOT, conditional_wasserstein_power, geodesic


def ends(generator, *shape):
    return torch.randn(2, *shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("shape", [(5,), (5, 3), (5, 2, 3, 4)])
def test_ends_middle_and_velocity(shape, generator):
    z, x = ends(generator, *shape)
    assert torch.equal(geodesic(z, x, torch.zeros(5)).point, z)
    assert torch.equal(geodesic(z, x, torch.ones(5)).point, x)
    assert torch.allclose(geodesic(z, x, torch.full((5,), 0.5)).point, (z + x) / 2)
    assert torch.equal(geodesic(z, x, torch.rand(5)).velocity, x - z)


def test_each_row_has_its_own_time(generator):
    z, x = ends(generator, 3, 2)
    t = torch.tensor([0.0, 0.25, 1.0], dtype=torch.float64)
    point = geodesic(z, x, t).point
    assert torch.allclose(point[1], 0.75 * z[1] + 0.25 * x[1])
    assert torch.equal(point[0], z[0])
    assert torch.equal(point[2], x[2])


def test_the_velocity_is_the_derivative_in_time(generator):
    z, x = ends(generator, 4, 3)
    t = torch.rand(4, generator=generator, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda t: geodesic(z, x, t).point, t)
    assert torch.allclose(jacobian.sum(-1), geodesic(z, x, t).velocity)


def test_along_an_optimal_conditional_plan_the_speed_is_constant(generator):
    z, x = ends(generator, 12, 2)
    y = torch.arange(12) % 3
    x = x[ConditionalOT(torch.inf)(z, x, y)]
    total = conditional_wasserstein_power(z, y, x, y) ** 0.5
    points = [geodesic(z, x, torch.full((12,), t)).point for t in (0.0, 0.2, 0.7, 1.0)]
    times = [0.0, 0.2, 0.7, 1.0]
    for i, s in enumerate(times):
        for j, t in enumerate(times):
            length = conditional_wasserstein_power(points[i], y, points[j], y) ** 0.5
            assert length == pytest.approx(abs(s - t) * total, rel=1e-6)


def test_it_stays_in_the_type_of_its_ends(generator):
    z = torch.randn(4, 2, generator=generator)
    assert geodesic(z, z, torch.rand(4)).point.dtype == torch.float32


@pytest.mark.parametrize(("z", "x", "t"), [((3, 2), (3, 4), 3), ((3, 2), (3, 2), 2)])
def test_shapes_must_match(z, x, t):
    with pytest.raises(ValueError, match="one shape"):
        geodesic(torch.zeros(z), torch.zeros(x), torch.zeros(t))
