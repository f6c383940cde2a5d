"""Fits the mixtures of factor analysers of `cwbench_tasks.image_priors` to images and writes them.

    python -m cwbench_tasks.fit_large_priors mnist FOLDER DIRECTORY
    python -m cwbench_tasks.fit_large_priors patches32 - DIRECTORY
    python -m cwbench_tasks.fit_large_priors cifar FOLDER

FOLDER holds the images: IDX files for `mnist` and `fashion`, the archive that torchvision unpacks
or image files for `cifar`; the photographs of `patches32` come with scikit-learn and scikit-image.
Without DIRECTORY the file goes into cwbench's cache, where `prior=cifar` looks for it. The SHA-256
is printed; a new fit of a shipped file is a new version of the tasks that use it.

    python -m cwbench_tasks.fit_large_priors mnist FOLDER --search

fits nine tenths under several numbers of components and ranks, and prints the mean log-likelihood
of the rest. A fit takes one to five minutes on one core.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import sys
from collections.abc import Callable, Iterator, Sequence
from math import prod
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from cwbench.errors import UsageError
from cwbench.machine.files import write_atomically
from cwbench_tasks.factor_fitting import fit
from cwbench_tasks.image_priors import cached_path, factors_content

Pixels = NDArray[np.uint8]

SIDE = 32
PATCHES_A_PHOTOGRAPH = 2_000
MOST_IMAGES = 20_000
"""That are fitted to: a random part of larger data sets, so that a fit takes minutes."""


class Size(NamedTuple):
    """Components and rank."""

    components: int
    rank: int


SIZE = Size(100, 12)
"""Chosen on MNIST for posteriors at 28x28 that keep several modes: what is held out prefers fewer
components of higher rank (`--search`), and those leave one. The other images have it from there."""

SEARCHED = (Size(25, 28), Size(50, 20), Size(50, 12), Size(100, 20), SIZE, Size(200, 6))


class Data(NamedTuple):
    """Images as uint8 with shape `(n, channels, height, width)`, to fit to and held out."""

    training: Pixels
    held_out: Pixels


def digits_like(folder: Path) -> Data:
    """All images of the IDX files of a folder, one in ten held out."""
    paths = sorted(folder.glob("*images*idx3-ubyte*"))
    if not paths:
        raise UsageError(f"no file like t10k-images-idx3-ubyte.gz in {str(folder)!r}")
    return _split(np.concatenate([_idx(path) for path in paths])[:, None])


def _idx(path: Path) -> Pixels:
    """The images of one file `(n, height, width)`."""
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    kind, n, *shape = np.frombuffer(raw[:16].ljust(16, b"\0"), ">i4").tolist()
    if kind != 2051 or len(raw) != 16 + n * prod(shape):
        raise UsageError(f"{str(path)!r} is no IDX file of images, or is cut off")
    return np.frombuffer(raw, np.uint8, offset=16).reshape(n, *shape)


def cifar(folder: Path, *, colour: bool) -> Data:
    """The training images of CIFAR-10, or all image files of a folder at 32x32."""
    from torchvision.datasets import CIFAR10

    from cwbench_tasks.pictures import image_files, read_all

    if (folder / CIFAR10.base_folder).is_dir():
        images = CIFAR10(str(folder), train=True).data.transpose(0, 3, 1, 2)
        return _split(images if colour else _grey(images))
    paths = image_files(folder) if folder.is_dir() else []
    if not paths:
        raise UsageError(f"neither {CIFAR10.base_folder} nor an image in {str(folder)!r}")
    return _split(np.stack(read_all(paths, size=SIDE, colour="rgb" if colour else "grey")))


def _split(images: Pixels) -> Data:
    order = np.random.RandomState(0).permutation(len(images))[:MOST_IMAGES]
    images, order = images[order], np.arange(len(order))
    return Data(images[order[len(images) // 10 :]], images[order[: len(images) // 10]])


def _grey(images: Pixels) -> Pixels:
    """By the weights of ITU-R 601, as Pillow has them."""
    luma = np.einsum("nchw,c->nhw", images.astype(np.float32), [0.299, 0.587, 0.114])
    grey: Pixels = np.rint(luma)[:, None].astype(np.uint8)
    return grey


def photographs(*, colour: bool) -> Iterator[Pixels]:
    """Each with shape `(channels, height, width)`; data/LICENCES.md names photographers."""
    from skimage import data
    from sklearn.datasets import load_sample_images

    pictures = [data.astronaut(), data.chelsea(), data.coffee(), data.rocket()]
    pictures += load_sample_images().images
    for picture in pictures:
        whole = picture.transpose(2, 0, 1)
        yield whole if colour else _grey(whole[None])[0]
    if not colour:
        yield from (p[None] for p in (data.camera(), data.brick(), data.grass(), data.gravel()))


def patches(*, colour: bool) -> Data:
    """Patches of the left three quarters of the photographs; held out, of the right quarter."""
    random = np.random.RandomState(0)
    parts: tuple[list[Pixels], list[Pixels]] = ([], [])
    for photograph in photographs(colour=colour):
        edge = 3 * photograph.shape[2] // 4
        halves = photograph[..., :edge], photograph[..., edge:]
        counts = PATCHES_A_PHOTOGRAPH, PATCHES_A_PHOTOGRAPH // 10
        for part, half, count in zip(parts, halves, counts, strict=True):
            part.append(_drawn(half, count, random))
    return Data(*map(np.concatenate, parts))


def _drawn(photograph: Pixels, count: int, random: np.random.RandomState) -> Pixels:
    """Patches anywhere, `(count, channels, 32, 32)`."""
    _, height, width = photograph.shape
    places = zip(
        random.randint(height - SIDE + 1, size=count),
        random.randint(width - SIDE + 1, size=count),
        strict=True,
    )
    return np.stack([photograph[:, i : i + SIDE, j : j + SIDE] for i, j in places])


SOURCES: dict[str, Callable[[Path], Data]] = {
    "mnist": digits_like,
    "fashion": digits_like,
    "patches32": lambda _: patches(colour=False),
    "patches32-colour": lambda _: patches(colour=True),
    "cifar": lambda folder: cifar(folder, colour=False),
    "cifar-colour": lambda folder: cifar(folder, colour=True),
}


def dequantised(images: Pixels) -> Tensor:
    """Intensities in (0, 1) with shape `(n, d)`, float32: uniform within each of 256 levels."""
    flat = torch.from_numpy(images).flatten(1).float()
    return (flat + torch.rand(flat.shape, generator=Generator().manual_seed(0))) / 256


def search(data: Data) -> Iterator[str]:
    """A line for each size: mean log-likelihood of what was fitted and of what was held out."""
    training, held_out = map(dequantised, data)
    for size in SEARCHED:
        found = fit(training, *size)
        score = float(found.mixture.log_density(held_out[:1000]).mean())
        yield f"{size.components} {size.rank} {found.log_likelihoods[-1]:.1f} {score:.1f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit and write, or search."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=SOURCES)
    parser.add_argument("folder", type=Path)
    parser.add_argument("directory", type=Path, nargs="?")
    parser.add_argument("--search", action="store_true")
    given = parser.parse_args(arguments)
    data = SOURCES[given.name](given.folder)
    if given.search:
        for line in search(data):
            print(line, flush=True)  # noqa: T201 - a script
        return
    shape, images = data.training.shape[1:], np.concatenate(data)
    if len(images) < 2 * SIZE.components:
        raise UsageError(
            f"{len(images)} images in {str(given.folder)!r} are too few for {SIZE.components} "
            f"components; at least {2 * SIZE.components} are needed"
        )
    found = fit(dequantised(images), *SIZE)
    written = factors_content(found.mixture, shape)
    path = cached_path(given.name)
    if given.directory:
        path = given.directory / path.name
    write_atomically(path, written)
    print(path, len(written), hashlib.sha256(written).hexdigest())  # noqa: T201 - a script


if __name__ == "__main__":
    try:
        main()
    except UsageError as error:
        sys.exit(f"fit_large_priors: {error}")
