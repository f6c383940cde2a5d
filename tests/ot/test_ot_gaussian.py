import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from cwbench.ot import bures_wasserstein_squared, gaussian_transport


def covariance(rng, d, rank=None):
    factor = rng.standard_normal((d, rank or d))
    return factor @ factor.T


def test_it_agrees_with_the_matrix_root_of_scipy(rng):
    C1, C2 = covariance(rng, 6), covariance(rng, 6)
    m1, m2 = rng.standard_normal((2, 6))
    root = sqrtm(C1)
    exact = np.sum((m1 - m2) ** 2) + np.trace(C1 + C2 - 2 * np.real(sqrtm(root @ C2 @ root)))
    assert bures_wasserstein_squared(m1, C1, m2, C2) == pytest.approx(exact)
    assert bures_wasserstein_squared(m2, C2, m1, C1) == pytest.approx(exact)


def test_commuting_covariances_compare_by_standard_deviations(rng):
    Q, _ = np.linalg.qr(rng.standard_normal((5, 5)))
    v1, v2 = rng.random((2, 5))
    zero = np.zeros(5)
    value = bures_wasserstein_squared(zero, Q @ np.diag(v1) @ Q.T, zero, Q @ np.diag(v2) @ Q.T)
    assert value == pytest.approx(np.sum((np.sqrt(v1) - np.sqrt(v2)) ** 2))


def test_degenerate_gaussians():
    zero = torch.zeros(3)
    line = torch.outer(torch.tensor([1.0, 2.0, 2.0]), torch.tensor([1.0, 2.0, 2.0]))
    point = torch.zeros(3, 3)
    assert bures_wasserstein_squared(zero, line, zero, point) == pytest.approx(9)
    assert bures_wasserstein_squared(zero, line, zero, line) == pytest.approx(0, abs=1e-12)
    assert bures_wasserstein_squared(zero, line, zero, 4 * line) == pytest.approx(9)
    # orthogonal lines overlap nowhere
    e = np.eye(3)
    assert bures_wasserstein_squared(e[0], np.outer(e[0], e[0]), e[0], np.outer(e[1], e[1])) == 2


def test_fewer_samples_than_dimensions(rng):
    samples = rng.standard_normal((2, 10, 30))
    C1, C2 = (np.cov(part.T) for part in samples)
    assert bures_wasserstein_squared(np.zeros(30), C1, np.zeros(30), C1) == pytest.approx(
        0, abs=1e-9
    )
    overlap = np.sqrt(np.linalg.eigvals(C1 @ C2).real.clip(0)).sum()
    exact = np.trace(C1) + np.trace(C2) - 2 * overlap
    assert bures_wasserstein_squared(np.zeros(30), C1, np.zeros(30), C2) == pytest.approx(
        exact, rel=1e-4
    )


def test_the_linear_map_is_optimal(rng):
    C1, C2 = covariance(rng, 4), covariance(rng, 4)
    A = gaussian_transport(C1, C2)
    assert np.allclose(A @ C1 @ A.T, C2)
    assert np.allclose(A, A.T)
    assert np.linalg.eigvalsh(A).min() > 0
    # its cost tr (A - I) C1 (A - I)^T is the distance
    shift = A - np.eye(4)
    zero = np.zeros(4)
    assert np.trace(shift @ C1 @ shift.T) == pytest.approx(
        bures_wasserstein_squared(zero, C1, zero, C2)
    )
    assert np.allclose(gaussian_transport(C2, C1), np.linalg.inv(A))


def test_the_linear_map_on_a_subspace():
    A = gaussian_transport(np.diag([1.0, 0.0]), np.diag([4.0, 0.0]))
    assert np.allclose(A @ [1, 0], [2, 0])
    with pytest.raises(ValueError, match="no linear map"):
        gaussian_transport(np.diag([1.0, 0.0]), np.diag([1.0, 1.0]))


@pytest.mark.parametrize(
    ("matrix", "reason"),
    [
        ([[1.0, 0.5], [0.0, 1.0]], "not symmetric"),
        ([[1.0, 2.0], [2.0, 1.0]], "negative eigenvalue"),
        ([[1.0, 2.0]], "shape"),
    ],
)
def test_what_is_no_covariance_is_refused(matrix, reason):
    with pytest.raises(ValueError, match=f"covariance_2.*{reason}"):
        gaussian_transport(np.eye(2), matrix)
    with pytest.raises(ValueError, match=f"covariance_1.*{reason}"):
        bures_wasserstein_squared([0, 0], matrix, [0, 0], np.eye(2))


def test_dimensions_must_agree():
    with pytest.raises(ValueError, match="dimension"):
        bures_wasserstein_squared([0.0], np.eye(2), [0, 0], np.eye(2))
    with pytest.raises(ValueError, match="shape"):
        gaussian_transport(np.eye(2), np.eye(3))


def test_a_covariance_computed_in_single_precision_is_one(rng):
    factor = rng.standard_normal((300, 20)).astype(np.float32)
    single = factor @ factor.T  # rank 20: 280 eigenvalues are rounding
    assert np.linalg.eigvalsh(single.astype(np.float64)).min() < -1e-8 * np.abs(single).max()
    double = factor.astype(np.float64) @ factor.T.astype(np.float64)
    zero = np.zeros(300)
    exact = np.trace(double) * 0.25  # (1 - 1/2)^2 tr C between C and C/4
    for given in (single, torch.from_numpy(single)):
        value = bures_wasserstein_squared(zero, given, zero, given / 4)
        assert value == pytest.approx(exact, rel=1e-3)
    with pytest.raises(ValueError, match="negative eigenvalue"):
        bures_wasserstein_squared(zero, single.astype(np.float64), zero, double)
    with pytest.raises(ValueError, match="negative eigenvalue"):
        bures_wasserstein_squared(zero, -single, zero, double)
