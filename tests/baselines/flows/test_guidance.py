"""Condition dropout and guidance: which pairs lose their class, and what sampling costs."""

from __future__ import annotations

import pytest
import torch

from cwbench.api import load_method, load_task
from cwbench.errors import UsageError
from cwbench.running.request import resolve
from cwbench_baselines.flows.loss import NO_CLASS


def test_dropout_and_guidance_are_fits_of_their_own() -> None:
    plain = resolve("digits", "fm")
    settings = {"method.condition_dropout": 0.1}
    dropped = resolve("digits", "fm", given=settings)
    guided = resolve("digits", "fm", given=settings | {"method.guidance": 2})
    assert len({request.fit_key for request in (plain, dropped, guided)}) == 3


@pytest.mark.parametrize("nfe", [2, 6])
def test_guided_sampling_counts_two_evaluations(bench, seeded, nfe) -> None:
    small = bench("digits", steps=1)
    flow = small.fitted("fm", condition_dropout=0.2, guidance=2)
    before = small.meter.evaluations
    flow.sample(small.y, 4, seeded(0), nfe)
    assert small.meter.evaluations - before == nfe * 6 * 4


@pytest.mark.parametrize(("nfe", "solver"), [(3, "euler"), (2, "heun"), (6, "heun")])
def test_an_nfe_that_cannot_be_hit_is_refused(run, nfe, solver) -> None:
    settings = {"condition_dropout": 0.2, "guidance": 2, "solver": solver}
    with pytest.raises(UsageError, match=r"two evaluations|multiple of 2"):
        run("fm", "digits", settings=settings, nfe=[nfe])


def test_guidance_without_dropout_and_dropout_without_classes_are_refused(run) -> None:
    with pytest.raises(UsageError, match=r"guidance = 2.*method.condition_dropout=0.1"):
        run("fm", "digits", settings={"guidance": 2})
    record = run("fm", settings={"condition_dropout": 0.1})
    assert record.status == "failed"
    assert "condition_dropout needs classes" in record.error


def test_dropout_is_a_share_of_pairs_and_a_function_of_the_step(bench) -> None:
    small = bench("digits")
    flow = small.bind("fm", condition_dropout=0.25)
    drawn = torch.stack([flow.dropped(s, 200, small.context()) for s in range(40)])
    assert float(drawn.double().mean()) == pytest.approx(0.25, abs=0.02)
    assert torch.equal(drawn[7], flow.dropped(7, 200, small.context()))


def test_no_class_is_fed_as_zeros_and_classes_as_they_are(bench) -> None:
    velocity = bench("digits").fitted("fm", condition_dropout=0.25).velocity
    fed = velocity.embedded(torch.tensor([3, NO_CLASS]))
    assert torch.equal(fed[:1], velocity.condition(torch.tensor([3])))
    assert torch.equal(fed[1], torch.zeros(10))


def test_guidance_is_the_line_through_both_velocities() -> None:
    """One Euler step from z: x = z + v, so w moves the sample along a straight line."""
    task = load_task("digits")
    preset = task.info.presets["smoke"]
    y = torch.tensor([3, 7])
    samples = {}
    state = None
    for w in (0.0, 1.0, 3.0):
        dropout = {"condition_dropout": 0.5}
        method = load_method("fm", guidance=w, **dropout).on(task, preset)
        if state is None:
            torch.manual_seed(0)
            network = method.spec.network((64, 1, 10), 64)
            state = {f"network.{k}": v for k, v in network.state_dict().items()}
            state |= {"condition.mean": torch.zeros(10), "condition.deviation": torch.ones(10)}
            state |= {"scaling.mean": torch.zeros(()), "scaling.deviation": torch.ones(())}
        method.load_state_dict(state)
        generator = torch.Generator().manual_seed(1)
        samples[w] = method.sample(y, 2, generator, 1 if w == 1 else 2)
    expected = samples[0.0] + 3 * (samples[1.0] - samples[0.0])
    assert torch.allclose(samples[3.0], expected, atol=1e-5)
    assert not torch.allclose(samples[0.0], samples[1.0], atol=1e-3)
