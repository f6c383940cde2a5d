"""The two-sample metrics of sbibm, with its definitions and constants.

Benchmarking Simulation-Based Inference (Lueckmann, Boelts, Greenberg, Gonçalves, Macke, 2021)
https://arxiv.org/abs/2101.04653. They are comparable with published numbers only at its sizes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cwbench.errors import NoValueError
from cwbench.machine.signals import heed
from cwbench.metric import MetricInfo, ReferenceMetric
from cwbench.metrics.per_observation import per_observation

if TYPE_CHECKING:
    from sklearn.neural_network import MLPClassifier

FOLDS = 5
SEED = 1
UNITS = 10
"""Of a layer for each number of x."""
COSTLY = 256
"""Numbers of x from which on a fit takes six seconds of a core and more (`benchmarks/c2st.py`)."""


class ClassifierTwoSampleTest(ReferenceMetric):
    """Held-out accuracy of a classifier that tells model from reference samples; 0.5 is perfect.

    Five shuffled folds, points standardised by the reference's mean and deviation, two hidden
    layers of 10 d rectified units, Adam. Where the reference does not vary, it is not scaled.

    The layers grow with d, and ten networks are trained at each observation and NFE, five more for
    its floor. With 50 samples a side one took a core 0.5 s at d = 64, 6 s at 256 and 110 s at 784
    (`python -m benchmarks.c2st`), there with 4 GB.
    """

    info: ClassVar = MetricInfo(
        name="c2st",
        version=1,
        title="classifier two-sample test, accuracy (0.5 is perfect)",
        direction="lower",
        needs=frozenset({"reference"}),
        citation="lopezpaz2017revisiting, lueckmann2021benchmarking",
        opt_in=True,
        debiased=False,
        sees=frozenset({"shift", "scale", "shape", "weights", "atoms", "condition"}),
        symmetric=False,
    )

    excused: ClassVar = {"permutation": "its folds follow the order of the samples"}

    def costs(self) -> str | None:
        """That of networks that grow with the square of d."""
        d = math.prod(self.task.x_shape)
        if d < COSTLY:
            return None
        return (
            f"c2st trains {2 * FOLDS} networks with two layers of {UNITS * d:,} units at each "
            f"observation and NFE, and {FOLDS} more for its floor; at d = 784 a core took two "
            "minutes and 4 GB for each. Leave it out: energy-white and ew2sq-leading, computed by "
            "default from 256 numbers of x on, take seconds"
        )

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """The accuracy with shape `(m,)`."""
        return per_observation(two_sample_accuracy, a, b)


class MaximumMeanDiscrepancy(ReferenceMetric):
    """Unbiased estimate of MMD^2 with a Gaussian kernel, bandwidth the reference's median distance.

    Not standardised. The estimate is unbiased by itself, so no self term is taken off.
    """

    info: ClassVar = MetricInfo(
        name="mmd-sbibm",
        version=1,
        title="squared maximum mean discrepancy, Gaussian kernel, median heuristic",
        direction="lower",
        needs=frozenset({"reference"}),
        citation="gretton2012kernel, lueckmann2021benchmarking",
        opt_in=True,
        debiased=False,
        sees=frozenset({"shift", "scale", "shape", "weights", "atoms", "condition"}),
        symmetric=False,
    )

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """MMD^2 with shape `(m,)`; negative values occur."""
        return per_observation(squared_mmd, a, b)


def two_sample_accuracy(a: Tensor, b: Tensor) -> float:
    """Cross-validated accuracy of a network that separates points `(n, d)` from points `(n, d)`."""
    from sklearn.model_selection import KFold

    points, labels = _standardised(a, b)
    folds = KFold(n_splits=FOLDS, shuffle=True, random_state=SEED)
    accuracies = []
    for train, test in folds.split(points):
        fitted = network(points.shape[1]).fit(points[train], labels[train])
        heed()  # an interrupt counts as the end of a fit, and what is fitted so far is no value
        accuracies.append(fitted.score(points[test], labels[test]))
    return float(np.mean(accuracies))


def network(d: int) -> MLPClassifier:
    """One of its networks for points of d numbers, not fitted."""
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier(
        hidden_layer_sizes=(UNITS * d, UNITS * d),
        activation="relu",
        solver="adam",
        max_iter=10_000,
        random_state=SEED,
    )


def _standardised(a: Tensor, b: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both sets in units of the reference `b`, reference first, and the labels 0 and 1."""
    deviation = b.std(dim=0)
    constant = deviation <= 1e-12 * b.abs().amax(dim=0)  # up to rounding
    deviation = torch.where(constant, torch.ones_like(deviation), deviation)
    points = (torch.cat([b, a]) - b.mean(dim=0)) / deviation
    return points.numpy(), np.repeat([0.0, 1.0], [len(b), len(a)])


def squared_mmd(a: Tensor, b: Tensor) -> float:
    """Unbiased MMD^2 of points `(n, d)` and reference points `(n, d)`, n >= 2.

    Raises:
        NoValueError: if most reference points are equal.
    """
    bandwidth = torch.pdist(b).median()
    if bandwidth == 0:
        raise NoValueError(
            "the median distance between reference samples is 0, most are equal: a kernel of that "
            "bandwidth is not defined"
        )

    def kernel(p: Tensor, q: Tensor) -> Tensor:
        distances = torch.cdist(p, q, compute_mode="donot_use_mm_for_euclid_dist")
        return torch.exp(-distances.square() / (2 * bandwidth.square()))

    within = _off_diagonal_mean(kernel(a, a)) + _off_diagonal_mean(kernel(b, b))
    return float(within - 2 * kernel(a, b).mean())


def _off_diagonal_mean(matrix: Tensor) -> Tensor:
    n = len(matrix)
    return (matrix.sum() - matrix.trace()) / (n * (n - 1))
