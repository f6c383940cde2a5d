"""What holds for every method that ships: its state is all it needs, its samples are its seed's."""

from __future__ import annotations

import functools
from importlib.util import find_spec

import pytest
import torch
from registered import flows, methods, trained_in_batches, with_posterior

from cwbench import registry
from cwbench.api import load_method, load_task
from cwbench.check.method import METHOD_CHECKS, MethodSubject
from cwbench.check.outcome import carried_out, name_of
from cwbench.ot import regression

SMALL_BATCH = {"c2ot": {"r_tar": 0.05}}
"""Its default is below the share that the diagonal of so small a batch has."""
FEW = {"steps": 4}
SMALL_SPLINE = {"transforms": 1, "bins": 4, "hidden_layers": 1}
CHEAPER = {
    "azula-dps": FEW,
    "azula-mmps": FEW,
    "sd-fm": {"potential_steps": 20, "beta": 30.0},
    "daps": {"steps": 2, "ode_steps": 2, "langevin_steps": 5},
    "dps": FEW,
    "langevin": {"levels": 20, "steps": 1},
    "latent-mcmc": {"moves": 8, "ode_steps": 2},
    "mcgdiff": {"steps": 20, "particles": 2},
    "mmps": FEW,
    "npe": SMALL_SPLINE,
    "npe-importance": SMALL_SPLINE | {"proposals": 2},
    "pigdm": FEW,
    "pnp-dm": {"steps": 2, "inner": 2},
    "pnp-flow": {"steps": 3, "average": 2},
    "tds": {"steps": 4, "particles": 2},
}
"""The contract does not depend on them; the calibrated weight is tried in `test_baseline_zoo`."""


@pytest.fixture(autouse=True)
def _short_diagnosis(monkeypatch: pytest.MonkeyPatch) -> None:
    """Regressions of a diagnosis take ten steps: they cost most, and decide nothing here."""
    monkeypatch.setattr(regression, "_MOST_EPOCHS", 0)
    monkeypatch.setattr(regression, "_LEAST_STEPS", 10)


AZULA = {"azula-dps", "azula-mmps"}
WITHOUT_AZULA = pytest.mark.skipif(
    find_spec("azula") is None, reason="azula is not installed; type: pip install 'cwbench[azula]'"
)
GUIDED = AZULA | {"daps", "dps", "langevin", "latent-mcmc", "mcgdiff", "mmps", "pigdm", "pnp-dm",
                  "pnp-flow"}  # fmt: skip
ALIKE = GUIDED | {"npe-importance", "sd-fm", "sinkhorn-fm", "w-cfm"}
"""They share the fit, streams and state of `tds`, `npe` or `cot-fm`: with the slow tests."""


def marks_of(method: str) -> list[pytest.MarkDecorator]:
    slow = [pytest.mark.slow] if method in ALIKE else []
    return slow + ([WITHOUT_AZULA] if method in AZULA else [])


@pytest.fixture(params=[pytest.param(m, marks=marks_of(m)) for m in methods()])
def method(request):
    return request.param


TASKS = {n: "digits" for n, cls in methods().items() if "stored-images" in cls.info.needs}
"""The others are tried on vectors."""


@functools.cache
def subject(method: str) -> MethodSubject:
    tasks = iter([load_task(TASKS[method])]) if method in TASKS else None
    return MethodSubject(registry.load_method(method), CHEAPER.get(method), tasks)


@pytest.fixture
def small(bench, method):
    return bench(TASKS.get(method, "gaussian-linear"))


@pytest.mark.parametrize("check", METHOD_CHECKS, ids=name_of)
def test_every_method_passes_the_checks_of_cwbench_check(method, check) -> None:
    outcome = carried_out(check, subject(method), {})
    if outcome.check in subject(method).cls.excused:  # an excuse that is not needed goes
        assert outcome.status == "failed" or method == "azula-dps"  # at 20 steps: its own test
        return
    assert outcome.status in ("passed", "not applicable"), outcome
    if subject(method).cls.info.role == "method":  # what a built-in method may stand aside from
        aside = {"device", "nfe"} | (set() if method in trained_in_batches() else {"resumes"})
        if subject(method).cls.needs(subject(method).params) & {"likelihood", "operator"}:
            aside |= {"class-labels"}  # which have none
        assert outcome.status == "passed" or outcome.check in aside


def draw(method, y, seeded, seed=1):
    return method.sample(y, 16, seeded(seed), 3 if method.info.nfe else None)


def test_samples_are_a_function_of_the_generator(small, method, seeded) -> None:
    fitted = small.fitted(method, **CHEAPER.get(method, {}))
    before = small.y.clone()
    torch.manual_seed(1)
    first = draw(fitted, small.y, seeded)
    torch.manual_seed(2)
    assert torch.equal(draw(fitted, small.y, seeded), first)
    assert not torch.equal(draw(fitted, small.y, seeded, seed=2), first)
    assert torch.equal(small.y, before)


def test_fitting_twice_gives_the_same_samples(small, method, seeded) -> None:
    torch.manual_seed(1)
    first = small.fitted(method, **CHEAPER.get(method, {}))
    torch.manual_seed(2)
    second = small.fitted(method, **CHEAPER.get(method, {}))
    assert torch.equal(draw(first, small.y, seeded), draw(second, small.y, seeded))


@pytest.mark.parametrize("method", flows())
@pytest.mark.parametrize("solver", ["euler", "midpoint", "heun", "rk4"])
def test_flows_evaluate_exactly_their_nfe(bench, method, solver, seeded) -> None:
    small = bench(steps=3)
    settings = SMALL_BATCH.get(method, {}) | CHEAPER.get(method, {})
    flow = small.fitted(method, solver=solver, **settings)
    before = small.meter.evaluations
    flow.sample(small.y, 16, seeded(0), 4)
    assert small.meter.evaluations - before == 4 * 6 * 16


def test_only_controls_are_told_more_than_the_data(method, small) -> None:
    spec = small.bind(method).spec
    needs = load_method(method).cls.info.needs
    assert (spec.posterior is not None) == ("posterior" in needs)
    assert (spec.simulator is not None) == ("simulator" in needs)
    assert (spec.stored_images is not None) == ("stored-images" in needs)
    if load_method(method).cls.info.role == "method":
        assert needs == frozenset()


@pytest.mark.parametrize("task", with_posterior())
def test_what_sampling_needs_has_equal_size_in_both_families(task, bench) -> None:
    small = bench(task, width=256, depth=3, steps=1, training_pairs=100)
    sizes = {
        method: sum(
            value.numel()
            for name, value in small.fitted(method).state_dict().items()
            if not name.startswith("condition.") and not name.endswith("mask")  # no parameter
        )
        for method in ("fm", "cwgan", "npe")
    }
    assert sizes["cwgan"] == pytest.approx(sizes["fm"], rel=0.1)
    assert sizes["npe"] == pytest.approx(sizes["fm"], rel=0.1)
