"""What the judge refuses and converts, and where a metric applies."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import torch
from shifted import PRESET, MeanGap, Shifted, SquaredError, Unknown, metric_info
from torch import Generator, Tensor

from cwbench.errors import ContractError
from cwbench.judging import by_observation as evaluation
from cwbench.judging.choice import chosen_metrics, offers
from cwbench.judging.judge import Judge
from cwbench.judging.taken import as_samples
from cwbench.metric import SplitMetric
from cwbench.metrics.mixture import ModeWeights
from cwbench.metrics.moments import CovarianceError, MeanError
from cwbench.metrics.wasserstein import W2Squared
from cwbench.task import Task

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    ("output", "told"),
    [
        (torch.zeros(2, 3, 4, dtype=torch.int64), "int64"),
        (torch.zeros(2, 3, 4, dtype=torch.complex64), "complex64"),
        (torch.zeros(2, 3, 4, dtype=torch.bool), "bool"),
        (np.zeros((2, 3, 4), dtype=int), "int64"),
        (torch.zeros(2, 4, 3), r"\(2, 4, 3\)"),
        (torch.zeros(6, 4), r"\(6, 4\)"),
        (torch.zeros(0, 3, 4), r"\(0, 3, 4\)"),
        (torch.zeros(2, 3, 4).to_sparse(), "sparse_coo tensor; a dense one"),
        (torch.zeros(2, 3, 4, device="meta"), "a meta tensor; a dense one"),
        (None, "NoneType"),
        ("samples", "str"),
        ([[1.0], [1.0, 2.0]], "list"),
        (np.array([None]), "ndarray"),
        ({"x": 1.0}, "dict"),
    ],
)
def test_what_is_no_sample_is_refused_with_its_name(output, told) -> None:
    with pytest.raises(ContractError, match=told) as refused:
        as_samples(output, (2, 3, 4), "sample of mine")
    assert "sample of mine" in str(refused.value)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_any_real_floating_tensor_is_converted(dtype) -> None:
    x = torch.linspace(-1, 1, 24, dtype=dtype).reshape(2, 3, 4).requires_grad_()
    got = as_samples(x, (2, 3, 4), "mine")
    assert got.dtype == torch.float32
    assert not got.requires_grad
    assert torch.equal(got, x.detach().float())


def test_arrays_are_taken_as_they_come() -> None:
    array = np.linspace(0, 1, 24).reshape(2, 3, 4)
    array.flags.writeable = False
    assert torch.equal(as_samples(array, (2, 3, 4), "mine"), torch.tensor(array).float())
    turned = array[::-1, :, ::-1]
    assert torch.equal(as_samples(turned, (2, 3, 4), "m"), torch.tensor(turned.copy()).float())


def test_a_posterior_that_is_not_finite_is_an_error_of_the_task() -> None:
    class Broken(Shifted):
        def sample_posterior(self, y: Tensor, n: int, generator: Generator) -> Tensor:
            return super().sample_posterior(y, n, generator) / 0

    with pytest.raises(ContractError, match="sample_posterior of shifted is not finite"):
        _ = Judge(Broken(), PRESET).reference


def test_a_posterior_beyond_float32_is_told_as_that() -> None:
    class Far(Shifted):
        def sample_posterior(self, y: Tensor, n: int, generator: Generator) -> Tensor:
            return super().sample_posterior(y, n, generator).double() * 0 + 1e39

    with pytest.raises(ContractError, match=r"not finite in float32: .* beyond its largest, 3\.4e"):
        _ = Judge(Far(), PRESET).reference


def test_a_metric_of_the_wrong_shape_is_refused(judge, samples) -> None:
    class Flat(MeanGap):
        def distance(self, a: Tensor, b: Tensor) -> Tensor:
            return torch.zeros(len(a), 2)

    with pytest.raises(ContractError, match="returned"):
        judge.score(Flat(judge.task), samples)


def test_metrics_apply_where_the_task_offers_what_they_need() -> None:
    from cwbench.api import load_task

    mixture, linear = load_task("gaussian-mixture"), load_task("gaussian-linear")
    classes = [W2Squared, ModeWeights, MeanError, CovarianceError, SquaredError]
    names = ["ew2sq", "mode-weights", "mean-error", "cov-error", "squared-error"]

    def applicable(task: Task) -> list[str]:
        return [c.info.name for c in classes if c.info.needs <= offers(task)]

    assert applicable(mixture) == names
    assert applicable(linear) == [n for n in names if n != "mode-weights"]
    assert applicable(Unknown()) == ["squared-error"]
    assert "mode-weights" not in applicable(Shifted())


def test_what_a_task_offers() -> None:
    from cwbench.api import load_task

    class Image(Unknown):
        side = 8

        @property
        def x_shape(self) -> tuple[int, ...]:
            return (1, self.side, self.side)

    class Small(Image):
        side = 2

    assert offers(Unknown()) == {"pairs"}
    assert offers(Shifted()) == {"pairs", "reference"}
    assert offers(Image()) == {"pairs", "image"}
    assert offers(Small()) == {"pairs"}
    everything = {"pairs", "reference", "mixture", "residual", "density"}
    assert offers(load_task("gaussian-mixture")) == everything
    assert offers(load_task("gaussian-linear")) == everything - {"mixture"}
    assert offers(load_task("sign-symmetric")) == everything - {"mixture"}
    assert offers(load_task("two-moons")) == {"pairs", "reference"}


def test_a_kind_of_metric_nobody_knows_is_refused(judge, samples) -> None:
    class Odd(evaluation.Metric):
        info: ClassVar = metric_info("odd", "pairs")

    with pytest.raises(ContractError, match="odd"):
        judge.score(Odd(judge.task), samples)


def test_samples_are_judged_in_double_precision(judge, samples) -> None:
    class Strict(SplitMetric):
        info: ClassVar = metric_info("strict", "reference")

        def estimate(self, a1: Tensor, a2: Tensor, y: Tensor) -> Tensor:
            assert a1.dtype == a2.dtype == torch.float64
            return torch.zeros(len(a1))

    assert judge.score(Strict(judge.task), samples).value.dtype == torch.float64


def test_from_256_dimensions_on_three_more_distances_are_computed_by_default() -> None:
    from cwbench.api import load_task
    from cwbench.dimensions import OUTSIDE

    def taken(prior: str) -> set[str]:
        metrics = chosen_metrics(load_task("deblurring", prior=prior), []).metrics
        return {metric.identifier for metric in metrics.values()}

    digits, patches = taken("digits"), taken("patches")
    assert not digits & set(OUTSIDE)
    assert patches == digits | set(OUTSIDE)
