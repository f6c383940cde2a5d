"""What `describe` says of a task is what the task has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cwbench import load_task
from cwbench.reporting.description import description


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("inpainting", {"noise": (1.5, 1.0), "seen": (0.05, 0.2)}),
        ("deblurring", {"noise": (3.0, 1.4), "width": (7.0, 2.0)}),
        ("tomography", {"views": (1, 2)}),
    ],
)
def test_settings_are_those_under_the_prior(
    name: str, told: dict[str, tuple[float, float]]
) -> None:
    task = load_task(name, prior="mnist")
    lines = [line for line in description(name, task).splitlines() if " = " in line]
    for setting, (here, elsewhere) in told.items():
        (line,) = (line for line in lines if line.startswith(f"  {setting} = "))
        assert line.startswith(f"  {setting} = {here}  (")
        assert line.endswith(f"  [default under these settings; else {elsewhere}]")
        assert getattr(task.params, setting) == here
    (prior,) = (line for line in lines if line.startswith("  prior = mnist  "))
    assert prior.endswith("  [set; default digits]")
    assert sum(line.endswith("]") for line in lines) == len(told) + 1
    assert not any(line.endswith("]") for line in description(name).splitlines())


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("tds", ["  needs: operator", "  sees: + operator"]),
        ("npe-importance", ["  needs: density, likelihood", "  sees: + exact prior"]),
        ("fm", ["  sees: pairs"]),
    ],
)
def test_what_a_method_sees_is_told(name: str, told: list[str]) -> None:
    lines = description(name).splitlines()
    assert [line for line in lines if line.startswith(("  needs: ", "  sees: "))] == told


def test_the_main_metric_is_that_under_the_settings(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0)
    for index in range(20):
        array = pixels.integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(array).save(tmp_path / f"{index}.png")
    task = load_task("tomography", prior="images", root=tmp_path)
    assert "  main_metric: energy-score" in description("tomography", task).splitlines()
    assert "  main_metric: ew2sq" in description("tomography").splitlines()
