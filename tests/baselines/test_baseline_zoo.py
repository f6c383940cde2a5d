"""The further couplings and families against closed forms, limits and counts."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from cwbench.api import load_method, load_task
from cwbench.ot import MinibatchOT, calibrate_beta, energy_distance
from cwbench.running.request import problem_spec
from cwbench.training.networks import Meter
from cwbench_baselines.diffusion import HEUN_FROM, heun
from cwbench_baselines.energy_generator import energy_score
from cwbench_baselines.npe import NeuralPosteriorEstimation
from cwbench_baselines.rcgan import GAIN_DB, GAUSSIAN_WEIGHT, SpreadWeight, supervised

LARGE = {"training_pairs": 3_000, "batch_size": 100}


@pytest.mark.parametrize("method", ["ot-fm", "c2ot", "sinkhorn-fm", "w-cfm", "sd-fm"])
def test_flows_tell_their_transport_and_their_paths(bench, method) -> None:
    settings = {"potential_steps": 50} if method == "sd-fm" else {}  # of 5,000
    facts = bench(**LARGE).fitted(method, **settings).diagnostics()
    assert 0 < facts["straightness"] <= 1
    assert facts["path_energy"] > 0
    if method != "w-cfm":  # resampled pairs
        assert facts["transport_cost"] < facts["transport_cost_drawn"]
    fed_with_data = method in ("ot-fm", "c2ot", "w-cfm")
    assert facts["labels"] == ("target" if fed_with_data else "source")
    assert (facts["pairing_leak"] == 0) == fed_with_data


def test_path_facts_of_known_velocities(bench) -> None:
    small = bench(params={"dimension": 2})
    flow = small.fitted("fm")

    class Field(nn.Module):
        def __init__(self, rule) -> None:
            super().__init__()
            self.rule = rule

        def condition(self, y: Tensor) -> Tensor:
            return y

        def forward(self, t: Tensor, x_t: Tensor, condition: Tensor) -> Tensor:
            return self.rule(t[:, None], x_t)

    flow.velocity = Field(lambda t, x: torch.full_like(x, 3.0))
    facts = flow.path_facts(small.data, small.context())
    assert facts["path_energy"] == pytest.approx(18, rel=1e-5)
    assert facts["straightness"] == pytest.approx(1, rel=1e-5)
    flow.velocity = Field(lambda t, x: torch.full_like(x, 3.0) * torch.sign(0.49 - t))
    bent = flow.path_facts(small.data, small.context())
    assert bent["path_energy"] == pytest.approx(18, rel=1e-5)
    assert bent["straightness"] == pytest.approx(0, abs=1e-6)
    flow.velocity = Field(lambda t, x: x * math.nan)
    assert flow.path_facts(small.data, small.context())["path_energy"] is None


def test_the_a2a_rule_leaks_in_few_dimensions_and_is_its_formula(bench) -> None:
    facts = bench(training_pairs=5_000, batch_size=200).fitted("cot-fm", beta="a2a").diagnostics()
    assert facts["beta"] == pytest.approx(200 ** (1 / 10))
    assert facts["pairing_leak"] > 0.005  # the calibrated beta allows .001


def test_moments_see_what_the_mean_does_not(bench, seeded) -> None:
    small = bench("sign-symmetric", training_pairs=5_000)
    x, y = small.data.tensors
    options = {"batch": 100, "generator": seeded(0), "target": 0.01}
    found = calibrate_beta(x, y, small.task.sample_latent, compare="moments", **options)
    assert not found.blind
    assert found.r2 > 0.3
    assert found.leak <= 0.01
    with pytest.raises(ValueError, match="blind"):
        calibrate_beta(x, y, small.task.sample_latent, compare="posterior-mean", **options)
    facts = small.fitted("cot-fm", compare="moments").diagnostics()
    assert facts["calibration"] == "moments"


def test_entropic_pairs_keep_to_the_leak(bench) -> None:
    facts = bench(training_pairs=5_000, batch_size=200).fitted("sinkhorn-fm", leak=0.02)
    found = facts.diagnostics()
    assert 0.01 < found["pairing_leak"] < 0.03
    assert found["changed_pairs"] > 0.1


def test_weights_are_one_where_eps_is_infinite_and_fall_with_distance(bench, seeded) -> None:
    small = bench()
    x, y = small.data[:50]
    z = torch.randn(50, 5, generator=seeded(0))
    limit = small.bind("w-cfm", epsilon=1e6).coupling(small.data, small.context())
    assert limit.match(z, x, y).weight.numpy() == pytest.approx(1, abs=1e-4)
    near = small.bind("w-cfm", epsilon=0.5).coupling(small.data, small.context())
    w, distance = near.match(z, x, y).weight, (z - x).norm(dim=1)
    assert float(w.mean()) == pytest.approx(1, rel=1e-5)
    ratio = torch.exp(-(distance[0] - distance[1]) / near.facts["epsilon"])
    assert float(w[0] / w[1]) == pytest.approx(float(ratio), rel=1e-4)


def test_weighted_flow_is_fm_in_the_limit(bench, seeded) -> None:
    small = bench()
    flows = small.fitted("w-cfm", epsilon=1e9), small.fitted("fm")
    y = small.y
    limit, plain = (flow.sample(y, 16, seeded(0), 3) for flow in flows)
    assert torch.allclose(limit, plain, atol=1e-3)


def test_semidiscrete_pairs_are_training_pairs(bench, seeded) -> None:
    small = bench(training_pairs=500)
    flow = small.bind("sd-fm", potential_steps=50)
    x, y = small.data[:50]
    match = flow.coupling(small.data, small.context()).match
    pairs = match(torch.randn(50, 5, generator=seeded(0)), x, y)
    joined = {tuple(row) for row in torch.cat(small.data.tensors, 1).tolist()}
    assert {tuple(row) for row in torch.cat([pairs.x, pairs.y_target], 1).tolist()} <= joined
    assert torch.equal(pairs.y_source, y)


def test_potentials_that_did_not_converge_are_marked(bench) -> None:
    small = bench("eight-gaussians-moons", training_pairs=30)
    for steps, converged in ((1, False), (600, True)):
        flow = small.bind("sd-fm", potential_steps=steps, beta=30.0)
        facts = flow.coupling(small.data, small.context()).facts
        assert facts["potentials_converged"] == converged == (facts["data_chi_squared"] <= 0.25)


def test_c2ot_without_slack_is_plain_ot(bench, seeded) -> None:
    small = bench()
    pairing = small.bind("c2ot", r_tar=1.0).coupling(small.data, small.context())
    x, y = small.data[:50]
    z = torch.randn(50, 5, generator=seeded(0))
    assert torch.equal(pairing.match(z, x, y).sigma, MinibatchOT()(z, x, y))


class Gaussian(nn.Module):
    """The exact denoiser of N(0, 1): D = x / (1 + sigma^2)."""

    mean, deviation = torch.zeros(2), torch.ones(())

    def condition(self, y: Tensor) -> Tensor:
        return y

    def forward(self, x: Tensor, sigma: Tensor, condition: Tensor) -> Tensor:
        return x / (1 + sigma[:, None] ** 2)


@pytest.mark.parametrize(
    ("nfe", "within"), [(31, 0.06), (32, 0.06), (100, 0.01), ("adaptive", 0.01)]
)
def test_the_exact_denoiser_samples_its_gaussian(bench, seeded, nfe, within) -> None:
    small = bench(params={"dimension": 2})
    method = small.bind("diffusion")
    method.denoiser = Gaussian()
    x = method.sample(small.y[:1], 4_000, seeded(0), nfe)
    noise = torch.randn(4_000, 2, generator=seeded(0))
    assert float((x[0] / noise).median()) == pytest.approx(1, abs=within)


@pytest.mark.parametrize("nfe", [1, 2, 3, HEUN_FROM - 1, HEUN_FROM, HEUN_FROM + 1])
def test_diffusion_evaluates_exactly_its_nfe(bench, seeded, nfe) -> None:
    small = bench(steps=3)
    fitted = small.fitted("diffusion")
    before = small.meter.evaluations
    fitted.sample(small.y, 16, seeded(0), nfe)
    assert small.meter.evaluations - before == nfe * 6 * 16


def test_heun_is_of_second_order() -> None:
    """dx/dsigma = x from 1 to 0.1: exact exp(-.9); halving the step quarters the error."""
    errors = []
    for steps in (10, 20):
        levels = torch.linspace(1, 0.1, steps + 1, dtype=torch.float64)
        x = heun(lambda x, _: x, torch.ones(1, dtype=torch.float64), levels, steps)
        errors.append(abs(float(x) - math.exp(-0.9)))
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.1)


def test_the_flow_of_npe_is_a_density_of_what_it_draws(bench, seeded) -> None:
    small = bench(params={"dimension": 1}, training_pairs=2_000, steps=200)
    flow = small.fitted("npe").flow
    grid = torch.linspace(-8, 8, 4_001)[:, None]
    with torch.no_grad():
        y = small.y[:1].expand(4_001, -1)
        density = flow(grid, y).exp() / flow.deviation
        drawn = flow.draw(
            torch.randn(20_000, 1, generator=seeded(0)), small.y[:1].expand(20_000, -1)
        )
    step = 16 / 4_000
    assert float(density.sum() * step) == pytest.approx(1, abs=1e-3)
    mean = float((density * grid[:, 0]).sum() * step)
    assert float(drawn.mean()) == pytest.approx(mean, abs=0.05)


def bound_to_images(preset: str, **settings: str) -> NeuralPosteriorEstimation:
    """`npe` on super-resolution."""
    task, chosen = load_task("super-resolution", **settings), load_method("npe")
    sizes, cpu = task.info.presets[preset], torch.device("cpu")
    spec = problem_spec(task, chosen.cls, chosen.params, sizes, Meter(), cpu)
    return NeuralPosteriorEstimation(chosen.params, spec)


def test_npe_is_refused_where_its_hidden_layers_would_have_a_unit() -> None:
    small, large = bound_to_images("quick"), bound_to_images("quick", prior="patches")
    for method, refused in ((small, False), (large, True)):
        with torch.random.fork_rng():
            flow = method._flow().flow
        width = flow.transform.transforms[0].hyper[0].out_features
        assert (width < 8) == refused
        told = method.unsupported(method.spec)
        if refused:
            assert "on 256 entries of x has hidden layers of 1;" in told
            assert width == 1
            assert "e.g. fm" in told
        else:
            assert told is None
    before = torch.get_rng_state()
    assert "on 784 entries" in str(large.unsupported(bound_to_images("quick", prior="mnist").spec))
    assert torch.equal(torch.get_rng_state(), before)


def test_budget_of_npe_is_counted(bench) -> None:
    small = bench(steps=20)
    method, context = small.bind("npe"), small.context()
    method.fit(small.data, context)
    assert small.meter.passes == context.budget


def test_energy_score_differs_by_a_constant_of_the_data_from_half_the_energy_distance() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(400, 2, generator=generator)
    models = [
        torch.randn(400, 2, generator=generator) * s + m for s, m in ((1, 0), (0.5, 1), (2, 0))
    ]
    own = torch.pdist(x).mean() / 2
    for fakes in models:
        score = energy_score(x, fakes.expand(400, 400, 2))
        expected = float(energy_distance(x, fakes)) / 2 + float(own)
        assert float(score) == pytest.approx(expected, abs=0.01)


def test_regularisation_is_least_at_the_true_deviation_of_a_gaussian() -> None:
    generator = torch.Generator().manual_seed(0)
    x, noise = (
        torch.randn(200_000, 1, generator=generator),
        torch.randn(2, 200_000, 1, generator=generator),
    )
    scales = torch.arange(0.6, 1.45, 0.05)
    losses = [float(supervised(x, s * noise, GAUSSIAN_WEIGHT)) for s in scales]
    assert float(scales[int(torch.tensor(losses).argmin())]) == pytest.approx(1, abs=0.11)
    collapsed = [float(supervised(x, s * noise, 0.0)) for s in scales]
    assert collapsed.index(min(collapsed)) == 0  # without the reward it collapses


def test_the_weight_on_spread_moves_towards_the_gain_of_exact_samples() -> None:
    weight = SpreadWeight()
    weight.adapt(GAIN_DB - 1)
    assert weight.value > GAUSSIAN_WEIGHT
    weight.adapt(GAIN_DB + 2)
    assert weight.value < GAUSSIAN_WEIGHT
    assert pytest.approx(2.5, abs=0.01) == GAIN_DB
    again = SpreadWeight()
    again.load_state_dict(weight.state_dict())
    assert vars(again) == vars(weight)
