"""Too few real images are refused before the fit, by class and count, as generated ones are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import cwbench
from cwbench import registry
from cwbench.api import load_task
from cwbench.errors import UsageError
from cwbench.judging.choice import sized
from cwbench.samples import ImageSet
from cwbench.task import Task

Folder = Callable[[dict[str, dict[str, int]]], Path]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    def make(counts: dict[str, dict[str, int]]) -> Path:
        random = np.random.default_rng(0)
        for part, classes in counts.items():
            for name, count in classes.items():
                place = tmp_path / part / name
                place.mkdir(parents=True)
                for index in range(count):
                    pixels = random.integers(0, 256, (8, 8)).astype(np.uint8)
                    Image.fromarray(pixels).save(place / f"{index}.png")
        return tmp_path

    return make


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize("name", ["kd-per-class-classifier", "kd-per-class-efficientnet-lite0"])
def test_one_image_in_a_class_is_refused_before_the_fit(
    folder: Folder, results: Path, part: str, name: str
) -> None:
    counts = {"train": {"cat": 6, "dog": 5}, "test": {"cat": 4, "dog": 3}}
    counts[part]["dog"] = 1
    settings = {"root": folder(counts), "preset.images": 8, "preset.metrics": [name]}
    told = rf"{name}.*class 'dog' has 1 real images of the 2 that it needs in the {part} part"
    with pytest.raises(UsageError, match=told):
        cwbench.run("image-folder", "fm", preset="smoke", settings=settings, quiet=True)
    assert not (results / "runs").exists()


def digits_with(train: int, test: dict[int, int] | int) -> Task:
    """Digits with so many images of each class; `test` may count classes apart, the rest full."""
    task = load_task("digits")

    def kept(part: ImageSet, counts: dict[int, int]) -> ImageSet:
        rows = [torch.nonzero(part.labels == c)[: counts.get(c, 10**6), 0] for c in range(10)]
        at = torch.cat(rows).sort().values
        return ImageSet(part.images[at], part.labels[at])

    def every(n: int) -> dict[int, int]:
        return dict.fromkeys(range(10), n)

    whole = dict(task._parts)  # type: ignore[attr-defined]  # of labelled images
    task._parts = {  # type: ignore[attr-defined]
        "train": kept(whole["train"], every(train)),
        "test": kept(whole["test"], test if isinstance(test, dict) else every(test)),
    }
    return task


@pytest.mark.parametrize(
    ("name", "train", "test", "told"),
    [
        ("fd-classifier", 100, 3, r"more than 32 images, there are 30 real ones in the test"),
        ("fd-per-class-classifier", 100, {4: 63}, r"'4' has 63 real images of the 64 that"),
        ("fd-per-class-classifier", 1, 65, r"'0' has 1 real images of the 2 .* in the train"),
        ("cfd-classifier", 100, {4: 63}, r"'4' has 63 real images of the 64"),
        ("kd-per-class-classifier", 1, 65, r"'0' has 1 real images of the 2 .* in the train"),
        ("kd-per-class-classifier", 100, {7: 1}, r"'7' has 1 real images of the 2 .* in the test"),
        ("kd-classifier", 100, {c: int(c == 0) for c in range(10)}, r"two real images"),
        ("precision-classifier", 100, {c: int(c < 3) for c in range(10)}, r"there are 3 real"),
        ("recall-classifier", 100, {c: int(c < 3) for c in range(10)}, r"there are 3 real"),
        ("class-accuracy", 100, {7: 0}, r"an image of each class, '7' has none in the test"),
    ],
)
def test_real_images_are_counted_as_generated_ones_are(
    name: str, train: int, test: dict[int, int] | int, told: str
) -> None:
    metric = registry.load("metric", name).cls(digits_with(train, test))
    with pytest.raises(UsageError, match=told):
        sized({name: metric}, 650)


@pytest.mark.parametrize(("name", "n"), [("kd-classifier", 1), ("class-accuracy", 9)])
def test_too_few_generated_ones_are_refused_too(name: str, n: int) -> None:
    """They would have a value that is not finite, which was put down to the sampler."""
    metric = registry.load("metric", name).cls(load_task("digits"))
    with pytest.raises(UsageError, match=rf"needs .* {n} are generated"):
        sized({name: metric}, n)


def test_only_images_that_are_looked_at_count() -> None:
    """Of 650 stored ones the first 21 are: in some class fewer than two."""
    task = load_task("digits")
    stored = task.stored_images("test")
    assert stored is not None
    seen = stored.first(21).labels.bincount(minlength=10)
    assert seen.min() < 2
    metric = registry.load("metric", "kd-per-class-classifier").cls(task)
    with pytest.raises(UsageError, match=rf"'{int(seen.argmin())}' has {int(seen.min())} real"):
        sized({"kd-per-class-classifier": metric}, 21)


@pytest.mark.parametrize("preset", ["smoke", "quick", "standard"])
def test_no_preset_of_digits_is_refused(preset: str) -> None:
    task = load_task("digits")
    values = task.info.presets[preset]
    names = values.metrics
    sized({name: registry.load("metric", name).cls(task) for name in names}, values.images)
