"""What a run on images hands to its figures: its own samples and the exact posterior."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import cwbench
from cwbench.api import load_task
from cwbench.judging.judge import Judge
from cwbench.records.runs import read
from cwbench.records.storage import SAMPLES, load_samples
from cwbench.reporting.figures import flow_film, posterior_images
from cwbench.reporting.run_figures import draw, subject_of
from cwbench.reporting.scene import Scene

SIZES = {"preset.training_pairs": 200, "preset.steps": 5, "preset.samples": 10,
         "preset.observations": 4, "preset.width": 8}  # fmt: skip


@pytest.fixture
def drawn(monkeypatch):
    """What `draw` hands to the two figures, which are drawn as ever."""
    from cwbench.reporting import run_figures

    calls = []

    def watched(function):
        def call(*arguments, **named):
            calls.append((function.__name__, arguments, named))
            return function(*arguments, **named)

        return call

    for function in (posterior_images, flow_film):
        monkeypatch.setattr(run_figures, function.__name__, watched(function))
    return calls


def run_on(tmp_path, task, **settings):
    return cwbench.run(task, "fm", preset="smoke", nfe=[4], settings=SIZES | settings,
                       results=tmp_path, figures=False, quiet=True)  # fmt: skip


@pytest.mark.parametrize("task", ["deblurring", "tomography"])
def test_a_run_is_drawn_from_its_own_samples_and_the_exact_posterior(tmp_path, task, drawn):
    record = run_on(tmp_path, task)
    paths = draw(read(record.directory))
    kinds = ("posterior", "structure")
    names = {f"{kind}-{k}.png" for kind in kinds for k in (1, 2, 3)} | {"paths-1.png"}
    assert {path.name for path in paths} == names
    problem = load_task(task)
    preset = problem.info.presets["smoke"].model_copy(update={"observations": 4})
    x, y = Judge(problem, preset).observations
    covariances = problem.posterior_moments(y).covariance
    figures = [call for call in drawn if call[0] == "posterior_images"]
    for index, (_, (model,), named) in enumerate(figures):
        assert np.array_equal(
            model, load_samples(record.directory, record.files)["samples@nfe=4"][index]
        )
        assert np.array_equal(named["truth"], x[index])
        assert np.array_equal(named["observation"], y[index])
        assert named["exact"].draws.shape == (24, 1, 8, 8)
        variances = torch.diagonal(covariances[index]).reshape(1, 8, 8)
        assert np.allclose(named["exact"].sd ** 2, variances)
        assert "NFE 4" in named["title"]
    assert len(figures) == 3


def test_exact_moments_of_a_figure_are_those_of_exact_draws():
    task = load_task("deblurring")
    y = task.evaluation_set(1, torch.Generator().manual_seed(1)).y
    exact = Scene(task, 0, y[0], y[0], None).exact_images()
    draws = task.sample_posterior(y, 4000, torch.Generator().manual_seed(2))[0].double().numpy()
    assert np.abs(draws.mean(0) - exact.mean).max() < 5 * exact.sd.max() / 4000**0.5
    assert np.allclose(draws.std(0), exact.sd, rtol=0.15, atol=1e-3)


def test_samples_too_many_to_keep_are_drawn_again(tmp_path, drawn):
    record = run_on(tmp_path, "deblurring")
    kept = load_samples(record.directory, record.files)["samples@nfe=4"]
    (record.directory / SAMPLES).unlink()
    draw(read(record.directory))
    again = np.stack([model for name, (model, *_), _ in drawn if name == "posterior_images"])
    assert again.shape == (3, 20, 1, 8, 8)
    assert not np.array_equal(again, kept[:3])
    assert np.allclose(again.std(axis=1).mean(), kept[:3].std(dim=1).mean(), rtol=0.1)


def test_a_run_on_a_folder_of_images_is_drawn_without_exact_posterior(tmp_path, drawn):
    rng = np.random.default_rng(0)
    folder = tmp_path / "images"
    folder.mkdir()
    for index in range(30):
        pixels = rng.integers(0, 256, size=(6, 6, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    settings = {"prior": "images", "root": str(folder), "colour": "true"}
    record = run_on(tmp_path / "results", "deblurring", **settings, **{"task.width": 1})
    stored = read(record.directory)
    assert len(draw(stored, subject_of(stored, {"root": folder}))) == 4
    posteriors = [named for name, _, named in drawn if name == "posterior_images"]
    assert [named["exact"] for named in posteriors] == [None] * 3
