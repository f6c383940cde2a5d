"""Settings that nothing can have been run with are refused, whatever samples lie beside them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from attacks.forging import content_of, forged, put, settled

import cwbench
from cwbench.judging import difficulty
from cwbench.running.named import named
from cwbench.verifying.verify import verify

TASK = '''
from pathlib import Path
from pydantic import Field, model_validator
from cwbench import Params
from cwbench_tasks.gaussian_linear import GaussianLinear

class Mine(GaussianLinear):
    class Params(Params):
        """Two that go together, and a file that no record keeps."""
        scale: float = Field(1.0, gt=0)
        weights: Path
        @model_validator(mode="after")
        def there(self):
            if not self.weights.exists():
                raise ValueError("there are no weights")
            return self
'''


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("honest")
    cwbench.run(
        "gaussian-mixture", "linear-gaussian", preset="smoke", seed=1, results=place,
        figures=False, quiet=True, settings={"preset.samples": 10, "preset.observations": 4},
    )  # fmt: skip
    return place


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("task.params.components", -3, "task.components = -3: Input should be greater"),
        ("task.params.noise", "loud", "task.noise = 'loud': Input should be a valid number"),
        ("task.params.other", 1, "task.other is none of them"),
        ("method.params.ridge", "x", "method.ridge = 'x': Input should be a valid tuple"),
        ("method.params.other", 1, "method.other is none of them"),
    ],
)
def test_settings_that_are_refused(
    honest: Path, tmp_path: Path, path: str, value: Any, said: str
) -> None:
    """With the key that follows from them: it was accepted, with samples it was called ok."""
    results = tmp_path / "results"
    shutil.copytree(honest, results)
    content = content_of(forged(results))
    put(content, tuple(path.split(".")), value)
    settled(forged(results), content, keyed=True)
    (found,) = verify(results, fresh=False)
    assert found.refused
    assert any("takes no such settings" in p and said in p for p in found.problems), found


RIDGE = [0.0001, 0.01, 1.0, 100.0, 10000.0]


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("method.params.ridge", [*RIDGE[:2], True, *RIDGE[3:]], "method.ridge = [0.0001, 0.01, Tr"),
        ("method.params.ridge", [*RIDGE[:2], 1, *RIDGE[3:]], "method.ridge = [0.0001, 0.01, 1, "),
        ("task.params.components", 10.0, "task.components = 10.0, where a run has 10"),
        ("task.params.instance", "42", "task.instance = '42', where a run has 42"),
        ("preset_values.standardise", 1, "preset.standardise is 1, by its name and settings True"),
        ("preset_values.steps", 200.0, "preset.steps is 200.0, by its name and settings 200"),
        ("preset_values.samples", "10", "preset.samples is '10', by its name and settings 10"),
    ],
)
def test_a_value_in_other_words_is_no_second_key(
    honest: Path, tmp_path: Path, path: str, value: Any, said: str
) -> None:
    """In Python True == 1 == 1.0; keys are of JSON, where they are three."""
    results = tmp_path / "results"
    shutil.copytree(honest, results)
    assert not any(found.refused for found in verify(results, fresh=False))
    content = content_of(forged(results))
    put(content, tuple(path.split(".")), value)
    settled(forged(results), content, keyed=True)
    (found,) = verify(results, fresh=False)
    assert any(said in problem for problem in found.problems), found


WIDE = """
class Params(Params):
    wide: float = Field(1, description='a whole number by default, which pydantic leaves as it is')
info = MethodInfo('mine', 1, '', '')
"""


def test_a_default_that_is_written_as_a_whole_number_is_no_forgery(
    run: Callable, results: Path, method_file: Callable
) -> None:
    mine = method_file(WIDE, head="from pydantic import Field\nfrom cwbench import Params")
    record = run(mine, settings={"preset.samples": 10, "preset.observations": 4})
    assert record.method["params"]["wide"] == 1
    (found,) = verify(results, files=named([], [mine], []))
    assert found.problems == []


def test_a_file_that_no_record_keeps_is_no_impossible_setting(
    store: Callable[..., Path], results: Path, tmp_path: Path
) -> None:
    """Nor is what its validator makes of it; a number out of its range is."""
    (tmp_path / "mine.py").write_text(TASK)
    files = named(task=[f"{tmp_path}/mine.py:Mine"])
    (origin,) = files.task.values()
    part = {
        "name": "gaussian-linear", "distribution": "mine.py",
        "version": origin.cls.info.version, "source_sha256": origin.source_sha256,
        "params": {"scale": 1.0, "weights": None}, "changed": {"weights": "0123abcd"},
    }  # fmt: skip
    directory = store(task="gaussian-linear")
    for scale in (1.0, -1.0):
        content = json.loads((directory / "record.json").read_text())
        content["task"] |= part | {"params": part["params"] | {"scale": scale}}
        (directory / "record.json").write_text(json.dumps(content))
        (found,) = verify(results, files=files)
        told = [problem for problem in found.problems if "no such settings" in problem]
        assert len(told) == (scale < 0), found


def test_a_gaussian_gap_that_is_not_the_tasks_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below .10 a task has no vote: whoever says so decides over the others' verdicts."""
    monkeypatch.setattr(difficulty, "OBSERVATIONS", 4)  # less than five seconds each time
    monkeypatch.setattr(difficulty, "SAMPLES", 50)
    record = cwbench.run(
        "gaussian-linear", "linear-gaussian", preset="smoke", results=tmp_path, quiet=True,
        figures=False, settings={"preset.observations": 4, "preset.samples": 10},
    )  # fmt: skip
    gap = record.diagnostics["task_gaussian_gap"]
    assert abs(gap) < 0.1  # a Gaussian's
    (found,) = verify(tmp_path, fresh=False)
    assert not found.refused
    for said in (gap + 0.2, "0.2"):
        path = record.directory / "record.json"
        content = content_of(record.directory)
        content["diagnostics"]["task_gaussian_gap"] = said
        path.write_text(json.dumps(content))
        (found,) = verify(tmp_path, fresh=False)
        assert found.refused, said
        assert cwbench.leaderboard(results=tmp_path) is not None


def test_a_posterior_variance_that_is_not_the_tasks_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the unit of values where posteriors are Gaussian."""
    monkeypatch.setattr(difficulty, "OBSERVATIONS", 4)
    monkeypatch.setattr(difficulty, "SAMPLES", 50)
    record = cwbench.run(
        "gaussian-linear", "linear-gaussian", preset="smoke", results=tmp_path, quiet=True,
        figures=False, settings={"preset.observations": 4, "preset.samples": 10},
    )  # fmt: skip
    said = record.diagnostics["task_posterior_variance"]
    task = cwbench.load_task("gaussian-linear")
    wanted = task.posterior_moments(torch.zeros(1, *task.y_shape)).covariance[0].trace()
    assert said == pytest.approx(float(wanted)), "a Gaussian's is the same at every observation"
    (found,) = verify(tmp_path, fresh=False)
    assert not found.refused
    for wrong in (said * 1.01, "3"):
        content = content_of(record.directory)
        content["diagnostics"]["task_posterior_variance"] = wrong
        (record.directory / "record.json").write_text(json.dumps(content))
        (found,) = verify(tmp_path, fresh=False)
        assert [p for p in found.problems if "task_posterior_variance" in p], found
