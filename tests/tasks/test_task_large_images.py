"""Imaging problems at 28x28 and 32x32: exact posteriors, settings by prior, wrong files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load, save
from scipy import stats
from torch import Generator, Tensor

import cwbench
from cwbench.api import load_task
from cwbench.errors import CorruptFileError, UsageError
from cwbench.judging.difficulty import Difficulty, difficulty
from cwbench.records import runs as records
from cwbench.reporting.description import description, difficulty_text
from cwbench.samples import MixturePosterior, MixturePrior
from cwbench.verifying.verify import verify
from cwbench_tasks import image_priors
from cwbench_tasks.factors import FactorMixture
from cwbench_tasks.image_priors import cached_path, factors_content, image_prior, load_prior
from cwbench_tasks.imaging import ImagingTask
from cwbench_tasks.mixtures import linear_posterior

OPERATORS = {"super-resolution": {}, "inpainting": {}, "deblurring": {}, "tomography": {}}
SHAPES = {
    ("mnist", False): (1, 28, 28),
    ("fashion", False): (1, 28, 28),
    ("patches32", False): (1, 32, 32),
    ("patches32", True): (3, 32, 32),
}


def stream(seed: int) -> Generator:
    return Generator().manual_seed(seed)


def made(name: str, **settings: object) -> ImagingTask:
    task = load_task(name, **settings)
    assert isinstance(task, ImagingTask)
    return task


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., FactorMixture]:
    """A small prior in place of that of CIFAR-10."""
    monkeypatch.setattr(image_priors.platformdirs, "user_cache_path", lambda _: tmp_path)
    image_prior.cache_clear()

    def write(colour: bool = False, channels: int = 1) -> FactorMixture:
        generator, d = stream(0), channels * 16
        means, factors = torch.rand(3, d, generator=generator), torch.rand(3, d, 2)
        ones = torch.ones(d)
        mixture = FactorMixture.prior(ones[:3], means, factors / 4, ones[:3], ones / 8)
        path = cached_path("cifar-colour" if colour else "cifar")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(factors_content(mixture, (channels, 4, 4)))
        return mixture

    yield write
    image_prior.cache_clear()


@pytest.mark.parametrize(("prior", "colour"), SHAPES)
def test_shipped_priors_are_mixtures_of_images(prior: str, colour: bool) -> None:
    law, shape, _ = image_prior(prior, colour=colour)
    assert shape == SHAPES[prior, colour]
    assert isinstance(law, FactorMixture)
    x = law.sample(200, stream(0))
    inside = ((x > -0.2) & (x < 1.2)).double().mean()
    assert float(inside) > 0.94
    assert float(law.deviations.min() * law.levels.min().sqrt()) > 0.005


@pytest.mark.parametrize("name", OPERATORS)
def test_posteriors_at_28_pixels_are_calibrated(name: str) -> None:
    """Ranks of the truth in projections that y tells much and little of, and of its norm."""
    task, draws = made(name, prior="mnist"), 19
    x, y = task.sample_joint(120, stream(1))
    samples = task.sample_posterior(y, draws, stream(2)).flatten(2)
    leading = next(task.posterior.given(y.flatten(1))).leading(1)[1][:, 0].float()
    x = x.flatten(1)
    for what in (lambda x: x @ leading, lambda x: x.square().sum(-1), lambda x: x.mean(-1)):
        ranks = (what(samples) < what(x)[:, None]).sum(1)
        assert stats.chisquare(ranks.bincount(minlength=draws + 1)).pvalue > 1e-3


def test_moments_of_a_posterior_at_28_pixels_are_those_of_its_draws() -> None:
    task = made("super-resolution", prior="mnist")
    y = task.sample_joint(1, stream(3)).y
    draws = task.sample_posterior(y, 4000, stream(4))[0].flatten(1).double()
    mean, covariance = (part[0] for part in task.posterior_moments(y))
    size = float(covariance.trace())
    assert torch.allclose(task.posterior_variances(y)[0], covariance.diagonal(), atol=1e-10)
    assert float((draws.mean(0) - mean).square().sum()) < 2 * size / 4000
    assert float((draws.T.cov() - covariance).square().sum().sqrt()) < 0.1 * size
    matched = task.sample_moment_matched(y, 4000, stream(5))[0].flatten(1)
    assert float((matched.mean(0) - mean).square().sum()) < 2 * size / 4000
    assert float((matched.T.cov() - covariance).square().sum().sqrt()) < 0.1 * size


def test_the_likelihood_the_prior_and_the_posterior_fit_together() -> None:
    task = made("tomography", prior="mnist")
    x, y = task.sample_joint(4, stream(6))
    posterior = next(task.posterior.given(y.flatten(1)))
    log_p_x, flat = task.log_prior(x.double()), x.flatten(1).double()
    log_p_y_x = task.log_likelihood(x[None].double(), y[:1])[0]
    evidence = task.posterior.joint_log_evidence(y[:1].flatten(1)).logsumexp(1)
    assert torch.allclose(posterior.log_density(flat), log_p_x + log_p_y_x - evidence)


@pytest.mark.parametrize("name", OPERATORS)
def test_colour_is_observed_channel_by_channel(name: str, cached: Callable) -> None:
    cached(colour=True, channels=3)
    fitting = {"deblurring": {"width": 1}, "inpainting": {"seen": 0.25}}.get(name, {})
    task = made(name, prior="cifar", colour=True, **fitting)
    assert task.x_shape == (3, 4, 4)
    x, y = task.sample_joint(3, stream(7))
    expected = torch.stack([x[:, c].flatten(1).double() @ task.A.T for c in range(3)], 1)
    assert torch.allclose(task.forward(x).flatten(2), expected)
    operator = task.linear_operator()
    assert torch.allclose(operator.forward(x.flatten(1).double()), expected.flatten(1))
    dense = task.law.dense()
    mean = task.posterior_moments(y).mean
    whole = linear_posterior(dense, operator.matrix, task.noise, y.flatten(1))
    assert torch.allclose(mean, whole.moments().mean, atol=1e-10)
    total = operator.matrix @ covariance_of(dense) @ operator.matrix.T
    assert task.noise == pytest.approx(task.params.noise * float(total.diagonal().mean().sqrt()))


def covariance_of(prior: MixturePrior) -> Tensor:
    """The covariance of a mixture."""
    return MixturePosterior(*(part[None] for part in prior)).moments().covariance[0]


def test_what_is_not_shipped_is_to_be_fitted_and_known_by_its_content(cached: Callable) -> None:
    with pytest.raises(UsageError, match="fit_large_priors cifar FOLDER"):
        load_task("super-resolution", prior="cifar")
    cached()
    first = made("super-resolution", prior="cifar").fingerprint()
    image_prior.cache_clear()
    path = cached_path("cifar")
    stored = load(path.read_bytes())
    path.write_bytes(save(stored | {"levels": 2 * stored["levels"]}))
    assert made("super-resolution", prior="cifar").fingerprint() != first


def test_a_cached_file_of_other_channels_is_refused(cached: Callable) -> None:
    cached(channels=3)
    with pytest.raises(CorruptFileError, match=r"has 3 channels, not 1.* Delete .* and fit it"):
        load_task("super-resolution", prior="cifar")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda s: s | {"factors": s["factors"][..., :0]}, "rank of at least 1"),
        (lambda s: s | {"weights": s["weights"][:2]}, "do not fit 3 components"),
        (lambda s: s | {"shape": torch.tensor([1, 4, 5])}, "16 numbers are no image of 4x5"),
        (lambda s: s | {"shape": torch.tensor([4, 4])}, "is no mixture"),
        (lambda s: s | {"means": s["means"][0]}, "is no mixture"),
        (lambda s: s | {"levels": -s["levels"]}, "above 0"),
        (lambda s: {k: v for k, v in s.items() if k != "means"}, "means"),
    ],
)
def test_a_file_that_is_no_prior_is_told(cached: Callable, change: Callable, told: str) -> None:
    cached()
    content = cached_path("cifar").read_bytes()
    with pytest.raises(CorruptFileError, match=told):
        load_prior(save(change(load(content))), "cifar", "Fit it again.")
    with pytest.raises(CorruptFileError, match=r"is no mixture: .* Fit it again"):
        load_prior(content[:40], "cifar", "Fit it again.")


def test_a_prior_that_is_not_the_shipped_one_is_refused() -> None:
    content = bytearray((files("cwbench_tasks") / "data" / "mnist.safetensors").read_bytes())
    content[-1] ^= 1
    with pytest.raises(CorruptFileError, match=r"mnist.*not the shipped one. Install"):
        image_priors.parse_prior(bytes(content), "mnist")


def test_defaults_follow_the_prior_unless_they_are_given() -> None:
    assert made("tomography").params.views == 2
    assert made("tomography", prior="mnist").params.views == 1
    assert made("tomography", prior="mnist", views=3).params.views == 3
    assert made("super-resolution", prior="mnist").y_shape == (1, 4, 4)


@pytest.mark.parametrize("setting", [{"factor": 3}, {"factor": 28}])
def test_an_operator_that_does_not_fit_the_image_is_told(setting: dict[str, int]) -> None:
    fits = {28: "the 8x8 image", 3: "choose a factor among 2, 4, 7, 14, 28"}
    prior = "digits" if setting["factor"] == 28 else "mnist"
    with pytest.raises(UsageError, match=fits[setting["factor"]]):
        load_task("super-resolution", prior=prior, **setting)


def test_pictures_of_128_pixels_in_colour_take_the_new_operators(tmp_path: Path) -> None:
    generator = stream(8)
    for index in range(24):
        pixels = torch.randint(256, (128, 128, 3), dtype=torch.uint8, generator=generator)
        Image.fromarray(pixels.numpy()).save(tmp_path / f"{index}.png")
    for name, settings in {
        "super-resolution": {"factor": 16},
        "inpainting": {},
        "deblurring": {"width": 4},
    }.items():
        task = made(name, prior="images", root=tmp_path, colour=True, **settings)
        x, y = task.sample_joint(2, generator)
        assert x.shape == (2, 3, 128, 128)
        back = task.back_projection(y).double()
        assert float((back * x).sum()) == pytest.approx(
            float((y * task.forward(x)).sum()), rel=1e-4
        )
        assert not task.has_posterior
        with pytest.raises(NotImplementedError, match="has no exact posterior"):
            task.sample_posterior(y, 1, generator)


def test_describe_says_the_modes_and_warns_where_a_gaussian_is_nearly_the_answer() -> None:
    task = load_task("inpainting", mask="hole")
    for gap, warned in ((0.02, True), (0.095, False), (0.2, False)):
        told = difficulty_text(task, Difficulty(gap, 0.01, 0.6, 1.7, 20, 500))
        assert "modes        1.7: effective ones" in told
        assert ("warning: nearly Gaussian" in told) == warned
    assert "modes" not in difficulty_text(task, Difficulty(0.2, 0.01, 0.6, None, 20, 500))


@pytest.mark.parametrize("name", sorted(OPERATORS))
def test_large_pictures_have_budgets_of_their_own_and_are_judged_at_20_evaluations(
    name: str, tmp_path: Path
) -> None:
    small, large = made(name, prior="digits").info, made(name, prior="mnist").info
    assert (small.main_nfe, large.main_nfe) == ("adaptive", 20)
    assert set(small.presets) == set(large.presets)
    quick = large.presets["quick"]
    assert (quick.steps, quick.observations, quick.samples) == (2_000, 20, 150)
    assert all(large.main_nfe in preset.nfe for preset in large.presets.values())
    assert all("adaptive" in preset.nfe for preset in small.presets.values())
    assert type(made(name, prior="fashion")).info.main_nfe == "adaptive"  # it was not touched
    assert "main_nfe: 20" in description(name, made(name, prior="mnist"))
    assert "main_nfe: adaptive" in description(name)


@pytest.mark.parametrize(("size", "judged"), [(None, 20), (8, "adaptive"), (28, 20)])
def test_a_folder_is_large_unless_its_size_says_otherwise(
    size: int | None, judged: object, tmp_path: Path
) -> None:
    for i in range(24):
        Image.new("L", (32, 32), 10 * i).save(tmp_path / f"{i}.png")
    task = made("deblurring", prior="images", root=tmp_path, size=size)
    assert task.info.main_nfe == judged


def test_a_record_of_a_large_picture_is_by_its_own_preset_and_verify_agrees(tmp_path: Path) -> None:
    record = cwbench.run(
        "super-resolution", "oracle", "smoke", settings={"prior": "mnist"},
        results=tmp_path, quiet=True, figures=False,
    )  # fmt: skip
    assert (record.task["main_nfe"], record.preset_values["batch_size"]) == (20, 50)
    assert record.track == "fixed"
    (honest,) = verify(tmp_path)
    assert not honest.problems
    assert record.directory is not None
    records.write(record.directory, replace(record, task={**record.task, "main_nfe": "adaptive"}))
    (forged,) = verify(tmp_path)
    assert any("main_nfe" in problem for problem in forged.problems)


def test_modes_are_counted() -> None:
    task = load_task("gaussian-mixture")
    preset = task.info.presets["quick"].model_copy(update={"samples": 50})
    assert 6 < difficulty(task, preset).modes < 9
    linear = load_task("gaussian-linear")
    assert difficulty(linear, preset).modes == pytest.approx(1)


@pytest.mark.parametrize("name", ["super-resolution", "inpainting"])
def test_the_oracle_has_0_in_every_ranking_metric(name: str, tmp_path: Path) -> None:
    record = cwbench.run(
        name, "oracle", "smoke", settings={"prior": "mnist"}, results=tmp_path, quiet=True,
        figures=False,
    )  # fmt: skip
    ranking = {i: e for i, e in record.metrics.items() if e["debiased"] and e["ranks"]}
    assert len(ranking) >= 4
    for metric, entry in ranking.items():
        half = (entry["high"] - entry["low"]) / 2
        assert abs(entry["value"]) < 2.5 * half, metric
