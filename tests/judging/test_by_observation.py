"""The harness's formulas against the same written out by hand, on a task with a closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy import stats
from scipy.optimize import linear_sum_assignment
from shifted import PRESET, Biased, Farthest, First, M, MeanGap, N, Shifted, SquaredError, Unknown
from torch import Generator, Tensor

from cwbench.errors import ContractError
from cwbench.judging.by_set import measured_set, set_value
from cwbench.judging.judge import Judge
from cwbench.judging.measured import Scores
from cwbench.judging.uniformity import highest, uniformity
from cwbench.metrics.moments import MeanError
from cwbench.metrics.wasserstein import W2Squared

pytestmark = pytest.mark.usefixtures("one_thread")


def w2_by_hand(a: Tensor, b: Tensor) -> list[float]:
    values = []
    for p, q in zip(a.double().numpy(), b.double().numpy(), strict=True):
        cost = ((p[:, None] - q[None]) ** 2).sum(-1)
        values.append(cost[linear_sum_assignment(cost)].mean())
    return values


def test_value_floor_and_plug_in_are_their_formulas(judge, samples) -> None:
    scores = judge.score(W2Squared(judge.task), samples)
    a1, a2 = samples[:, :N], samples[:, N:]
    b1, b2 = judge.reference
    cross = (np.array(w2_by_hand(a1, b1)) + np.array(w2_by_hand(a2, b2))) / 2
    self_a, self_b = np.array(w2_by_hand(a1, a2)), np.array(w2_by_hand(b1, b2))
    assert scores.plug_in.numpy() == pytest.approx(cross, rel=1e-10)
    assert scores.floor.numpy() == pytest.approx(self_b, rel=1e-10)
    assert scores.value.numpy() == pytest.approx(cross - (self_a + self_b) / 2, rel=1e-9)
    trace = b1.var(1).sum(1)
    assert scores.resolution.numpy() == pytest.approx(1 - self_b / (2 * trace.numpy()), rel=1e-9)


def test_a_draw_far_out_is_in_the_plug_in_and_not_in_the_value(judge, samples) -> None:
    """The known limit of docs/reading.md: what one half alone has, both terms have alike."""
    far, away = samples.clone(), 1e4
    far[0, 0, 0] += away
    before, after = (judge.score(W2Squared(judge.task), draws) for draws in (samples, far))
    added = away**2 / (2 * N)
    assert float(after.plug_in[0] - before.plug_in[0]) == pytest.approx(added, rel=0.01)
    assert abs(float(after.value[0] - before.value[0])) < 0.01 * added
    assert torch.equal(after.value[1:], before.value[1:])


def test_a_metric_that_is_not_debiased_is_left_alone(judge, samples) -> None:
    debiased, biased = (
        judge.score(MeanGap(judge.task), samples),
        judge.score(Biased(judge.task), samples),
    )
    assert torch.equal(biased.value, debiased.plug_in)
    assert not torch.allclose(debiased.value, debiased.plug_in)
    assert torch.equal(biased.floor, debiased.floor)


def test_halves_are_multiplied_by_split_metrics(judge, samples) -> None:
    scores = judge.score(MeanError(judge.task), samples)
    y = judge.observations.y.double()
    e1, e2 = (half.double().mean(1) - y for half in samples.split(N, 1))
    assert torch.allclose(scores.value, (e1 * e2).sum(1) / 2)
    assert torch.allclose(scores.plug_in, e1.square().sum(1) / 2)


def test_pair_metrics_get_the_x_behind_each_observation(judge, samples) -> None:
    scores = judge.score(SquaredError(judge.task), samples)
    expected = (samples.double().mean(1) - judge.observations.x).square().sum(1)
    assert torch.allclose(scores.value, expected)
    assert scores.plug_in is None


def test_floor_of_a_pair_metric_is_the_score_of_all_exact_draws(judge, samples) -> None:
    scores = judge.score(SquaredError(judge.task), samples)
    exact = torch.cat(judge.reference, 1).mean(1)
    assert torch.allclose(scores.floor, (exact - judge.observations.x).square().sum(1))
    unknown = Judge(Unknown(), PRESET)
    assert unknown.score(SquaredError(unknown.task), samples).floor is None


def test_ranks_of_a_calibration_metric_become_a_distance_from_uniform(judge, samples) -> None:
    scores = judge.score(First(judge.task), samples)
    u = First(judge.task).ranks(samples.double(), judge.observations.x.double(), None)
    expected = 0.25 * uniformity(u[:, :1], torch.ones(1).double()).value
    expected += 0.75 * uniformity(u[:, 1:], torch.ones(1).double()).value
    assert torch.allclose(scores.value, expected)
    assert scores.floor.tolist() == pytest.approx([1 / (6 * M)] * M)
    entry = judge.entry(First(judge.task), scores)
    assert entry["p90"] is None
    assert entry["value"] == pytest.approx(float(expected.mean()))


def test_an_interval_is_no_narrower_than_chance_alone(judge) -> None:
    even = torch.linspace(0.05, 0.95, M, dtype=torch.float64)[:, None]
    value, plug_in, floor, least_error = uniformity(even, torch.ones(1).double())
    scores = Scores(value, plug_in, floor, least_error=least_error)
    entry = judge.entry(First(judge.task), scores)
    quantile = stats.t.ppf(0.975, M - 1)
    assert entry["value"] - entry["low"] == pytest.approx(quantile * least_error)
    assert least_error == pytest.approx((45 * M * (M - 1)) ** -0.5)
    assert entry["high"] == pytest.approx(highest(entry["value"], M, least_error, quantile))
    assert entry["high"] > 0


def test_ranks_of_the_wrong_shape_are_refused(judge, samples) -> None:
    class Short(First):
        def ranks(self, samples: Tensor, x: Tensor, y: Tensor) -> Tensor:
            return super().ranks(samples, x, y)[:, :1]

    with pytest.raises(ContractError, match=r"first returned ranks of shape \(9, 1\)"):
        judge.score(Short(judge.task), samples)


def test_set_metrics_start_empty_each_time(judge) -> None:
    metric = Farthest(judge.task)
    for _ in range(2):
        value = set_value(
            metric, lambda y, n: judge.task.sample_posterior(y, n, Generator()), judge.key
        )
        assert value == 30.0


def test_observations_and_references_do_not_depend_on_the_method_or_seed(samples) -> None:
    first, second = Judge(Shifted(), PRESET), Judge(Shifted(), PRESET)
    torch.manual_seed(1)
    first.score(MeanGap(first.task), samples)
    torch.manual_seed(2)
    assert torch.equal(first.observations.y, second.observations.y)
    assert all(torch.equal(a, b) for a, b in zip(first.reference, second.reference, strict=True))
    b1, b2 = first.reference
    assert not torch.equal(b1, b2)
    dev = Judge(Shifted(), PRESET.model_copy(update={"split": "dev"}))
    assert not torch.equal(dev.observations.y, first.observations.y)


def test_reference_is_drawn_once_for_all_metrics(judge, samples) -> None:
    for metric in (W2Squared, MeanGap, MeanError):
        judge.score(metric(judge.task), samples)
    assert judge.task.drawn == 1


def test_known_bias_and_scale_are_measured() -> None:
    """W_2^2 of N(y + delta, s^2 I) is |delta|^2 + 2 (1 - s)^2, the latter seen through rho."""
    preset = PRESET.model_copy(update={"observations": 60, "samples": 250})
    judge = Judge(Shifted(), preset)
    noise = torch.randn(60, 500, 2, generator=Generator().manual_seed(8))
    samples = judge.observations.y[:, None] + 0.5 + 1.3 * noise
    entry = judge.measured(W2Squared(judge.task), samples).entry
    expected = 0.5 + entry["resolution"] * 2 * 0.3**2
    error = (entry["high"] - entry["low"]) / 4
    assert entry["value"] == pytest.approx(expected, abs=4 * error)
    assert error < 0.03


# the cache of floors


def floors(directory) -> list:
    return sorted(directory.glob("*.safetensors"))


def test_floor_is_computed_once_and_kept(tmp_path, samples) -> None:
    first = Judge(Shifted(), PRESET, tmp_path)
    scores = first.score(MeanGap(first.task), samples)
    (file,) = floors(tmp_path)
    assert torch.equal(load_file(file)["floor"], scores.floor)
    before = MeanGap.calls
    again = Judge(Shifted(), PRESET, tmp_path)
    assert torch.equal(again.score(MeanGap(again.task), samples).value, scores.value)
    assert MeanGap.calls - before == 3 * M  # two cross terms and one self term, no floor


def test_floors_of_every_kind_are_kept(tmp_path, samples) -> None:
    kinds = (MeanGap, MeanError, SquaredError)
    first = Judge(Shifted(), PRESET, tmp_path)
    scores = {kind: first.score(kind(first.task), samples) for kind in kinds}
    assert len(floors(tmp_path)) == 3
    for kind in kinds:
        again = Judge(Shifted(), PRESET, tmp_path)
        assert torch.equal(again.score(kind(again.task), samples).floor, scores[kind].floor)
    pair = Judge(Shifted(), PRESET, tmp_path)
    pair.score(SquaredError(pair.task), samples)
    assert pair.task.drawn == 1  # what is drawn decides whether the kept floor is the right one


@pytest.mark.parametrize("damage", ["truncated", "empty", "foreign", "nan", "short", "directory"])
def test_a_damaged_floor_is_computed_again(tmp_path, samples, damage) -> None:
    judge = Judge(Shifted(), PRESET, tmp_path)
    expected = judge.score(MeanGap(judge.task), samples)
    (file,) = floors(tmp_path)
    content = file.read_bytes()
    from safetensors.torch import save

    damaged = {
        "truncated": content[:-8],
        "empty": b"",
        "foreign": save({"other": torch.zeros(M)}),
        "nan": save({"floor": torch.full((M,), torch.nan, dtype=torch.float64)}),
        "short": save({"floor": torch.zeros(M - 1, dtype=torch.float64)}),
        "directory": b"not a tensor file at all",
    }
    file.write_bytes(damaged[damage])
    again = Judge(Shifted(), PRESET, tmp_path).score(MeanGap(judge.task), samples)
    assert torch.equal(again.value, expected.value)
    assert torch.equal(load_file(file)["floor"], expected.floor)


@pytest.mark.parametrize("change", [{"samples": 20}, {"observations": 5}, {"split": "dev"}])
def test_floors_of_other_sizes_are_others(tmp_path, change) -> None:
    for preset in (PRESET, PRESET.model_copy(update=change)):
        judge = Judge(Shifted(), preset, tmp_path)
        judge.score(MeanGap(judge.task), torch.cat(judge.reference, 1))
    assert len(floors(tmp_path)) == 2


# summaries


def test_interval_is_the_t_interval(judge) -> None:
    value = torch.tensor([1.0, 2.0, 4.0, 5.0], dtype=torch.float64)
    scores = Scores(value, plug_in=value + 1, floor=value * 0.1, resolution=value * 0 + 0.7)
    entry = judge.entry(W2Squared(judge.task), scores)
    deviation = math.sqrt((4 + 1 + 1 + 4) / 3)
    half = 3.182446305284263 * deviation / 2  # t_{.975} with 3 degrees of freedom, sqrt(4) = 2
    assert entry["value"] == 3.0
    assert (entry["low"], entry["high"]) == pytest.approx((3 - half, 3 + half), rel=1e-12)
    assert (entry["plug_in"], entry["floor"]) == pytest.approx((4.0, 0.3))
    assert entry["p90"] == pytest.approx(4.7)
    assert entry["resolution"] == pytest.approx(0.7)
    assert entry["low_resolution"] is True
    assert (entry["n_observations"], entry["n_samples"], entry["level"]) == (4, N, 0.95)
    assert entry["direction"] == "lower"


def test_a_value_that_is_not_finite_is_null(judge) -> None:
    bad = torch.tensor([1.0, torch.inf, 2.0], dtype=torch.float64)
    for entry in (
        judge.entry(W2Squared(judge.task), Scores(bad, plug_in=bad)),
        judge.without_value(W2Squared(judge.task)).entry,
    ):
        assert [entry[k] for k in ("value", "low", "high", "plug_in", "p90")] == [None] * 5


def test_a_set_metric_has_no_interval_within_a_run(judge) -> None:
    entry = measured_set(Farthest(judge.task), 2.5, None).entry
    assert (entry["value"], entry["low"], entry["high"]) == (2.5, None, None)
    assert entry["n_observations"] == 30
