"""Image files as people have them: which files of a folder are images, and how one is read.

Names that begin with a dot are passed over, linked folders are followed, and an image is known by
its content where its name says nothing. Turned as its EXIF orientation says, laid on white where it
is transparent, scaled by the range of its type where a pixel has more than 8 bits. What cannot be
read without guessing is refused, and what is left out is said.
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cwbench.errors import UsageError
from cwbench.machine.cpu import cores

if TYPE_CHECKING:
    from PIL.Image import Image

Pixels = NDArray[np.uint8]
Colour = Literal["as-stored", "grey", "rgb"]

SUFFIXES = frozenset(
    {".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
)
GREY = frozenset({"1", "L", "LA"})
SIXTEEN_BITS = frozenset({"I;16", "I;16B", "I;16L", "I;16N"})


class Picture(NamedTuple):
    """An image as uint8 with shape `(channels, height, width)`.

    With how many more its file has, and whether it was enlarged to this size.
    """

    pixels: Pixels
    further: int
    enlarged: bool


def image_files(root: Path) -> list[Path]:
    """The images below a folder, sorted by path; a warning counts the files that are none.

    Raises:
        UsageError: if a subfolder cannot be read.
    """
    found: list[Path] = []
    others: Counter[str] = Counter()
    for path in _files(root):
        suffix = path.suffix.lower()
        if suffix in SUFFIXES or (not suffix and _is_image(path)):
            found.append(path)
        else:
            others[suffix or "no ending"] += 1
    if others:
        kinds = ", ".join(f"{count} of {kind}" for kind, count in sorted(others.items()))
        warnings.warn(
            f"left out below {str(root)!r}, for they are no images: {kinds}",
            stacklevel=2,
        )
    return sorted(found)


def _files(root: Path) -> Iterator[Path]:
    """All files but hidden ones; a folder that is linked twice, or into itself, is read once."""

    def refuse(error: OSError) -> None:
        raise UsageError(f"{error.filename!r} cannot be read ({error.strerror}); take it out")

    seen: set[str] = set()
    for place, folders, names in os.walk(root, onerror=refuse, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(place, name) for name in names if not name.startswith("."))


def _is_image(path: Path) -> bool:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path):
            return path.is_file()
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError):
        return False


def read_all(
    paths: Sequence[Path], *, size: int | None, colour: Colour, smallest: int = 1
) -> list[Pixels]:
    """Read files; warnings count pages or frames left out, and images that had to be enlarged.

    Args:
        paths: the files.
        size: side to which images are cropped about their centre and resized; None takes them as
            they are.
        colour: channels of the result.
        smallest: side in pixels below which an image is not resized.

    Raises:
        UsageError: if a file cannot be read, or holds numbers whose range is not known.
    """
    with ThreadPoolExecutor(cores()) as pool:
        pictures = list(pool.map(lambda path: read(path, size, colour, smallest), paths))
    longer = [picture.further for picture in pictures if picture.further]
    if longer:
        warnings.warn(
            f"left out: further pages or frames, {sum(longer)} in all, in {len(longer)} files",
            stacklevel=2,
        )
    enlarged = sum(picture.enlarged for picture in pictures)
    if enlarged:
        warnings.warn(
            f"{enlarged} of {len(pictures)} images are smaller than {size}x{size} pixels and were "
            "enlarged, which adds no detail; choose a smaller size, or take them out",
            stacklevel=2,
        )
    return [picture.pixels for picture in pictures]


def read(path: Path, size: int | None, colour: Colour, smallest: int = 1) -> Picture:
    """Read the first image of a file; as `read_all`."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as file:
            further = getattr(file, "n_frames", 1) - 1
            image = _upright(file, path)
            grey = colour == "grey" or (colour == "as-stored" and image.mode in GREY)
            image = _opaque(image).convert("L" if grey else "RGB")
    except UsageError:
        raise
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise UsageError(
            f"{str(path)!r} cannot be read as an image ({error}); repair it or take it out"
        ) from None
    enlarged = size is not None and min(image.size) < size
    if size is not None:
        if min(image.size) < smallest:
            raise UsageError(
                f"{str(path)!r} has {image.height}x{image.width} pixels; at least {smallest} a "
                "side are needed before an image is resized; take it out"
            )
        image = ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS)
    pixels: Pixels = np.asarray(image, dtype=np.uint8)
    return Picture(pixels[None] if grey else pixels.transpose(2, 0, 1), further, enlarged)


def _upright(file: Image, path: Path) -> Image:
    """With 8 bits a channel and its EXIF orientation applied.

    Raises:
        UsageError: if a pixel is a number whose range the file does not state.
    """
    from PIL import Image, ImageOps

    if file.mode in SIXTEEN_BITS or (file.mode == "I" and file.format == "PNG"):
        values = np.asarray(file).astype(np.float64)  # 0 to 65535: PNG has no wider grey
        image = Image.fromarray(np.rint(values / 257).astype(np.uint8))
        orientation = file.getexif()
        if orientation:
            image.getexif().update(orientation)
        return ImageOps.exif_transpose(image)
    if file.mode in ("I", "F") or file.mode.startswith("I;"):
        raise UsageError(
            f"{str(path)!r} has pixels of mode {file.mode}, whose range is not known; save it with "
            "8 or 16 bits a channel"
        )
    return ImageOps.exif_transpose(file)


def _opaque(image: Image) -> Image:
    """Laid on white where it is transparent."""
    from PIL import Image

    if not image.has_transparency_data:
        return image
    back = Image.new("RGBA", image.size, (255, 255, 255, 255))
    mixed = Image.alpha_composite(back, image.convert("RGBA"))
    return mixed.convert("L") if image.mode in GREY else mixed.convert("RGB")


def check_equal(images: Iterable[Pixels], paths: Iterable[Path]) -> None:
    """Refuse images of several sizes or numbers of channels, and images that are all the same.

    Raises:
        UsageError: with the counts, and one that is odd.
    """
    images, paths = list(images), list(paths)
    shapes = Counter(image.shape for image in images)
    if len(shapes) == 1:
        if len(images) > 1 and all(np.array_equal(images[0], image) for image in images[1:]):
            raise UsageError(
                f"all {len(images)} images are the same ({str(paths[0])!r}); images that differ "
                "are needed"
            )
        return
    usual = shapes.most_common(1)[0][0]
    odd = next(p for p, image in zip(paths, images, strict=True) if image.shape != usual)
    kinds = Counter("grey" if image.shape[0] == 1 else "colour" for image in images)
    if len(kinds) > 1:
        raise UsageError(
            f"grey images are mixed with colour ({kinds['grey']} grey, {kinds['colour']} colour; "
            f"{str(odd)!r} is an odd one); type --set colour=rgb or --set colour=grey"
        )
    sizes = ", ".join(f"{count} of {h}x{w}" for (_, h, w), count in shapes.most_common(4))
    raise UsageError(
        f"the images have {len(shapes)} sizes ({sizes}; {str(odd)!r} is an odd one); name one side "
        "for all, e.g. --set size=32"
    )
