"""Tasks that do not keep their contract say what to write; a caller's switches move no number."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
import torch

import cwbench
from cwbench.errors import ContractError, UsageError
from cwbench.method import take
from cwbench.running.exchange import stored_sampler
from cwbench.running.fitting import training_data
from cwbench.running.request import preset_of, resolve

TASK = '''
    import numpy as np
    import torch
    from cwbench import JointSamples, Task, TaskInfo
    from cwbench.preset import vector_presets

    class Mine(Task):
        """X ~ N(0, I), Y = X + E."""

        info = TaskInfo("mine", 1, "Mine", "energy-score", "MIT", "none", vector_presets())
        x_shape, y_shape = (2,), (2,)

        def sample_joint(self, n, generator):
            x = torch.randn(n, 2, generator=generator)
            return JointSamples(x, x + torch.randn(n, 2, generator=generator))
'''


def task_file(tmp_path: Path, *changes: tuple[str, str]) -> str:
    text = TASK
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "mine.py").write_text(textwrap.dedent(text))
    return f"{tmp_path / 'mine.py'}:Mine"


RETURNED = "return JointSamples(x, x + torch.randn(n, 2, generator=generator))"
SHAPES = "x_shape, y_shape = (2,), (2,)"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (RETURNED, "return JointSamples(x.double(), x)", r"x .* is torch.float64, .*\.float\(\)"),
        (RETURNED, "return JointSamples(x, x.double())", r"y .* is torch.float64, .*\.float\(\)"),
        (
            RETURNED,
            "return JointSamples(x.numpy(), x)",
            r"numpy.ndarray, .*torch.as_tensor\(\.\.\.",
        ),
        (RETURNED, "return x", "returned Tensor; return JointSamples"),
        (RETURNED, "return JointSamples(x[:, :1], x)", r"x .* has shape \(1, 1\).*x_shape is \(2,"),
        (SHAPES, "x_shape, y_shape = (), (2,)", r"x_shape is \(\); .* \(1,\)"),
        (SHAPES, "x_shape, y_shape = (2,), ()", r"y_shape is \(\), .*labels.*\(1,\) for one real"),
        (SHAPES, "x_shape, y_shape = 2, (2,)", r"x_shape is 2; it is a tuple such as \(3,\)"),
        (SHAPES, SHAPES + "\n        num_classes = 3", r"y is a label; y_shape is \(2,\)"),
    ],
)
def test_a_task_that_breaks_its_contract_says_what_to_write(
    results: Path, tmp_path: Path, old: str, new: str, words: str
) -> None:
    with pytest.raises(ContractError, match=words):
        resolve(task_file(tmp_path, (old, new)), "linear-gaussian", preset="smoke")
    assert not results.exists()


def test_latents_of_another_dtype_are_refused_too(tmp_path: Path) -> None:
    latent = (
        "\n\n        def sample_latent(self, n, generator):\n            return np.zeros((n, 2))"
    )
    with pytest.raises(ContractError, match=r"what sample_latent .* is a numpy\.ndarray"):
        resolve(task_file(tmp_path, (RETURNED, RETURNED + latent)), "fm", preset="smoke")


def test_numbers_that_are_not_finite_are_told_before_the_fit(tmp_path: Path) -> None:
    spoilt = "x[n // 2 :] = torch.nan if n > 100 else 0.0\n            " + RETURNED
    task = cwbench.load_task(task_file(tmp_path, (RETURNED, spoilt)))
    with pytest.raises(ContractError, match=r"NaN .* in 1000 of 2000 pairs, first in pair 1000"):
        training_data(task, preset_of(task, "smoke"), 0)


class Streamed:
    """A data set that nobody can look through beforehand."""

    def batch(self, index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = index.float()[:, None]
        return torch.where(x == 7, torch.nan, x), x


def test_a_batch_with_nan_is_told_when_it_comes() -> None:
    assert take(Streamed(), torch.arange(7)).x.shape == (7, 1)
    with pytest.raises(ContractError, match="x of the training data holds NaN"):
        take(Streamed(), torch.arange(9))


@pytest.mark.parametrize(
    "inside",
    [
        torch.no_grad,
        torch.inference_mode,
        lambda: torch.autocast("cpu"),
        lambda: torch.device("meta"),
    ],
)
def test_switches_of_the_caller_move_no_number(
    run: Callable, tmp_path: Path, inside: Callable[[], AbstractContextManager]
) -> None:
    settings = {"preset.steps": 3}
    first = run("fm", nfe=[1], settings=settings, results=tmp_path / "a")
    with inside():
        again = run("fm", nfe=[1], settings=settings, results=tmp_path / "b")
    assert first.status == again.status == "ok", again.error
    assert first.metrics == again.metrics


def test_another_default_dtype_moves_no_number_and_is_left_as_it_was(
    run: Callable, tmp_path: Path
) -> None:
    settings = {"preset.steps": 3}
    first = run("fm", nfe=[1], settings=settings, results=tmp_path / "a")
    torch.set_default_dtype(torch.float64)
    try:
        again = run("fm", nfe=[1], settings=settings, results=tmp_path / "b")
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert again.status == "ok", again.error
    assert first.metrics == again.metrics


def test_a_plugin_that_sets_the_default_dtype_sets_it_for_no_one(tmp_path: Path) -> None:
    line = "from cwbench.preset import vector_presets"
    file = task_file(tmp_path, (line, f"{line}\n    torch.set_default_dtype(torch.float64)"))
    assert cwbench.load_task(file).sample_joint(2, torch.Generator()).x.dtype == torch.float32


@pytest.mark.parametrize("suffix", [".npy", ".safetensors"])
def test_an_empty_file_of_samples_is_refused_by_its_name(tmp_path: Path, suffix: str) -> None:
    task = cwbench.load_task("gaussian-linear")
    path = tmp_path / f"empty{suffix}"
    path.touch()
    with pytest.raises(UsageError, match=rf"empty\{suffix} cannot be read as samples"):
        stored_sampler(path, task, preset_of(task, "smoke"))
    np.save(tmp_path / "none.npy", np.zeros((0, 200, 5)))
    with pytest.raises(UsageError, match=r"holds shape \(0, 200, 5\); .* is needed"):
        stored_sampler(tmp_path / "none.npy", task, preset_of(task, "smoke"))
