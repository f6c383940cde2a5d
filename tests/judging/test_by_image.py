"""Generated images against real ones: a perfect sampler, a blind one, batches, and refusals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

import cwbench
from cwbench import registry
from cwbench.api import load_method, load_task
from cwbench.errors import UsageError
from cwbench.images import to_x
from cwbench.judging import by_image as image_sets
from cwbench.judging.by_image import ImageJudge, labels_in_turn
from cwbench.judging.choice import sized
from cwbench.metric import ImageMetric
from cwbench.samples import ImageSet
from cwbench.task import Task
from cwbench_tasks.digits import METRICS

N = 650


@pytest.fixture(scope="module")
def digits() -> Task:
    return load_task("digits")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def chosen(task: Task, *names: str, n: int = N) -> list[ImageMetric]:
    metrics = {name: registry.load("metric", name).cls(task) for name in names}
    sized(metrics, n)
    return list(metrics.values())


def real_sampler(
    task: Task, change: Callable[[Tensor, Tensor], Tensor] = lambda x, y: x, part: Any = "test"
) -> image_sets.Sampler:
    """Real images of the class asked for, each at most once while they last."""
    stored = task.stored_images(part)
    assert stored is not None
    members = [torch.nonzero(stored.labels == c)[:, 0] for c in range(10)]
    used = [0] * 10

    def sample(y: Tensor, _: int) -> Tensor:
        rows = []
        for c in y.tolist():
            rows.append(members[c][used[c] % len(members[c])])
            used[c] += 1
        return change(to_x(stored.images[torch.stack(rows)]), y)

    return sample


def values(task: Task, cache: Path, sampler: image_sets.Sampler, *names: str) -> dict[str, float]:
    scores = ImageJudge(task, cache).scores(chosen(task, *names), sampler)
    return {name: float(score.value.mean()) for name, score in scores.items()}


def test_held_out_images_score_as_perfect(digits: Task, cache: Path) -> None:
    """The same images class by class; over all of them classes are drawn, and a few come twice."""
    got = values(digits, cache, real_sampler(digits), *METRICS)
    assert got["fd-classifier"] < 0.15  # its floor is .29
    assert got["fd-per-class-classifier"] == pytest.approx(0, abs=1e-6)
    assert got["cfd-classifier"] == pytest.approx(0, abs=1e-6)
    assert got["precision-classifier"] == 1
    assert got["recall-classifier"] > 0.99
    assert got["class-accuracy"] > 0.97
    assert got["memorisation"] == pytest.approx(1, abs=0.01)


def test_copies_of_training_images_are_near_the_floor_and_found_out(
    digits: Task, cache: Path
) -> None:
    """The floor is what real images of the other part score, and here those are drawn."""
    judge = ImageJudge(digits, cache)
    metrics = chosen(digits, "kd-per-class-classifier", "fd-classifier", "memorisation")
    scores = judge.scores(metrics, real_sampler(digits, part="train"))
    kernel = scores["kd-per-class-classifier"]
    assert kernel.floor is not None
    assert abs(float(kernel.value.mean() - kernel.floor.mean())) < 0.3
    assert float(scores["memorisation"].value) < 1e-5
    frechet = scores["fd-classifier"]
    assert frechet.floor is not None
    assert float(frechet.value) == pytest.approx(float(frechet.floor), rel=0.5)


def test_the_floor_of_memorisation_is_what_training_images_are_from_each_other(
    digits: Task, cache: Path
) -> None:
    n = 1_147
    (metric,) = chosen(digits, "memorisation", n=n)
    score = ImageJudge(digits, cache).scores([metric], real_sampler(digits))["memorisation"]
    train, test = (
        digits.stored_images(part).images.flatten(1).double() / 255 for part in ("train", "test")
    )
    others = torch.cdist(train, train).fill_diagonal_(torch.inf).amin(1).mean()
    unseen = torch.cdist(test, train).amin(1).mean()
    assert float(score.floor) == pytest.approx(float(others / unseen), rel=1e-5)


def test_real_images_as_a_method_score_what_the_floors_are(run: Callable[..., Any]) -> None:
    """Each metric is handed images that it has not seen; the row is the scale's other end."""
    settings = {"preset.images": N, "preset.metrics": ",".join(METRICS)}
    record = run("held-out", "digits", settings=settings)
    assert (record.status, record.method["role"]) == ("ok", "upper")
    got = {name: (e["value"], e["floor"]) for name, e in record.metrics.items()}
    for name in ("class-accuracy", "precision-classifier", "recall-classifier", "memorisation"):
        assert got[name][0] == pytest.approx(got[name][1], abs=0.03), name
    for name in ("fd-classifier-650", "fd-per-class-classifier-650", "cfd-classifier-650"):
        assert 0.5 < got[name][0] / got[name][1] < 2, name
    for name in ("kd-classifier", "kd-per-class-classifier"):
        assert abs(got[name][0] - got[name][1]) < 0.15, name
    assert got["memorisation"][0] == pytest.approx(1, abs=0.01)


def test_no_image_comes_from_the_part_that_is_compared_with(digits: Task) -> None:
    control = load_method("held-out").on(digits, "smoke")
    for part, other in (("train", "test"), ("test", "train")):
        stored = {x.numpy().tobytes() for x in to_x(digits.stored_images(other).images)}
        draw = control.real_images(part)
        assert draw is not None
        y = labels_in_turn(300, 10)
        drawn = [x.numpy().tobytes() for x in draw(y)]
        labels = {
            x.numpy().tobytes(): int(label)
            for x, label in zip(*_as_x(digits.stored_images(part)), strict=True)
        }
        assert not stored & set(drawn)
        assert len(set(drawn)) == 300  # none twice
        assert [labels[x] for x in drawn] == y.tolist()


def _as_x(stored: ImageSet) -> tuple[Tensor, Tensor]:
    return to_x(stored.images), stored.labels


@pytest.mark.parametrize(
    ("task", "method"), [("gaussian-linear", "held-out"), ("digits", "oracle")]
)
def test_a_control_says_on_which_tasks_it_is_none(
    run: Callable[..., Any], task: str, method: str
) -> None:
    record = run(method, task)
    assert record.status == "skipped"
    assert "which this task does not have" in record.error


def test_a_sampler_that_ignores_the_class_is_seen_by_class_alone(digits: Task, cache: Path) -> None:
    def moved(x: Tensor, y: Tensor) -> Tensor:
        return x.roll(1, 0)  # the image of the neighbour, of another class

    names = ("kd-classifier", "kd-per-class-classifier", "fd-classifier", "class-accuracy")
    got = values(digits, cache, real_sampler(digits, moved), *names)
    assert got["fd-classifier"] < 0.15  # that of the right classes
    assert got["kd-classifier"] < 0.1
    assert got["kd-per-class-classifier"] > 10
    assert got["class-accuracy"] < 0.05


@pytest.mark.parametrize("name", ["kd-per-class-classifier", "fd-classifier"])
def test_distances_grow_with_blur_and_noise(digits: Task, cache: Path, name: str) -> None:
    noise = torch.randn(N, 1, 8, 8, generator=Generator().manual_seed(0))

    def noisy(strength: float) -> Callable[[Tensor, Tensor], Tensor]:
        return lambda x, y: x + strength * noise[: len(x)]

    def blurred(weight: float) -> Callable[[Tensor, Tensor], Tensor]:
        pool = torch.nn.AvgPool2d(3, 1, 1)
        return lambda x, y: (1 - weight) * x + weight * (pool(x + 1) - 1)

    for family, levels in ((noisy, (0, 0.3, 0.6, 1.0)), (blurred, (0, 0.4, 0.7, 1.0))):
        got = [
            values(digits, cache, real_sampler(digits, family(level)), name)[name]
            for level in levels
        ]
        assert got == sorted(got)
        assert got[-1] > got[0] + 0.5


def test_batches_do_not_change_a_value(
    digits: Task, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = torch.randn(N, 1, 8, 8, generator=Generator().manual_seed(0))
    found = []
    for size in (37, 500):
        monkeypatch.setattr(image_sets, "BATCH", size)
        draw = real_sampler(digits)

        def sample(y: Tensor, number: int, size: int = size, draw: Any = draw) -> Tensor:
            return draw(y, number) + 0.5 * noise[number * size :][: len(y)]

        found.append(values(digits, cache, sample, *METRICS))
    for name in METRICS:
        assert found[0][name] == pytest.approx(found[1][name], rel=1e-5), name


def test_statistics_of_real_images_are_computed_once_and_damage_is_seen(
    digits: Task, tmp_path: Path, cache: Path
) -> None:
    names = ("fd-classifier", "kd-per-class-classifier")
    first = values(digits, tmp_path, real_sampler(digits), *names)
    kept = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(kept) == 5  # the classifier, two statistics, two floors
    assert values(digits, tmp_path, real_sampler(digits), *names) == first
    for path in kept:
        path.write_bytes(b"damaged")
    assert values(digits, tmp_path, real_sampler(digits), *names) == pytest.approx(first, abs=1e-6)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in kept}


def test_classes_come_in_turn() -> None:
    assert labels_in_turn(7, 3).tolist() == [0, 1, 2, 0, 1, 2, 0]


@pytest.mark.parametrize(
    ("name", "images", "told"),
    [
        ("fd-classifier", 32, r"more than 32 images, 32 are generated.*preset.images=64"),
        ("fd-per-class-classifier", 630, r"needs 64 images of it: 63 are generated, 65 are real"),
        ("cfd-classifier", 630, r"preset.images=640"),
        ("kd-per-class-classifier", 19, r"two images of each of 10 classes"),
        ("fid-50k-train-tf", 650, r"defined on 50000 generated images; type --set preset.images"),
        ("kid-10k-test", 9_999, r"defined on 10000 generated images"),
        ("fd-efficientnet-lite0", 1_280, r"more than 1280 images"),
        ("class-accuracy", 0, r"no image is generated"),
        ("precision-classifier", 3, r"more than 3 images"),
    ],
)
def test_too_few_images_are_refused_before_anything_is_fitted(
    results: Path, name: str, images: int, told: str
) -> None:
    settings = {"preset.images": images, "preset.metrics": name}
    with pytest.raises(UsageError, match=told):
        cwbench.run("digits", "fm", preset="smoke", settings=settings, quiet=True)
    assert not (results / "runs").exists()


def test_metrics_of_images_are_refused_elsewhere() -> None:
    with pytest.raises(UsageError, match="fd-classifier needs labelled-images"):
        cwbench.run("gaussian-linear", "fm", preset="smoke", metrics=["fd-classifier"])


def test_a_run_records_classes_and_scores_again(run: Callable[..., Any], results: Path) -> None:
    from cwbench.running.score import score

    record = run("fm", "digits")
    assert record.status == "ok"
    entry = record.metrics["class-accuracy@nfe=2"]
    assert (entry["n_observations"], entry["n_samples"]) == (10, 200)
    assert entry["low"] < entry["value"] < entry["high"]
    assert entry["floor"] > 0.95
    again = score(record, results, metrics=["fd-classifier"], quiet=True)
    assert again.metrics["fd-classifier-200@nfe=2"]["value"] > 0
    assert again.metrics["class-accuracy@nfe=2"] == entry


def test_a_sampler_that_is_not_finite_has_no_value(results: Path) -> None:
    def broken(y: Tensor, n: int, generator: Generator) -> Tensor:
        return torch.full((len(y), n, 1, 8, 8), torch.nan)

    record = cwbench.evaluate(broken, "digits", preset="smoke", quiet=True, figures=False)
    assert record.status == "diverged"
    assert all(entry["value"] is None for entry in record.metrics.values())


@pytest.mark.slow
def test_peak_memory_does_not_grow_with_the_number_of_images(python: Callable[..., Any]) -> None:
    """7,000 images more would be 344 MB; what may grow is a few features of each."""
    program = Path(__file__).with_name("peak_of_metrics.py")
    peaks = [
        # freed blocks go back to the system at once, so that the peak is of what is held
        int(python(program, str(n), MALLOC_MMAP_THRESHOLD_="65536", OMP_NUM_THREADS="1").stdout)
        for n in (1_000, 8_000)
    ]
    assert peaks[1] - peaks[0] < 32e6
