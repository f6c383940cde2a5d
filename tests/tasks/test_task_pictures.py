"""Image files as people have them: the values that pixels get, and what is left out or refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cwbench.api import load_task
from cwbench.errors import UsageError
from cwbench_tasks.pictures import check_equal, image_files, read, read_all

RAMP = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4


def save(path: Path, pixels: np.ndarray, **options: object) -> Path:
    Image.fromarray(pixels).save(path, **options)
    return path


def pixels_of(path: Path, colour: str = "as-stored") -> np.ndarray:
    return read(path, None, colour).pixels  # type: ignore[arg-type]  # one of the literals


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_scaled_by_their_range(tmp_path: Path, suffix: str) -> None:
    wide = (RAMP.astype(np.uint16) * 257) + 100  # 100 of 65535 is less than half a step of 8 bits
    assert np.array_equal(pixels_of(save(tmp_path / f"a.{suffix}", wide))[0], RAMP)
    full = save(tmp_path / f"full.{suffix}", np.full((8, 8), 65535, np.uint16))
    assert (pixels_of(full) == 255).all()
    assert pixels_of(full, "rgb").shape == (3, 8, 8)


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_numbers_without_a_range_are_refused_by_mode_and_file(
    tmp_path: Path, kind: type[np.generic]
) -> None:
    path = save(tmp_path / "odd.tif", RAMP.astype(kind))
    with pytest.raises(UsageError, match=r"odd.tif' has pixels of mode [IF].*8 or 16 bits"):
        read(path, None, "grey")


def test_exif_turns_and_white_lies_behind_what_is_transparent(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to view
    turned = save(tmp_path / "turned.png", RAMP[:4], exif=exif)
    assert np.array_equal(pixels_of(turned)[0], np.rot90(RAMP[:4], -1))
    wide = save(tmp_path / "wide.png", RAMP[:4].astype(np.uint16) * 257, exif=exif)
    assert np.array_equal(pixels_of(wide)[0], np.rot90(RAMP[:4], -1))
    half = np.zeros((8, 8, 4), np.uint8)
    half[..., 3] = 51  # a fifth of black on white
    assert (pixels_of(save(tmp_path / "half.png", half)) == 204).all()
    grey = np.stack([np.zeros_like(RAMP), np.full_like(RAMP, 51)], axis=-1)
    assert pixels_of(save(tmp_path / "la.png", grey)).tolist() == [[[204] * 8] * 8]


def test_every_image_is_found_and_what_is_none_is_counted(tmp_path: Path) -> None:
    for name in ("a.gif", "b.jfif", "c.PNG"):
        Image.fromarray(RAMP).save(tmp_path / name, format="JPEG" if "jf" in name else None)
    Image.fromarray(RAMP).save(tmp_path / "bare", format="PNG")
    (tmp_path / "README").write_text("no image")
    (tmp_path / "labels.csv").write_text("0")
    for hidden in (".ipynb_checkpoints", ".git"):
        (tmp_path / hidden).mkdir()
        save(tmp_path / hidden / "x.png", RAMP)
    elsewhere = tmp_path.parent / f"{tmp_path.name}-elsewhere"
    elsewhere.mkdir()
    save(elsewhere / "linked.png", RAMP)
    (tmp_path / "link").symlink_to(elsewhere)
    (elsewhere / "round").symlink_to(tmp_path)  # does not end in a circle
    with pytest.warns(UserWarning, match="no images: 1 of .csv, 1 of no ending"):
        found = image_files(tmp_path)
    assert [path.name for path in found] == ["a.gif", "b.jfif", "bare", "c.PNG", "linked.png"]


def test_a_folder_that_cannot_be_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "locked").mkdir()
    scan = os.scandir

    def scandir(place: str) -> object:
        if str(place).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(place))
        return scan(place)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(UsageError, match=r"locked' cannot be read \(Permission denied"):
        image_files(tmp_path)


def test_further_pages_are_counted(tmp_path: Path) -> None:
    pages = [Image.fromarray(RAMP), Image.fromarray(255 - RAMP), Image.fromarray(RAMP)]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    with pytest.warns(UserWarning, match="2 in all, in 1 files"):
        (first,) = read_all([tmp_path / "pages.tif"], size=None, colour="grey")
    assert np.array_equal(first[0], RAMP)


def test_images_that_are_enlarged_are_counted_once(tmp_path: Path) -> None:
    small = [save(tmp_path / f"{i}.png", RAMP[: 2 + i, :3]) for i in range(2)]
    tall = save(tmp_path / "tall.png", np.tile(RAMP[:4, :4], (4, 1)))  # 4 pixels wide
    paths = [*small, tall, save(tmp_path / "whole.png", RAMP)]
    size = min(RAMP.shape)
    with pytest.warns(UserWarning, match=f"3 of 4 images are smaller than {size}x{size}") as told:
        pictures = read_all(paths, size=size, colour="grey")
    assert len(told) == 1
    assert {picture.shape for picture in pictures} == {(1, size, size)}
    read_all(paths[3:], size=size, colour="grey")  # as large as that: no word


def test_images_that_are_all_the_same_are_refused(tmp_path: Path) -> None:
    paths = [save(tmp_path / f"{i}.png", RAMP) for i in range(3)]
    images = read_all(paths, size=None, colour="grey")
    with pytest.raises(UsageError, match="all 3 images are the same"):
        check_equal(images, paths)


def class_folder(root: Path, make: Callable[[str, int], np.ndarray]) -> Path:
    for part in ("train", "test"):
        for name in ("cat", "dog", ".ipynb_checkpoints"):
            (root / part / name).mkdir(parents=True)
            for index in range(2):
                save(root / part / name / f"{index}.png", make(part, index))
    return root


@pytest.mark.parametrize(
    ("test", "problem"),
    [
        (np.arange(256, dtype=np.uint8).reshape(16, 16), r"= \(1, 8, 8\), test images \(1, 16, 16"),
        (np.stack([RAMP, RAMP, RAMP // 2], axis=-1), r"= \(1, 8, 8\), test images \(3, 8, 8"),
    ],
)
def test_train_and_test_have_one_shape(tmp_path: Path, test: np.ndarray, problem: str) -> None:
    root = class_folder(tmp_path, lambda part, i: RAMP + i if part == "train" else test + i)
    task = load_task("image-folder", root=root)
    with pytest.raises(UsageError, match=problem):
        task.stored_images("train")


def test_hidden_folders_are_no_classes(tmp_path: Path) -> None:
    task = load_task("image-folder", root=class_folder(tmp_path, lambda _, i: RAMP + np.uint8(i)))
    assert task.num_classes == 2
    stored = task.stored_images("test")
    assert stored is not None
    assert torch.equal(stored.images.sum((1, 2, 3)).sort().values[::2], torch.tensor([8064, 8128]))
