"""Defaults by prior: every prior has them on every task, the guide states them; idle settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest

from benchmarks import gaps
from cwbench.api import load_method
from cwbench.errors import UsageError
from cwbench.settings import json_values, validated
from cwbench_tasks.image_priors import PriorName
from cwbench_tasks.imaging import ImagingParams
from tests.tasks.test_task_contracts import VARIANTS

GUIDE = Path(__file__).parents[2] / "docs" / "tasks.md"
TASKS = {name: VARIANTS[name][0] for name in gaps.OPERATORS}
LARGE = ("mnist", "fashion", "patches32", "cifar")
"""Of 28x28 or 32x32 pixels."""


def of(task: str) -> type[ImagingParams]:
    params = TASKS[task].Params
    assert issubclass(params, ImagingParams)
    return params


def stated() -> dict[tuple[str, str], str]:
    """The settings of each task and column, as the guide has them."""
    tables = [line for line in GUIDE.read_text().splitlines() if line.startswith("|")]
    lines = [[cell.strip("` ") for cell in line.split("|")[1:-1]] for line in tables]
    (columns,) = (line[2:] for line in lines if line[:2] == ["task", ""])
    rows = {line[0]: line[2:] for line in lines if line[1:2] == ["setting"]}
    return {
        (task, column): cell
        for task, cells in rows.items()
        for column, cell in zip(columns, cells, strict=True)
    }


def test_the_guide_states_the_defaults_of_every_task_and_prior_that_ships() -> None:
    found = {
        (task, column): gaps.told(gaps.default_of(task, column))
        for task in gaps.OPERATORS
        for column in (*gaps.PRIORS, gaps.COLOUR)
    }
    assert stated() == found


@pytest.mark.parametrize("task", TASKS)
def test_every_prior_is_measured_or_takes_the_defaults_of_one_that_is(task: str) -> None:
    chosen = of(task).by_prior
    priors = set(get_args(PriorName))
    assert {*gaps.PRIORS, "cifar"} == priors
    assert set(chosen) <= priors
    assert all(set(given) <= set(of(task).model_fields) for given in chosen.values())
    assert chosen.get("cifar") == chosen.get("patches32")  # its images are not there to measure
    assert not chosen or set(chosen) == set(LARGE)


def test_large_images_are_blurred_over_a_quarter_and_seen_from_one_side() -> None:
    for prior, side in {"mnist": 28, "fashion": 28, "patches32": 32, "cifar": 32}.items():
        blurred, seen = (of(task)(prior=prior) for task in ("deblurring", "tomography"))
        assert (blurred.width, blurred.noise) == (side / 4, 3.0)  # type: ignore[attr-defined]
        assert seen.views == 1  # type: ignore[attr-defined]


IDLE: list[tuple[str, dict[str, Any], str]] = [
    ("inpainting", {"hole": 0.3}, "mask=hole"),
    ("inpainting", {"hole": 0.3, "prior": "mnist"}, "mask=hole"),
    ("inpainting", {"mask": "hole", "seen": 0.3}, "mask=random"),
    ("inpainting", {"mask": "hole", "seen": 0.2, "prior": "mnist"}, "mask=random"),
    ("inpainting", {"mask": "hole", "instance": 1}, "mask=random"),
    ("deblurring", {"angle": 30}, "blur=motion"),
    ("tomography", {"views": 1, "angular_range": 90}, "views=2"),
    ("tomography", {"prior": "mnist", "angular_range": 90}, "views=2"),
]


@pytest.mark.parametrize(("task", "given", "remedy"), IDLE)
def test_a_setting_that_changes_nothing_is_refused(
    task: str, given: dict[str, Any], remedy: str
) -> None:
    name = next(name for name in given if name not in ("prior", "mask", "views"))
    with pytest.raises(UsageError, match=f"{name} changes nothing here.* --set {remedy}"):
        validated(of(task), given, "task")
    setting, value = remedy.split("=")
    assert validated(of(task), {**given, setting: value}, "task")


def test_a_step_that_dps_does_not_take_is_refused() -> None:
    with pytest.raises(UsageError, match=r"zeta changes nothing here.* --set guidance=norm"):
        load_method("dps", guidance="score", zeta=1.5)
    assert load_method("dps", guidance="score", zeta=0.5)
    assert load_method("dps", guidance="norm", zeta=1.5)


@pytest.mark.parametrize("prior", ["digits", "mnist", "patches32"])
@pytest.mark.parametrize(
    ("task", "given"),
    [("inpainting", {"mask": "hole"}), ("inpainting", {}), ("deblurring", {}), ("tomography", {})],
)
def test_what_a_record_holds_is_read_back(task: str, given: dict[str, Any], prior: str) -> None:
    params = of(task)(prior=prior, **given)
    again = of(task)(**{k: v for k, v in json_values(params).items() if v is not None})
    assert again == params
