"""Stored images with classes: splits, training pairs, and what a bad folder or archive gets."""

from __future__ import annotations

import functools
import pickle
import tarfile
import threading
from collections.abc import Callable, Iterator
from hashlib import md5
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Generator
from torchvision import datasets

import cwbench
from cwbench.api import load_task
from cwbench.check.outcome import carried_out, name_of
from cwbench.check.task import TASK_CHECKS, TaskSubject
from cwbench.errors import UsageError
from cwbench.images import StoredPairs, intensities, shuffled, to_pixels, to_x
from cwbench.method import take, tensors_of
from cwbench.samples import ImageSet
from cwbench.task import Task
from cwbench.verifying.verify import verify
from cwbench_tasks.digits import Digits

Folder = Callable[..., Path]


def stream(seed: int) -> Generator:
    return Generator().manual_seed(seed)


def stored(task: Task, part: Any) -> ImageSet:
    found = task.stored_images(part)
    assert found is not None
    return found


def test_pixels_survive_the_way_to_x_and_back() -> None:
    pixels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_pixels(to_x(pixels)), pixels)
    assert (to_x(pixels).min(), to_x(pixels).max()) == (-1, 1)
    assert intensities(torch.tensor([-3.0, 3.0])).tolist() == [0, 255]


def test_pairs_with_flips_show_each_image_as_it_is_and_mirrored() -> None:
    images = torch.arange(24, dtype=torch.uint8).reshape(2, 1, 3, 4)
    pairs = StoredPairs(ImageSet(images, torch.tensor([5, 6])), flips=True)
    x, y = tensors_of(pairs)
    assert y.tolist() == [5, 6, 5, 6]
    assert torch.equal(to_pixels(x[:2]), images)
    assert torch.equal(to_pixels(x[2:]), images.flip(-1))
    assert all(torch.equal(pair[0], row) for pair, row in zip(pairs, x, strict=True))
    assert len(StoredPairs(pairs.stored)) == 2


def test_order_depends_on_pixels_alone() -> None:
    images = torch.randint(256, (30, 1, 4, 4), dtype=torch.uint8, generator=stream(0))
    labels = torch.arange(30)
    turned = shuffled(images.flip(0), labels.flip(0))
    straight = shuffled(images, labels)
    assert torch.equal(straight.images, turned.images)
    assert torch.equal(straight.labels, turned.labels)
    assert straight.labels.tolist() != list(range(30))


def test_digits_are_split_once_and_for_all() -> None:
    from sklearn.datasets import load_digits

    task = load_task("digits")
    train, test = stored(task, "train"), stored(task, "test")
    assert (len(train.labels), len(test.labels)) == (1_147, 650)
    assert test.labels.bincount().tolist() == [65] * 10
    both = torch.cat([train.images, test.images]).flatten(1).unique(dim=0)
    everything = np.rint(load_digits().data * 255 / 16).astype(np.uint8)
    assert len(both) == len(np.unique(everything, axis=0)) == 1_797
    assert task.fingerprint() == load_task("digits").fingerprint()


def test_digits_as_a_task() -> None:
    task = load_task("digits")
    assert (task.x_shape, task.y_shape, task.num_classes) == ((1, 8, 8), (), 10)
    assert not task.has_posterior
    x, y = task.evaluation_set(23, stream(0))
    assert y.tolist() == [i % 10 for i in range(23)]
    held_out = {image.numpy().tobytes() for image in stored(task, "test").images}
    assert all(image.numpy().tobytes() in held_out for image in to_pixels(x))
    train = {image.numpy().tobytes() for image in stored(task, "train").images}
    drawn = task.sample_joint(20, stream(1))
    assert all(image.numpy().tobytes() in train for image in to_pixels(drawn.x))
    some = task.training_data(100, stream(2))
    pairs = tensors_of(some)
    assert len({image.numpy().tobytes() for image in to_pixels(pairs.x)}) == 100
    assert torch.equal(take(some, torch.tensor([3])).x[0], pairs.x[3])
    assert len(task.training_data(10**6, stream(2))) == 1_147  # type: ignore[arg-type]  # map-style


@pytest.mark.parametrize("check", TASK_CHECKS, ids=name_of)
def test_digits_pass_the_checks_of_cwbench_check(check: Any) -> None:
    outcome = carried_out(check, TaskSubject(Digits, {}), Digits.excused)
    assert outcome.status in ("passed", "not applicable", "excused"), outcome
    assert (outcome.status == "excused") == (outcome.check in Digits.excused)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A class folder of noise; `change(path)` may write another file."""

    def make(
        classes: tuple[str, ...] = ("cat", "dog"),
        size: tuple[int, int] = (12, 8),
        mode: str = "RGB",
        count: int = 4,
    ) -> Path:
        random = np.random.default_rng(0)
        for part in ("train", "test"):
            for name in classes:
                place = tmp_path / "images" / part / name
                place.mkdir(parents=True)
                for index in range(count):
                    shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
                    pixels = random.integers(0, 256, shape).astype(np.uint8)
                    Image.fromarray(pixels).save(place / f"{index}.png")
        return tmp_path / "images"

    return make


def test_a_class_folder_is_read_as_it_is(folder: Folder, tmp_path: Path) -> None:
    root = folder()
    task = load_task("image-folder", root=root)
    assert (task.x_shape, task.num_classes, task.class_names) == ((3, 8, 12), 2, ("cat", "dog"))
    images, labels = stored(task, "test")
    for index in range(4):
        pixels = np.asarray(Image.open(root / "test" / "dog" / f"{index}.png")).transpose(2, 0, 1)
        (at,) = torch.nonzero((images == torch.tensor(pixels)).flatten(1).all(1))[:, 0]
        assert labels[at] == 1
    moved = root.rename(tmp_path / "elsewhere")
    (moved / "test" / "dog" / "0.png").rename(moved / "test" / "dog" / "zero.png")
    assert load_task("image-folder", root=moved).fingerprint() == task.fingerprint()
    with pytest.warns(UserWarning, match="8 of 8 images are smaller than 16x16"):
        grey = load_task("image-folder", root=moved, colour="grey", size=16)
        assert grey.x_shape == (1, 16, 16)
        assert grey.fingerprint() != task.fingerprint()
    assert len(load_task("image-folder", root=moved, flips=True).training_data(99, stream(0))) == 16  # type: ignore[arg-type]  # map-style


def rewrite(path: Path, size: tuple[int, int], mode: str) -> None:
    Image.new(mode, size).save(path)


def bad_folders() -> dict[str, tuple[Callable[[Folder, Path], Path], str]]:
    def odd(make: Folder, change: Callable[[Path], Any], **options: Any) -> Path:
        root = make(**options)
        change(root / "train" / "dog" / "2.png")
        return root

    def emptied(make: Folder) -> Path:
        root = make()
        for path in (root / "test" / "dog").iterdir():
            path.unlink()
        return root

    return {
        "missing": (lambda make, tmp: tmp / "nowhere", r"there is no folder .*nowhere.*train/<cl"),
        "flat": (lambda make, tmp: tmp, r"there is no folder .*train'"),
        "one class": (lambda make, tmp: make(("cat",)), r"has 1 class.*at least two"),
        "class without test": (lambda make, tmp: emptied(make), r"other classes: dog"),
        "one pixel": (lambda make, tmp: make(size=(1, 1)), r"have 1x1 pixels.*multiples of 4"),
        "odd side": (lambda make, tmp: make(size=(10, 8)), r"8x10 pixels.*--set size=32"),
        "mixed colours": (
            lambda make, tmp: odd(make, lambda path: rewrite(path, (12, 8), "L")),
            r"mixed with colour \(1 grey, 7 colour.*2.png.*--set colour=rgb",
        ),
        "mixed sizes": (
            lambda make, tmp: odd(make, lambda path: rewrite(path, (8, 8), "RGB")),
            r"2 sizes.*2.png.*--set size=32",
        ),
        "no image": (
            lambda make, tmp: odd(make, lambda path: path.write_bytes(b"text")),
            r"2.png' cannot be read as an image",
        ),
    }


@pytest.mark.parametrize("kind", bad_folders())
def test_bad_folders_are_refused_before_anything_is_written(
    kind: str, folder: Folder, tmp_path: Path, results: Path
) -> None:
    make, told = bad_folders()[kind]
    root = make(folder, tmp_path)
    with pytest.raises(UsageError, match=told):
        cwbench.run("image-folder", "fm", preset="smoke", settings={"root": root}, quiet=True)
    assert not (results / "runs").exists()


def test_a_record_is_verified_by_its_folder_wherever_that_lies(
    folder: Folder, tmp_path: Path, results: Path
) -> None:
    root = folder()
    record = cwbench.run("image-folder", "held-out", preset="smoke", settings={"root": root},
                         figures=False, quiet=True)  # fmt: skip
    assert record.status == "ok"
    moved = root.rename(tmp_path / "moved")
    (found,) = verify(results, settings={"root": moved})
    assert not found.problems
    (without,) = verify(results)
    assert not without.problems
    next(moved.glob("test/*/0.png")).write_bytes(next(moved.glob("train/*/0.png")).read_bytes())
    (edited,) = verify(results, settings={"root": moved})
    assert "leads to other data" in edited.problems[0]


def test_one_pixel_is_not_blown_up_and_no_root_says_what_to_type(folder: Folder) -> None:
    with pytest.raises(UsageError, match=r"1x1 pixels; at least 8 a side"):
        load_task("image-folder", root=folder(size=(1, 1)), size=16).stored_images("train")
    with pytest.raises(UsageError, match=r"type --set root=FOLDER"):
        cwbench.run("image-folder", "fm", preset="smoke", quiet=True)


class Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Where a server on this machine has the files of `served`."""
    (tmp_path / "served").mkdir()
    handler = functools.partial(Silent, directory=str(tmp_path / "served"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str) -> Path:
    """A small archive of the published layout, whose checksums torchvision is told."""
    random = np.random.default_rng(0)
    base = tmp_path / "make" / datasets.CIFAR10.base_folder
    base.mkdir(parents=True)
    lists: dict[str, list[list[str]]] = {"train_list": [], "test_list": []}
    for part, name in (("train_list", "data_batch_1"), ("test_list", "test_batch")):
        data = random.integers(0, 256, (20, 3072)).astype(np.uint8)
        content = pickle.dumps({"data": data, "labels": [i % 10 for i in range(20)]})
        (base / name).write_bytes(content)
        lists[part].append([name, md5(content, usedforsecurity=False).hexdigest()])
    meta = pickle.dumps({"label_names": list("abcdefghij")})
    (base / "batches.meta").write_bytes(meta)
    checksum = md5(meta, usedforsecurity=False).hexdigest()
    meta_facts = {"filename": "batches.meta", "key": "label_names", "md5": checksum}
    archive = tmp_path / "served" / datasets.CIFAR10.filename
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(base, datasets.CIFAR10.base_folder)
    digest = md5(archive.read_bytes(), usedforsecurity=False).hexdigest()
    facts = {"tgz_md5": digest, "url": f"{address}/{archive.name}", "meta": meta_facts} | lists
    for name, value in facts.items():
        monkeypatch.setattr(datasets.CIFAR10, name, value)
    return archive


def test_cifar_is_downloaded_once_and_read_with_its_mirror_images(
    published: Path, tmp_path: Path
) -> None:
    root = tmp_path / "cache"
    task = load_task("cifar10", root=root)
    assert (task.x_shape, task.num_classes) == ((3, 32, 32), 10)
    with (tmp_path / "make" / datasets.CIFAR10.base_folder / "test_batch").open("rb") as file:
        data = pickle.load(file)["data"]  # noqa: S301 - written above
    assert torch.equal(stored(task, "test").images, torch.tensor(data).reshape(-1, 3, 32, 32))
    assert len(task.training_data(10**6, stream(0))) == 40  # type: ignore[arg-type]  # map-style
    published.unlink()
    assert load_task("cifar10", root=root).fingerprint() == task.fingerprint()
    assert [path.name for path in root.iterdir()] == [datasets.CIFAR10.base_folder]


def test_an_archive_brought_along_is_unpacked(published: Path, tmp_path: Path) -> None:
    root = tmp_path / "brought"
    root.mkdir()
    (root / published.name).write_bytes(published.read_bytes())
    published.unlink()
    assert load_task("cifar10", root=root).x_shape == (3, 32, 32)


def test_damaged_archives_are_refused_and_nothing_half_written_stays(
    published: Path, tmp_path: Path
) -> None:
    root = tmp_path / "half"
    root.mkdir()
    half = published.read_bytes()[:1_000]
    (root / published.name).write_bytes(half)
    with pytest.raises(UsageError, match=r"tar.gz' is damaged or incomplete.*Remove it"):
        load_task("cifar10", root=root).stored_images("train")
    assert [path.read_bytes() for path in root.iterdir()] == [half]

    fresh = tmp_path / "fresh"
    published.write_bytes(half)  # what the server sends is not what was published
    with pytest.raises(UsageError, match=r"cannot be had from http.*without a network"):
        load_task("cifar10", root=fresh).stored_images("train")
    assert list(fresh.iterdir()) == []
    published.unlink()
    with pytest.raises(UsageError, match=r"cannot be had from http"):
        load_task("cifar10", root=fresh).stored_images("train")
    assert list(fresh.iterdir()) == []


def test_a_changed_file_is_refused_unopened(published: Path, tmp_path: Path) -> None:
    root = tmp_path / "cache"
    load_task("cifar10", root=root).stored_images("train")
    (root / datasets.CIFAR10.base_folder / "data_batch_1").write_bytes(b"cos\nsystem\n")
    with pytest.raises(UsageError, match=r"cifar-10-batches-py' is damaged"):
        load_task("cifar10", root=root).stored_images("train")
