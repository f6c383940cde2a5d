"""Imaging problems: the posterior against Markov chains, and real images from a folder."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Generator, Tensor, distributions

import cwbench
from cwbench.api import load_task
from cwbench.cli.main import main
from cwbench.errors import UsageError
from cwbench_tasks.imaging import ImagingTask
from cwbench_tasks.inpainting import random_pixels

Make = Callable[..., ImagingTask]


def stream(seed: int) -> Generator:
    return Generator().manual_seed(seed)


def chain(task: ImagingTask, y: Tensor, steps: int) -> Tensor:
    """Metropolis-Hastings, proposals from the prior: it knows nothing of the closed form."""
    proposals = task.law.sample(steps, stream(1))
    images = proposals.reshape(1, steps, *task.x_shape)
    log_likelihood = -task.standardised_residual(images, y[None])[0].square().sum(1) / 2
    accept = torch.rand(steps, generator=stream(2), dtype=torch.float64).log()
    likelihood, threshold = log_likelihood.tolist(), accept.tolist()
    path, here = np.empty(steps, dtype=int), 0
    for step in range(steps):
        if threshold[step] < likelihood[step] - likelihood[here]:
            here = step
        path[step] = here
    return proposals[path[steps // 10 :]]


@pytest.mark.parametrize(
    ("name", "settings"),
    [("deblurring", {"width": 3, "noise": 4}), ("tomography", {"views": 1, "noise": 2})],
)
def test_posterior_agrees_with_a_long_markov_chain(name: str, settings: dict[str, float]) -> None:
    task = load_task(name, **settings)
    assert isinstance(task, ImagingTask)
    y = task.evaluation_set(1, stream(5)).y
    visited = chain(task, y[0], 200_000)
    effective = len(torch.unique(visited[:, 0])) / 4  # moves, discounted for their correlation
    assert effective > 1_000
    mean, covariance = (part[0] for part in task.posterior_moments(y))
    total = float(covariance.trace())
    assert float((visited.mean(0) - mean).square().sum()) < 5 * total / effective
    assert torch.allclose(visited.T.cov(), covariance, atol=0.02 * total)
    prior = task.prior_mixture()
    prior_mean = prior.weights @ prior.means  # what an ignored y would give
    assert float((prior_mean - mean).square().sum()) > 50 * total / effective


@pytest.mark.parametrize("name", ["deblurring", "tomography"])
def test_residual_gives_the_likelihood(name: str) -> None:
    task = load_task(name)
    assert isinstance(task, ImagingTask)
    x, y = task.sample_joint(3, stream(0))
    candidates = x.expand(3, 3, *task.x_shape)
    scores = -task.standardised_residual(candidates, y).square().sum(2) / 2
    exact = distributions.Normal(task.forward(candidates), task.noise).log_prob(y[:, None].double())
    expected = exact.flatten(2).sum(2)
    assert torch.allclose(scores - scores[:, :1], expected - expected[:, :1])


@pytest.mark.parametrize("name", ["deblurring", "tomography"])
@pytest.mark.parametrize("prior", ["digits", "patches"])
def test_noise_is_relative_to_the_variation_of_the_signal(name: str, prior: str) -> None:
    task = load_task(name, prior=prior, noise=0.5)
    assert isinstance(task, ImagingTask)
    clean = task.forward(task.sample_joint(20_000, stream(3)).x).flatten(1)
    rms = float((clean - clean.mean(0)).square().mean().sqrt())
    assert task.noise == pytest.approx(0.5 * rms, rel=0.02)
    x, y = task.sample_joint(5_000, stream(4))
    residual = task.standardised_residual(x[:, None], y)
    assert float(residual.std()) == pytest.approx(1, rel=0.01)


@pytest.mark.parametrize("name", ["deblurring", "tomography"])
def test_back_projection_is_a_sufficient_statistic(name: str) -> None:
    """What A^T y leaves out of y, the posterior does not depend on."""
    task = load_task(name)
    assert isinstance(task, ImagingTask)
    y = task.sample_joint(2, stream(0)).y.double()
    assert torch.allclose(
        task.back_projection(y).flatten(), (y.flatten(1) @ task.A).float().flatten()
    )
    left, values, _ = torch.linalg.svd(task.A)
    rank = int((values > 1e-9).sum())
    if rank < len(task.A):
        y_2 = y + left[:, rank:].sum(1).reshape(task.y_shape)
        assert torch.allclose(task.back_projection(y), task.back_projection(y_2), atol=1e-5)
        first, second = task.posterior_moments(y), task.posterior_moments(y_2)
        assert torch.allclose(first.mean, second.mean)


def write_images(root: Path, count: int, shape: tuple[int, ...] = (16, 16, 3)) -> None:
    root.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(list(root.rglob("*"))))
    for index in range(count):
        array = pixels.integers(0, 256, shape, dtype=np.uint8)
        Image.fromarray(array).save(root / f"{index}-{shape[0]}.png")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_images(tmp_path / "images", 40)
    return tmp_path / "images"


@pytest.mark.parametrize("name", ["deblurring", "tomography"])
def test_images_of_a_folder_are_a_prior_without_posterior(name: str, folder: Path) -> None:
    task = load_task(name, prior="images", root=folder)
    assert isinstance(task, ImagingTask)
    assert task.x_shape == (1, 16, 16)
    assert not task.has_posterior
    assert task.main_metric == "energy-score"
    assert task.folder is not None
    assert (len(task.folder.training), len(task.folder.held_out)) == (36, 4)
    trained, seen = task.sample_joint(500, stream(0)).x, task.evaluation_set(9, stream(0)).x
    assert len(trained.unique(dim=0)) == 36
    assert len(seen.unique(dim=0)) == 4
    assert len(torch.cat([trained, seen]).unique(dim=0)) == 40
    clean = task.forward(trained).flatten(1)
    rms = float((clean - clean.mean(0)).square().mean().sqrt())
    assert task.noise == pytest.approx(task.params.noise * rms, rel=0.05)


def test_colour_images_are_observed_channel_by_channel(folder: Path) -> None:
    task = load_task("deblurring", prior="images", root=folder, colour=True, size=8)
    assert isinstance(task, ImagingTask)
    assert task.x_shape == task.y_shape == (3, 8, 8)
    x = task.sample_joint(4, stream(0)).x
    assert torch.allclose(task.forward(x)[:, 1].flatten(1), x[:, 1].flatten(1).double() @ task.A.T)


def test_a_folder_is_known_by_its_pixels(folder: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere" / "deep"
    moved.mkdir(parents=True)
    for index, path in enumerate(sorted(folder.iterdir(), reverse=True)):
        (moved / f"renamed-{index}.png").write_bytes(path.read_bytes())
    (moved / "duplicate.png").write_bytes(next(folder.iterdir()).read_bytes())
    (moved / "notes.txt").write_text("not an image")
    first = load_task("deblurring", prior="images", root=folder)
    with pytest.warns(UserWarning, match="no images: 1 of .txt"):
        second = load_task("deblurring", prior="images", root=moved.parent)
    assert first.fingerprint() == second.fingerprint()
    assert torch.equal(first.sample_joint(5, stream(0)).x, second.sample_joint(5, stream(0)).x)
    (moved / "notes.txt").unlink()
    write_images(moved, 1)
    third = load_task("deblurring", prior="images", root=moved)
    assert third.fingerprint() != first.fingerprint()


def test_bad_folders_are_told(tmp_path: Path, folder: Path) -> None:
    def refused(**settings: object) -> str:
        with pytest.raises(UsageError) as caught:
            load_task("deblurring", prior="images", **settings)
        return str(caught.value)

    assert "--set root=" in refused()
    assert "there is no folder" in refused(root=tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    assert "no image in" in refused(root=tmp_path / "empty")
    write_images(tmp_path / "few", 3)
    assert "3 different images; at least 20" in refused(root=tmp_path / "few")
    write_images(folder, 2, (24, 16, 3))
    told = refused(root=folder)
    assert "2 sizes (40 of 16x16, 2 of 24x16" in told
    assert "--set size=32" in told
    assert load_task("deblurring", prior="images", root=folder, size=8).x_shape == (1, 8, 8)
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    told = refused(root=folder, size=8)
    assert "broken.png" in told
    assert "cannot be read as an image" in told


def test_digits_do_not_take_a_folder(folder: Path) -> None:
    with pytest.raises(UsageError, match="go with --set prior=images"):
        load_task("deblurring", root=folder)


def test_a_blur_wider_than_the_image_is_refused() -> None:
    with pytest.raises(UsageError, match="wider than the 8x8 image"):
        load_task("deblurring", width=5)


def test_runs_on_a_folder_are_ranked_by_a_proper_score(tmp_path: Path) -> None:
    folder = tmp_path / "ramps"  # three numbers an image, which a few images teach
    folder.mkdir()
    axis, draw = np.linspace(-1, 1, 8), np.random.default_rng(0)
    for index, (level, across, down) in enumerate(draw.uniform(-1, 1, (60, 3))):
        ramp = 128 + 40 * (level + across * axis[None] + down * axis[:, None])
        Image.fromarray(ramp.astype(np.uint8)).save(folder / f"{index}.png")
    settings = {"prior": "images", "root": str(folder), "noise": 0.5}

    def score(method: str) -> cwbench.Record:
        return cwbench.run(
            "deblurring", method, "smoke", settings=settings, results=tmp_path, quiet=True,
            figures=False,
        )  # fmt: skip

    learned, prior = score("linear-gaussian"), score("prior")
    assert learned.status == prior.status == "ok"
    assert learned.task["main_metric"] == "energy-score"
    assert learned.value("energy-score") < prior.value("energy-score")
    assert {"crps", "sbc", "tarp", "psnr", "ssim", "data-misfit"} <= set(learned.metrics)
    assert not {"ew2sq", "mode-weights", "mean-error"} & set(learned.metrics)
    oracle = score("oracle")
    assert oracle.status == "skipped"
    assert oracle.error is not None
    assert "exact posterior" in oracle.error


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("noise=0", "task.noise = '0'"),
        ("noise=-1", "task.noise = '-1'"),
        ("views=0", "task.views = '0'"),
        ("prior=images", "--set root="),
        ("angle=9", "unknown setting"),
    ],
)
def test_bad_settings_are_told_on_the_command_line(
    setting: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["run", "--task", "tomography", "--method", "fm", "--set", setting]
    with pytest.raises(SystemExit) as stopped:
        main([*arguments, "--results", str(tmp_path)])
    assert stopped.value.code == 2
    assert told in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("prior", "setting", "least"),
    [
        ("digits", "seen", "0.015625"),  # one of 64
        ("mnist", "seen", "0.001276"),  # of 784
        ("digits", "hole", "0.125"),  # a side of one of 8
        ("mnist", "hole", "0.035715"),  # of 28
    ],
)
def test_a_share_that_comes_to_no_pixel_is_refused(prior: str, setting: str, least: str) -> None:
    mask = {"seen": "random", "hole": "hole"}[setting]
    with pytest.raises(UsageError, match=f"less than one; choose at least {least}, ") as caught:
        load_task("inpainting", prior=prior, mask=mask, **{setting: 0.99 * float(least)})
    assert f"--set task.{setting}={least}" in str(caught.value)
    task = load_task("inpainting", prior=prior, mask=mask, **{setting: float(least)})
    pixels = math.prod(task.x_shape)
    assert math.prod(task.y_shape) == (1 if setting == "seen" else pixels - 1)


def test_a_whole_share_counts_as_its_pixels() -> None:
    """1 / 49 times 49 is a little less than 1 in floating point."""
    assert random_pixels((7, 7), 1 / 49, 0).sum() == 1
