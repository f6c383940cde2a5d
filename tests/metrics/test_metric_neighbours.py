"""Precision, recall and the distance to the training set against brute force."""

from __future__ import annotations

import pytest
import torch
from torch import Generator, Tensor

from cwbench.metrics import neighbours
from cwbench.metrics.neighbours import NearestTraining, inside, precision, recall


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=Generator().manual_seed(seed))


def test_inside_is_the_definition_by_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    points, manifold = normal(20, 2), normal(15, 2, seed=1)
    expected = []
    for point in points:
        hit = False
        for row in manifold:
            radius = sorted(float((row - other).norm()) for other in manifold)[3]
            hit = hit or float((point - row).norm()) <= radius
        expected.append(hit)
    monkeypatch.setattr(neighbours, "TABLE", 4 * 15)
    assert inside(points, manifold).tolist() == expected


def test_agrees_with_torch_fidelity() -> None:
    from torch_fidelity.metric_prc import prc_features_to_metric

    real, drawn = normal(80, 4), 0.7 * normal(80, 4, seed=1) + 0.3
    theirs = prc_features_to_metric(
        real.float(), drawn.float(), prc_neighborhood=3, prc_batch_size=80, save_cpu_ram=False,
        verbose=False,
    )  # fmt: skip
    ours = {round(precision(drawn, real), 4), round(recall(drawn, real), 4)}
    assert ours == {round(float(theirs["precision"]), 4), round(float(theirs["recall"]), 4)}


def test_a_narrow_sampler_has_precision_and_no_recall() -> None:
    real, narrow = normal(300, 3), 0.1 * normal(300, 3, seed=1)
    assert precision(narrow, real) > 0.99
    assert recall(narrow, real) < 0.2
    assert precision(real + 100, real) == recall(real + 100, real) == 0


def test_copies_are_at_distance_0_and_the_mean_is_brute_force() -> None:
    training, drawn = normal(50, 6), normal(40, 6, seed=1)
    expected = float(torch.cdist(drawn, training).amin(1).mean())
    stream = NearestTraining(training)
    for part in drawn.split(7):
        stream.update(part, torch.zeros(len(part)))
    assert stream.mean == pytest.approx(expected)
    copies = NearestTraining(training)
    copies.update(training[:10], torch.zeros(10))
    assert copies.mean < 1e-6
    assert NearestTraining(training).load(stream.state()).mean == stream.mean


def test_rows_among_themselves_are_never_their_own_neighbour(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = normal(25, 3)
    table = torch.cdist(rows, rows).fill_diagonal_(torch.inf)
    monkeypatch.setattr(neighbours, "TABLE", 4 * 25)
    stream = NearestTraining(rows, among=True)
    for part in rows.split(10):
        stream.update(part, torch.zeros(len(part)))
    assert stream.mean == pytest.approx(float(table.amin(1).mean()), rel=1e-6)
