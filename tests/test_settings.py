"""Settings are checked once, at the edge, and decide key and track."""

from __future__ import annotations

import json
import math
import typing
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field

from cwbench import registry, settings
from cwbench.errors import UsageError
from cwbench.preset import Preset
from cwbench.running.request import Request, resolve
from cwbench.settings import keyed_values, validated
from cwbench.task import Params
from cwbench_tasks.deblurring import DeblurringParams


def resolved(
    method: str = "cot-fm", task: str = "gaussian-linear", *assignments: str, **options: Any
) -> Request:
    given = settings.parse(assignments)
    return resolve(task, method, preset="smoke", given=given, **options)


def with_settings(*assignments: str, **options: Any) -> Request:
    return resolved("cot-fm", "gaussian-linear", *assignments, **options)


@pytest.mark.parametrize("assignment", ["beta", "=3", ""])
def test_an_assignment_needs_key_and_value(assignment: str) -> None:
    with pytest.raises(UsageError, match=r"KEY=VALUE.*--set method\.beta=10"):
        settings.parse([assignment])


def test_a_value_may_hold_an_equals_sign() -> None:
    assert settings.parse(["a=b=c"]) == {"a": "b=c"}


@pytest.mark.parametrize("second", ["beta=2", "method.beta=2"])
def test_a_key_set_twice_is_refused(second: str) -> None:
    with pytest.raises(UsageError, match="set twice"):
        with_settings("beta=1", second)


def test_prefixed_and_bare_names_mean_the_same() -> None:
    bare, prefixed = (
        with_settings("beta=7", "noise=.3"),
        with_settings("method.beta=7", "task.noise=.3"),
    )
    assert bare.method_params.beta == prefixed.method_params.beta == 7
    assert bare.task.params.noise == prefixed.task.params.noise == 0.3
    assert bare.fit_key == prefixed.fit_key


def test_a_name_that_two_owners_have_is_ambiguous() -> None:
    with pytest.raises(UsageError, match=r"method\.learning_rate or preset\.learning_rate"):
        with_settings("learning_rate=1e-3")
    given = with_settings("preset.learning_rate=1e-4")
    assert given.preset.learning_rate == 1e-4
    assert given.method_params == with_settings().method_params


@pytest.mark.parametrize(
    ("assignment", "near"),
    [("betta=1", "method.beta"), ("task.nois=1", "task.noise"), ("preset.step=1", "preset.steps")],
)
def test_an_unknown_key_lists_the_near_ones(assignment: str, near: str) -> None:
    with pytest.raises(UsageError, match=f"unknown setting .*Did you mean .*'{near}'"):
        with_settings(assignment)


@pytest.mark.parametrize("assignment", ["task.beta=1", "other.beta=1", "a.method.beta=1"])
def test_a_wrong_owner_is_unknown(assignment: str) -> None:
    with pytest.raises(UsageError, match="unknown setting"):
        with_settings(assignment)


@pytest.mark.parametrize(
    "assignment",
    [
        "noise=-1", "noise=x", "noise=nan", "dimension=0", "dimension=2.5", "beta=-1", "beta=nan",
        "beta=-inf", "beta=large", "ot_batch=0", "leak=1", "labels=both", "solver=verlet",
        "preset.steps=0", "preset.steps=", "preset.observations=1", "preset.samples=1",
        "preset.nfe=0", "preset.nfe=1,x", "preset.nfe=", "preset.split=train",
        "preset.metrics=ew3sq", "method.learning_rate=nan", "method.learning_rate=0",
    ],
)  # fmt: skip
def test_a_value_out_of_range_is_refused_by_name(assignment: str) -> None:
    name = assignment.partition("=")[0].rpartition(".")[2]
    with pytest.raises(UsageError, match=name if name != "metrics" else "unknown metric 'ew3sq'"):
        with_settings(assignment)


@pytest.mark.parametrize(("typed", "beta"), [("inf", math.inf), ("auto", "auto"), ("400", 400.0)])
def test_beta_takes_numbers_infinity_and_auto(typed: str, beta: float | str) -> None:
    assert with_settings(f"beta={typed}").method_params.beta == beta


INFINITE = {("cot-fm", "beta"), ("sd-fm", "beta")}
"""Where infinity means something."""


def takes_numbers(annotation: Any) -> bool:
    return annotation is float or any(map(takes_numbers, typing.get_args(annotation)))


def owners() -> list[tuple[str, type[BaseModel]]]:
    plugins = [p for p in registry.plugins() if p.kind != "metric" and p.distribution == "cwbench"]
    return [(p.name, p.load().Params) for p in plugins] + [("preset", Preset)]


def test_every_number_has_to_be_finite() -> None:
    sizes = {"training_pairs": 1, "steps": 1, "observations": 2, "samples": 2}
    told: dict[tuple[str, str], set[str]] = {}
    for owner, model in owners():
        given = sizes if model is Preset else {}
        for name, field in model.model_fields.items():
            if not takes_numbers(field.annotation) or typing.get_origin(field.annotation) is tuple:
                continue
            for value in ("nan", "inf", "-inf"):
                if value == "inf" and (owner, name) in INFINITE:
                    continue
                with pytest.raises(UsageError) as caught:
                    validated(model, given | {name: value}, owner)
                told.setdefault((owner, name), set()).add(str(caught.value))
    assert len(told) > 100
    for setting in told.keys() - INFINITE:
        assert all("should be a finite number" in text for text in told[setting]), setting
    for setting in INFINITE:
        assert all("must be at least 0, inf" in text for text in told[setting])


def test_infinity_survives_json() -> None:
    params = with_settings("beta=inf").method_params
    assert settings.json_values(params)["beta"] == "inf"
    assert settings.changed(params) == {"beta": "inf"}
    json.dumps(settings.json_values(params), allow_nan=False)
    assert with_settings("beta=inf").fit_key != with_settings("beta=auto").fit_key


def test_changed_lists_what_differs_from_the_defaults() -> None:
    assert settings.changed(with_settings().method_params) == {}
    assert settings.changed(with_settings("beta=auto", "leak=.05").method_params) == {"leak": 0.05}


def test_preset_nfe_is_a_list_with_commas() -> None:
    request = with_settings("preset.nfe=2, 5,adaptive")
    assert request.preset.nfe == request.nfe == (2, 5, "adaptive")


def test_nfe_given_overrides_the_presets_and_drops_repetitions() -> None:
    assert with_settings(nfe=["5", 5, "adaptive"]).nfe == (5, "adaptive")


@pytest.mark.parametrize("method", ["cot-fm", "oracle"])
@pytest.mark.parametrize("nfe", [["0"], ["-1"], ["x"], [""], ["1.5"], []])
def test_a_bad_nfe_is_refused_even_where_it_would_not_be_used(method: str, nfe: list[str]) -> None:
    with pytest.raises(UsageError, match=r"(NFE|--nfe).*e\.g\. --nfe 1,3,"):
        resolved(method, nfe=nfe)


def test_an_nfe_the_solver_cannot_hit_is_refused() -> None:
    with pytest.raises(UsageError, match=r"3: heun uses 2 evaluations a step"):
        with_settings("solver=heun", nfe=[3, 4])
    assert with_settings("solver=heun", "preset.nfe=3,4,adaptive").nfe == (4, "adaptive")


def test_a_grid_of_which_nothing_is_left_is_refused() -> None:
    with pytest.raises(UsageError, match="heun uses 2 evaluations a step"):
        with_settings("solver=heun", "preset.nfe=1,3")


def test_what_decides_the_fit_changes_the_key() -> None:
    base = with_settings().fit_key
    for assignment in ("task.noise=.3", "beta=10", "preset.steps=10", "preset.samples=50"):
        assert with_settings(assignment).fit_key != base, assignment
    assert resolved("fm").fit_key != base


def test_what_does_not_decide_the_fit_leaves_key_and_track() -> None:
    base = with_settings()
    for other in (
        with_settings(nfe=[7]),
        with_settings(metrics=["c2st"]),
        with_settings("preset.nfe=7"),
        with_settings("preset.metrics=c2st"),
        with_settings("task.noise=0.2"),
    ):
        assert (other.fit_key, other.track) == (base.fit_key, "fixed")


def test_a_changed_preset_is_on_the_open_track() -> None:
    assert with_settings("preset.steps=10").track == "open"
    assert with_settings("task.noise=.3", "beta=3").track == "fixed"
    # The same values in the same directory: the order of two commands must not decide the track.
    assert with_settings("preset.steps=200").track == "fixed"


def test_the_seed_is_in_the_run_and_not_in_the_key() -> None:
    one, two = with_settings(seed=1), with_settings(seed=2)
    assert one.fit_key == two.fit_key
    assert one.run_id != two.run_id


@pytest.mark.parametrize("seed", [-1, 1.5, "1"])
def test_a_bad_seed_is_refused(seed: Any) -> None:
    with pytest.raises(UsageError, match="seed must be an integer from 0 to 2"):
        with_settings(seed=seed)


def test_null_is_typed_where_a_setting_may_have_none() -> None:
    """Of `clip` and `name`, which `describe` says may be null; a rate has to be a number."""

    class Settings(Params):
        clip: float | None = 5.0
        name: str | None = None
        rate: float = 1.0

    assert validated(Settings, {"clip": "null"}, "method").clip is None
    assert validated(Settings, {"name": "null"}, "method").name is None
    given = resolved("npe", "gaussian-linear", "clip=null").method_params
    assert given.model_dump()["clip"] is None
    with pytest.raises(UsageError, match="rate = 'null'"):
        validated(Settings, {"rate": "null"}, "method")


def test_a_metric_the_task_does_not_offer_is_refused() -> None:
    with pytest.raises(UsageError, match="mode-weights needs mixture"):
        with_settings(metrics=["mode-weights"])


def test_paths_stay_out_of_the_key(tmp_path: Path) -> None:
    class Settings(Params):
        root: Path | None = None
        noise: float = Field(0.5, allow_inf_nan=True)

    assert keyed_values(Settings()) == {"root": None, "noise": 0.5}
    assert keyed_values(Settings(root=tmp_path)) == {"noise": 0.5}
    assert keyed_values(Settings(noise=math.inf)) == {"root": None, "noise": "inf"}


def test_what_several_settings_make_wrong_together_is_told() -> None:
    with pytest.raises(UsageError, match="task: prior images needs a folder: --set root="):
        validated(DeblurringParams, {"prior": "images"}, "task")
