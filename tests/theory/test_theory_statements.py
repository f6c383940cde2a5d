"""The statements hold, and fail when a sign or a power of what computes them changes."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from cwbench import ot
from cwbench.ot import coupling
from cwbench.theory import STATEMENTS, equality, geodesics, joint, relaxed
from cwbench.theory.page import write
from cwbench.theory.statement import Check, Outcome, at_least, at_most, close, falls

QUICK = {"equality": equality, "joint": joint, "geodesics": geodesics}


def failures(outcome: Outcome) -> list[str]:
    return [check.what for check in outcome.checks if not check.passed]


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(equality, "QUANTILES", 75)
    monkeypatch.setattr(equality, "PER_CLASS", 25)
    monkeypatch.setattr(relaxed, "REPEATS", {64: 12, 256: 8})


@pytest.mark.parametrize("name", QUICK)
def test_a_statement_holds(name) -> None:
    outcome = STATEMENTS[name]()
    assert failures(outcome) == []
    assert outcome.passed
    assert len(outcome.checks) >= 5


def power_changed(function: Callable[..., float]) -> Callable[..., float]:
    return lambda *args, p=2.0, **options: function(*args, p=p + 0.5, **options)


def classes_alike(x1, y1, x2, y2, *, p=2.0) -> float:
    """The plain mean over classes of W_p^p, whatever their shares."""
    classes = np.unique(y1)
    return float(np.mean([ot.wasserstein_power(x1[y1 == c], x2[y2 == c], p=p) for c in classes]))


def backwards(z, x, t) -> ot.Geodesic:
    """From the data to the latents, with the velocity of that."""
    return ot.geodesic(x, z, t)


def unit_labels(x1, y1, x2, y2, *, beta, p) -> float:
    """Another class costs 1."""
    if np.issubdtype(y1.dtype, np.integer):
        y1, y2 = (np.eye(2)[y] / 2**0.5 for y in (y1, y2))
    return ot.joint_wasserstein_power(x1, y1, x2, y2, beta=beta, p=p)


MUTATIONS = {
    "classes count alike whatever their shares": (
        equality, "conditional_wasserstein_power", classes_alike,
    ),
    "the same along a geodesic": (geodesics, "conditional_wasserstein_power", classes_alike),
    "a geodesic backwards in time": (geodesics, "geodesic", backwards),
    "another class costs 1": (joint, "joint_wasserstein_power", unit_labels),
    "another class costs 1 in a pairing": (
        coupling, "label_cost", lambda y, embedding: 1.0 * (y[:, None] != y).numpy(),
    ),
    "the power of the average over y": (
        equality, "conditional_wasserstein_power", power_changed(ot.conditional_wasserstein_power),
    ),
    "the root of the average": (
        equality, "conditional_wasserstein_power",
        lambda *a, **k: ot.conditional_wasserstein_power(*a, **k) ** 0.5,
    ),
    "mass may move in y": (
        equality, "joint_transport",
        lambda *a, beta, **k: ot.joint_transport(*a, beta=0.01, **k),
    ),
    "the sign of the means in the Bures formula": (
        equality, "bures_wasserstein_squared",
        lambda m, C, n, D: ot.bures_wasserstein_squared(m, C, -n, D),
    ),
    "the power of the joint distance": (
        joint, "wasserstein_power", power_changed(ot.wasserstein_power),
    ),
    "the power of the posterior distance": (
        joint, "conditional_wasserstein_power", power_changed(ot.conditional_wasserstein_power),
    ),
    "beta squared": (
        joint, "joint_wasserstein_power",
        lambda *a, beta, p: ot.joint_wasserstein_power(*a, beta=4 * beta, p=p),
    ),
    "the sign of the velocity": (
        geodesics, "geodesic",
        lambda z, x, t: ot.Geodesic(ot.geodesic(z, x, t).point, z - x),
    ),
    "the speed of the curve": (
        geodesics, "geodesic", lambda z, x, t: ot.geodesic(z, x, t**2),
    ),
    "pairs that move y": (
        geodesics, "ConditionalOT", lambda beta: ot.MinibatchOT(),
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("what", MUTATIONS)
def test_a_changed_sign_or_power_fails(what, monkeypatch) -> None:
    module, name, mutated = MUTATIONS[what]
    monkeypatch.setattr(module, name, mutated)
    statement = joint if module is coupling else module
    assert failures(statement.outcome()) != []


def test_the_closed_form_of_the_relaxed_distance_fails_with_another_power(monkeypatch) -> None:
    curve = relaxed.Curve(*np.array([relaxed._closed_form(beta) for beta in relaxed.BETAS]).T)
    assert [c.what for c in relaxed._closed_form_checks(curve) if not c.passed] == []
    linear = relaxed.Curve(np.sqrt(curve.total), curve.x, np.sqrt(curve.y))
    assert any(not check.passed for check in relaxed._closed_form_checks(linear))
    monkeypatch.setattr(relaxed, "LIMIT", relaxed.SLOPE**2 + (1 + relaxed.NOISE) ** 2)
    assert any(not check.passed for check in relaxed._closed_form_checks(curve))


def test_samples_fail_with_the_wrong_sign_of_beta(monkeypatch) -> None:
    monkeypatch.setattr(relaxed, "BETAS", (0.1, 1.0, 10.0, 100.0, 1e4))
    sampled = {n: relaxed._sampled(n, 8) for n in (64, 256)}
    exact = relaxed.Curve(*np.array([relaxed._closed_form(b) for b in relaxed.BETAS]).T)
    assert [str(c) for c in relaxed._sample_checks(exact, sampled) if not c.passed] == []
    real = ot.joint_transport
    monkeypatch.setattr(relaxed, "joint_transport", lambda *a, beta: real(*a, beta=1 / beta))
    flipped = {n: relaxed._sampled(n, 8) for n in (64, 256)}
    assert len([c for c in relaxed._sample_checks(exact, flipped) if not c.passed]) >= 4


def test_checks_say_what_they_are_held_to() -> None:
    assert str(close("a", 1.0, 2.0, relative=0.1)) == "FAIL  a: 1 (2 within 10 %)"
    assert at_most("a", 1.0, 1.0).passed
    assert not at_most("a", math.nan, 1.0).passed
    assert not at_least("a", math.nan, 1.0).passed
    assert not close("a", math.nan, 1.0, relative=1).passed
    assert falls("a", [4, 2, 1], by=3).passed
    assert not falls("a", [4, 2, 2.1]).passed
    assert not falls("a", [4, 2, 1], by=5).passed
    assert not falls("a", [4, math.nan, 1]).passed


def test_the_page_holds_its_figures_and_escapes_text(tmp_path) -> None:
    outcome = joint.outcome()
    bad = Outcome("<b>", "&", [Check("<script>", 1.0, "x", passed=False)], outcome.figure)
    index, figure, *_ = write({"joint": outcome, "bad": bad}, tmp_path / "page")
    page = index.read_text()
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert page.count("data:image/png;base64,") == 2
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert 'class="fail"' in page
    assert "http://" not in page


def test_the_command_says_pass_and_exits_1_on_a_failure(cli, monkeypatch, tmp_path) -> None:
    good = cli("theory", "--only", "joint", "--output", tmp_path / "page")
    assert good.exit_code == 0
    assert "pass" in good.output
    assert "FAIL" not in good.output
    assert (tmp_path / "page" / "index.html").is_file()
    monkeypatch.setattr(joint, "wasserstein_power", power_changed(ot.wasserstein_power))
    bad = cli("theory", "--only", "joint")
    assert bad.exit_code == 1
    assert "FAIL" in bad.output
    assert cli("theory", "--only", "nothing").exit_code == 2


def test_it_imports_no_plugin(python) -> None:
    code = (
        "import sys, cwbench.theory; "
        "print([m for m in sys.modules if m.startswith(('cwbench_tasks', 'cwbench_baselines'))])"
    )
    assert python("-c", code).stdout.strip() == "[]"


@pytest.mark.slow
def test_everything_holds_at_full_size(python) -> None:
    assert python("-m", "cwbench", "theory").stdout.count("pass") >= 40
