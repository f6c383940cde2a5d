"""Flow matching against the closed forms of the linear-Gaussian task."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from cwbench.ot import ConditionalOT, fit_regression, label_leak, label_statistic
from cwbench.ot.leak import Batch
from cwbench_baselines.flows import diagnosis
from cwbench_baselines.flows.diagnosis import pair_facts
from cwbench_baselines.flows.pairing import Matched, Pairing, bijection

FLOWS = ["fm", "ot-fm", "cot-fm", "c2ot", "sinkhorn-fm"]


def backwards(z: Tensor, x: Tensor, y: Tensor) -> Tensor:
    return torch.arange(len(x)).flip(0)


@pytest.mark.parametrize("method", FLOWS)
@pytest.mark.parametrize("ot_batch", [1, 3, 7])
def test_latents_and_times_of_a_step_are_the_same_for_all(bench, method, ot_batch) -> None:
    small = bench()
    flow, reference = small.bind(method), small.bind("fm")
    batch = small.preset.batch_size
    z, t = flow.noise(6, ot_batch * batch, small.context())
    for offset in range(ot_batch):
        rows = slice(offset * batch, (offset + 1) * batch)
        expected = reference.noise(6 + offset, batch, small.context())
        assert torch.equal(z[rows], expected[0])
        assert torch.equal(t[rows], expected[1])
    assert ((t >= 0) & (t < 1)).all()


@pytest.mark.parametrize("labels", ["source", "target"])
def test_a_bijection_pairs_and_feeds_source_or_target_labels(bench, labels) -> None:
    x, y = bench().data[:50]
    z = torch.randn(50, 5)
    pairing = Pairing(bijection(backwards), labels)
    pairs = pairing.match(z, x, y)
    assert torch.equal(pairs.z, z)
    assert torch.equal(pairs.x, x.flip(0))
    assert torch.equal(pairing.fed(pairs), y.flip(0) if labels == "target" else y)
    assert pairs.changed == 1.0


@pytest.mark.parametrize(
    ("method", "params", "labels"),
    [
        ("fm", {}, "source"),
        ("ot-fm", {}, "target"),
        ("cot-fm", {"beta": 1.0}, "source"),
        ("cot-fm", {"beta": 1.0, "labels": "target"}, "target"),
        ("c2ot", {}, "target"),
        ("w-cfm", {}, "target"),
    ],
)
def test_each_flow_says_which_condition_it_feeds(bench, method, params, labels) -> None:
    small = bench()
    assert small.bind(method, **params).coupling(small.data, small.context()).labels == labels


def test_a_diagnosed_batch_is_solved_once_and_leaks_as_by_the_library(bench) -> None:
    small = bench()
    solved: list[Batch] = []

    def shifted(z: Tensor, x: Tensor, y: Tensor) -> Tensor:
        solved.append(Batch(z, x, y))
        return torch.arange(len(x)).roll(1)

    pairing = Pairing(bijection(shifted), "source", {"beta": 3.0})
    latents, context = small.task.sample_latent, small.context()
    facts = pair_facts(pairing, latents, small.data, context, 50)
    batches = solved.copy()
    assert len(batches) == 80  # 4000 pairs
    statistic = label_statistic(*small.data.tensors, generator=context.generator("leak"))
    assert facts["pairing_leak"] == label_leak(shifted, batches, statistic)
    assert facts["beta"] == 3.0


def test_weighted_pairs_are_resampled_for_the_diagnosis(bench) -> None:
    """A quarter of the pairs has all the weight: one in four counts, and only those are seen."""
    small = bench()

    def quarter(z: Tensor, x: Tensor, y: Tensor) -> Matched:
        heavy = torch.arange(len(x)) < len(x) // 4
        far = torch.where(heavy[:, None], z + 2.0, x)
        return Matched(z, far, y, y, 0.0, weight=4.0 * heavy)

    facts = pair_facts(
        Pairing(quarter, "target"), small.task.sample_latent, small.data, small.context(), 100
    )
    assert facts["effective_batch"] == 0.25
    assert facts["transport_cost"] == pytest.approx(5 * 2.0**2, rel=1e-5)


def test_the_weight_of_a_match_weighs_the_loss(bench, seeded) -> None:
    small = bench()
    flow = small.fitted("fm")
    x, y = small.data[:50]
    z, t = torch.randn(50, 5, generator=seeded(0)), torch.rand(50, generator=seeded(1))
    first = 50.0 * (torch.arange(50) == 0)
    with torch.no_grad():
        alone = flow.loss(z[:1], x[:1], y[:1], t[:1])
        assert float(flow.loss(z, x, y, t, first)) == pytest.approx(float(alone), rel=1e-4)


@pytest.mark.parametrize("method", FLOWS)
def test_every_example_is_used_once_whatever_the_coupling(bench, method, monkeypatch) -> None:
    small = bench(training_pairs=100, steps=10, batch_size=20)
    params = {} if method == "fm" else {"ot_batch": 5}
    if method == "c2ot":
        params["r_tar"] = 0.05  # above the share that the diagonal of 100 has
    flow = small.bind(method, **params)
    used, paired = [], flow.paired

    def recorded(pairing, z, x, y):
        pairs = paired(pairing, z, x, y)
        used.append(pairs[1])
        return pairs

    monkeypatch.setattr(flow, "paired", recorded)
    flow.fit(small.data, small.context())
    rows = torch.cat(used)[:, 0].sort().values
    x = flow.scaling(small.data.tensors[0])
    assert torch.equal(rows, x[:, 0].repeat(2).sort().values)
    assert [len(part) for part in used] == ([100, 100] if params else [20] * 10)


@pytest.mark.parametrize("method", FLOWS)
def test_one_observation_is_sampled_as_among_others(bench, method, seeded) -> None:
    small = bench()
    flow = small.fitted(method)
    n = 32  # a multiple of 16: the first latents of a longer draw are those of a shorter one
    together = flow.sample(small.y, n, seeded(0), 5)
    alone = flow.sample(small.y[:1], n, seeded(0), 5)
    assert torch.allclose(together[:1], alone, atol=1e-5)
    path = flow.sample_path(small.y[0], n, seeded(0), 5)
    assert path.shape == (6, n, 5)
    assert torch.allclose(path[-1], alone[0], atol=1e-5)
    latents = small.task.sample_latent(n, seeded(0))
    assert torch.equal(path[0], flow.scaling.inverse(latents))  # in the units of x


def independent_velocity(task, t: float, y: Tensor, x_t: Tensor) -> Tensor:
    """E[x - z | x_t, y] where x ~ N(m(y), C) and z ~ N(0, I) are independent."""
    mean, identity = y.double() @ task.K.T, torch.eye(len(task.C), dtype=torch.float64)
    covariance = (1 - t) ** 2 * identity + t**2 * task.C
    gain = torch.linalg.solve(covariance, t * task.C - (1 - t) * identity).T
    return mean + (x_t.double() - t * mean) @ gain.T


def test_diagnostics_without_pairing_are_zero(bench) -> None:
    facts = bench().fitted("fm").diagnostics()
    for name in ("changed_pairs", "pairing_leak", "prior_skew"):
        assert facts[name] == 0.0
    assert facts["labels"] == "source"
    assert facts["transport_cost"] == facts["transport_cost_drawn"]


def test_plain_ot_skews_the_prior(bench) -> None:
    facts = bench(training_pairs=5_000, batch_size=200).fitted("ot-fm").diagnostics()
    assert facts["labels"] == "target"
    assert facts["changed_pairs"] > 0.9
    assert facts["prior_skew"] > 0.3
    assert facts["pairing_leak"] == 0.0


def test_conditional_ot_keeps_to_its_leak(bench) -> None:
    facts = bench(training_pairs=5_000, batch_size=200).fitted("cot-fm", leak=0.02).diagnostics()
    assert facts["calibration"] == "posterior-mean"
    assert not facts["calibration_blind"]
    assert facts["calibration_leak"] <= 0.02
    assert 0.01 < facts["pairing_leak"] < 0.03  # on other batches
    assert facts["changed_pairs"] > 0.1
    assert facts["prior_skew"] == 0.0


def test_blind_calibration_says_so_and_what_it_did(bench) -> None:
    facts = bench("sign-symmetric", training_pairs=5_000).fitted("cot-fm").diagnostics()
    assert facts["calibration_blind"] is True
    assert facts["calibration"] == "standardised-y"
    assert facts["calibration_r2"] < 0.01
    assert facts["calibration_leak"] <= 0.01
    assert facts["beta"] > 0


@pytest.mark.parametrize("method", ["cot-fm", "sinkhorn-fm", "sd-fm"])
def test_a_mean_that_is_blind_to_a_part_of_y_is_noticed_by_all_that_calibrate(
    bench, method
) -> None:
    """The mean of two moons moves along one direction of y alone; the other must not be mixed."""
    moons = bench("two-moons", training_pairs=20_000, batch_size=200)
    facts = moons.fitted(method).diagnostics()
    assert facts["calibration_blind"] is True
    assert facts["calibration"] == "standardised-y"
    assert facts["covariance_leak"] > 0.1
    assert facts["pairing_covariance_leak"] < 0.01
    assert facts["pairing_leak"] < 0.01


def test_the_diagnosis_sees_conditions_mixed_where_the_mean_does_not_move(bench) -> None:
    """Two moons: y_1 says |x_1 + x_2|, whose sign is open, so that no mean depends on it."""
    small = bench("two-moons", training_pairs=20_000)
    data = small.data
    x, y = data[:]
    mean = fit_regression(y, x, generator=torch.Generator().manual_seed(0))
    coupling = ConditionalOT(300.0, mean)
    pairing = Pairing(bijection(coupling), "source", {})

    def latents(n: int, generator: torch.Generator) -> Tensor:
        return torch.randn(n, *x.shape[1:], generator=generator)

    facts = pair_facts(pairing, latents, data, small.context(), 1_000)
    z, labels = latents(1_000, torch.Generator().manual_seed(1)), y[:1_000]
    moved = (labels - labels[coupling(z, x[:1_000], labels)]).square().mean(0) / (2 * y.var(0))
    assert moved[1] < 0.01
    assert moved[0] > 0.2
    assert facts["pairing_leak"] < 0.01
    assert facts["pairing_covariance_leak"] > 0.1


@pytest.mark.parametrize("method", [*FLOWS, "sd-fm", "w-cfm"])
def test_a_condition_that_never_changes_is_fitted_and_leaks_nothing(bench, method) -> None:
    small = bench()
    x, y = small.data[:]
    flow = small.bind(method)
    flow.fit(TensorDataset(x, torch.ones_like(y)), small.context())
    facts = flow.diagnostics()
    assert facts["pairing_leak"] == 0.0
    assert not facts.get("pairing_covariance_leak")


def test_class_labels_are_paired_within_their_class(bench) -> None:
    small = bench("eight-gaussians-moons", {"condition": "class"})
    facts = small.fitted("cot-fm").diagnostics()
    assert facts["calibration"] == "class-label"
    assert facts["beta"] == "inf"
    assert facts["pairing_leak"] == 0.0
    assert facts["changed_pairs"] > 0.8


def test_infinite_beta_is_independent_pairing_where_all_y_differ(bench, seeded) -> None:
    small = bench()
    flows = small.fitted("cot-fm", beta=float("inf")), small.fitted("fm")
    infinite, independent = (flow.sample(small.y, 16, seeded(0), 3) for flow in flows)
    assert torch.equal(infinite, independent)


def test_zero_beta_with_target_labels_is_plain_ot(bench, seeded) -> None:
    small = bench()
    relaxed, plain = small.fitted("cot-fm", beta=0, labels="target"), small.fitted("ot-fm")
    y = small.y
    assert torch.equal(relaxed.sample(y, 16, seeded(0), 3), plain.sample(y, 16, seeded(0), 3))
    assert not torch.equal(
        small.fitted("fm").sample(y, 16, seeded(0), 3), plain.sample(y, 16, seeded(0), 3)
    )


@pytest.mark.parametrize("beta", [-1, float("nan"), "much"])
def test_bad_beta_is_refused(bench, beta) -> None:
    with pytest.raises(ValueError, match="beta"):
        bench().bind("cot-fm", beta=beta)


def velocity_errors(task, flow, seeded, times: list[float]) -> list[float]:
    """Mean squared error of the velocity over its variance at each time, on fresh pairs."""
    x, y = task.sample_joint(2_000, seeded(1))
    z = torch.randn(2_000, 2, generator=seeded(2))
    errors = []
    for t in times:
        x_t = (1 - t) * z + t * x
        with torch.no_grad():
            got = flow.velocity(torch.full((2_000,), t), x_t, flow.velocity.condition(y))
        expected = independent_velocity(task, t, y, x_t)
        error = (got - expected).square().sum(1).mean() / expected.var(0).sum()
        errors.append(float(error))
    return errors


LINEAR = {"training_pairs": 20_000, "width": 64, "batch_size": 200}


def test_fm_learns_the_conditional_mean_of_the_displacement(bench, seeded) -> None:
    small = bench(params={"dimension": 2}, steps=1_500, **LINEAR)
    task, flow = small.task, small.fitted("fm")
    assert max(velocity_errors(task, flow, seeded, [0.0, 0.3, 0.5])) < 0.05

    # one step from t = 0 lands on E[x | y], since v(0, y, z) = E[x | y] - z
    y = task.sample_joint(50, seeded(1)).y
    one_step = flow.sample(y, 64, seeded(3), 1)
    mean = task.posterior_moments(y).mean
    total = 2.0  # tr Cov X
    assert (one_step.mean(1) - mean).square().sum(1).mean() < 0.05 * total
    assert one_step.var(1).sum(1).mean() < 0.1 * total


@pytest.mark.slow
def test_fm_converges_to_the_closed_forms(bench, seeded) -> None:
    small = bench(params={"dimension": 2}, steps=10_000, **LINEAR)
    task, flow = small.task, small.fitted("fm")
    assert max(velocity_errors(task, flow, seeded, [0.0, 0.1, 0.3, 0.5])) < 0.01

    y = task.sample_joint(100, seeded(1)).y
    mean, covariance = task.posterior_moments(y)
    trace = float(covariance[0].trace())
    many = flow.sample(y, 512, seeded(3), 50).double()
    assert (many.mean(1) - mean).square().sum(1).mean() < 0.05 * trace
    spread = torch.stack([sample.T.cov() for sample in many]).mean(0)
    assert torch.allclose(spread, covariance[0], atol=0.1 * trace)


@pytest.mark.parametrize("held", [2**12, None])
def test_paths_of_large_pictures_are_diagnosed_some_at_a_time(
    bench, monkeypatch, held: int | None
) -> None:
    shape = (3, 4)
    held = held or diagnosis.HELD_NUMBERS
    monkeypatch.setattr(diagnosis, "HELD_NUMBERS", held)
    sizes: list[int] = []

    def solved(z: Tensor, _: Tensor, steps: int) -> Tensor:
        """Along z with speed 1 to the middle, then with speed 3."""
        sizes.append(steps * z.numel())
        t = torch.linspace(0, 1, steps + 1)
        return z + torch.stack([z * s for s in torch.maximum(t, 3 * t - 1)])

    small = bench()
    facts = diagnosis.path_facts(
        solved, lambda n, _: torch.ones(n, *shape), small.data, small.context()
    )
    assert max(sizes) <= held
    assert (len(sizes) == 1) == (held > 2**12)  # vectors and small images at once, as ever
    assert sum(sizes) == 256 * 32 * torch.Size(shape).numel()
    assert facts["path_energy"] == pytest.approx(5 * torch.Size(shape).numel())  # (1 + 9) / 2
    assert facts["straightness"] == pytest.approx(4 / 5)
