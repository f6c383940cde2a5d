"""The kernel distance: unbiased, the same however batched, never holding more than a block."""

from __future__ import annotations

import pytest
import torch
from torch import Generator, Tensor

from cwbench.metrics import kernel_distance as module
from cwbench.metrics.kernel_distance import BlockDistance, Rows, kernel_distance


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=Generator().manual_seed(seed))


def rows(features: Tensor, labels: Tensor | None = None) -> Rows:
    kept = Rows()
    kept.update(features, torch.zeros(len(features)).long() if labels is None else labels)
    return kept


def test_value_is_the_definition_by_loops() -> None:
    f, g = normal(4, 3), normal(5, 3, seed=1) + 1

    def k(a: Tensor, b: Tensor) -> float:
        return float((a @ b / 3 + 1) ** 3)

    within_f = [k(f[i], f[j]) for i in range(4) for j in range(4) if i != j]
    within_g = [k(g[i], g[j]) for i in range(5) for j in range(5) if i != j]
    across = [k(a, b) for a in f for b in g]
    expected = sum(within_f) / 12 + sum(within_g) / 20 - 2 * sum(across) / 20
    assert kernel_distance(f, g) == pytest.approx(expected)


def test_agrees_with_torch_fidelity() -> None:
    from torch_fidelity.metric_kid import kernel_mmd

    f, g = normal(60, 8), 0.5 + normal(60, 8, seed=1)
    theirs = kernel_mmd(f.numpy(), g.numpy(), kid_kernel="poly", kid_kernel_poly_degree=3,
                        kid_kernel_poly_coef0=1)  # fmt: skip
    assert kernel_distance(f, g) == pytest.approx(float(theirs), rel=1e-6)


def test_real_against_real_is_0_in_expectation() -> None:
    values = torch.tensor(
        [kernel_distance(normal(50, 4, seed=2 * s), normal(50, 4, seed=2 * s + 1))
         for s in range(200)]
    )  # fmt: skip
    assert abs(float(values.mean())) < 4 * float(values.std()) / 200**0.5
    assert float(values.min()) < 0  # unbiased: it has to go below


@pytest.mark.parametrize("groups", [1, 3])
def test_batches_make_no_difference(monkeypatch: pytest.MonkeyPatch, groups: int) -> None:
    monkeypatch.setattr(module, "BLOCK", 16)
    labels = torch.arange(120) % 3
    real, drawn = rows(normal(120, 3), labels), normal(120, 3, seed=1) + 0.3
    values = []
    for size in (1, 7, 16, 120):
        stream = BlockDistance(real, groups)
        for part, y in zip(drawn.split(size), labels.split(size), strict=True):
            stream.update(part, y)
        values.append(stream.value())
    assert values[0].shape == (groups,)
    assert all(torch.allclose(values[0], value, rtol=1e-10) for value in values)


def test_memory_does_not_grow_with_the_number_of_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", 32)
    stream = BlockDistance(rows(normal(64, 3)))
    for seed in range(40):
        stream.update(normal(25, 3, seed=seed), torch.zeros(25).long())
        assert sum(map(len, stream.pending)) < 32
    kept = Rows(50)
    for seed in range(10):
        kept.update(normal(25, 3, seed=seed), torch.zeros(25).long())
    assert kept.features.shape == (50, 3)


def test_grows_with_blur_and_with_noise() -> None:
    images = normal(300, 1, 8, 8).cumsum(2).cumsum(3) / 8
    real = images[:150].flatten(1)

    def blurred(width: int) -> Tensor:
        if width == 0:
            return images[150:]
        kernel = torch.ones(1, 1, 2 * width + 1, 2 * width + 1).double()
        kernel /= kernel.sum()
        return torch.nn.functional.conv2d(images[150:], kernel, padding=width)

    by_blur = [kernel_distance(blurred(width).flatten(1), real) for width in range(4)]
    noise = normal(150, 1, 8, 8, seed=9)
    by_noise = [kernel_distance((images[150:] + s * noise).flatten(1), real) for s in (0, 2, 4, 6)]
    assert by_blur == sorted(by_blur)
    assert by_noise == sorted(by_noise)
    assert by_blur[3] > 0
    assert by_noise[3] > 0
