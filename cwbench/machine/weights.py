"""Files of network weights: downloaded once, and opened only if they are the ones known.

A file is read, its SHA-256 compared, and only then are the same bytes unpacked: nothing can be
exchanged in between. A download goes to a temporary file beside its place and is renamed when it is
whole and right, so the cache never holds a part of one.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from cwbench.errors import UsageError
from cwbench.machine.files import contents

VARIABLE = "CWBENCH_INCEPTION_WEIGHTS"
PART_BYTES = 2**20
SECONDS = 30.0
"""How long a server may be silent."""


@dataclass(frozen=True)
class WeightFile:
    """A file known by its hash."""

    name: str
    sha256: str
    size: int
    url: str


INCEPTION = WeightFile(
    name="pt_inception-2015-12-05-6726825d.pth",
    sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    size=95_628_359,
    url="https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
    "pt_inception-2015-12-05-6726825d.pth",
)
"""Inception-v3 as FID has used it since 2015, ported to PyTorch."""


def directory() -> Path:
    """Where downloaded weights are kept."""
    return platformdirs.user_cache_path("cwbench") / "weights"


def inception_weights() -> bytes:
    """The checked bytes of the Inception weights: those named, those kept, else downloaded.

    Raises:
        UsageError: if a file is missing or is not the known one, or the download fails.
    """
    named = os.environ.get(VARIABLE)
    if named:
        return checked(Path(named), INCEPTION)
    kept = directory() / INCEPTION.name
    if not kept.is_file():
        download(INCEPTION, kept)
    return checked(kept, INCEPTION)


def use_inception_weights(path: str | os.PathLike[str] | None) -> None:
    """Take the Inception weights from a file from now on, in processes started from here too.

    A file that was named, here or by the environment, is verified whatever needs it.

    Raises:
        UsageError: if it is not the known file.
    """
    if path is not None:
        checked(Path(path), INCEPTION)
        os.environ[VARIABLE] = str(Path(path).resolve())
    elif os.environ.get(VARIABLE):
        checked(Path(os.environ[VARIABLE]), INCEPTION)


def checked(path: Path, known: WeightFile) -> bytes:
    """The bytes of a file, once its SHA-256 is the known one; nothing is unpacked before.

    Raises:
        UsageError: naming the file, what it is and what it should be.
    """
    try:
        content = contents(path)
    except OSError as error:
        raise UsageError(
            f"the weight file {str(path)!r} cannot be read: {error.strerror or error}. Get "
            f"{known.name} from {known.url} and name it by --inception-weights FILE or ${VARIABLE}."
        ) from None
    found = hashlib.sha256(content).hexdigest()
    if found != known.sha256:
        raise UsageError(
            f"{str(path)!r} is not {known.name}: {len(content)} bytes with SHA-256 {found}, "
            f"expected {known.size} bytes with {known.sha256}. It was not opened; get it from "
            f"{known.url}, or take --inception-weights and ${VARIABLE} away to have it downloaded."
        )
    return content


def download(known: WeightFile, place: Path) -> None:
    """Fetch a file to its place; whatever goes wrong, nothing is left there.

    Raises:
        UsageError: if there is no network, or what came is not the known file.
    """
    temporary = place.with_name(f".{place.name}.{secrets.token_hex(8)}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        sha256 = hashlib.sha256()
        with closing(_parts(known.url)) as parts, temporary.open("xb") as file:
            for part in parts:
                sha256.update(part)
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        if sha256.hexdigest() != known.sha256:
            raise UsageError(
                f"what {known.url} sent is not {known.name}: SHA-256 {sha256.hexdigest()}, "
                f"expected {known.sha256}. It was removed unopened."
            )
        temporary.replace(place)
    except (OSError, urllib.error.URLError) as error:
        raise UsageError(
            f"{known.name} cannot be downloaded from {known.url} ({error}); on a machine without "
            f"a network bring the file and name it by --inception-weights FILE or ${VARIABLE}"
        ) from None
    finally:
        temporary.unlink(missing_ok=True)


def _parts(url: str) -> Generator[bytes, None, None]:
    with urllib.request.urlopen(url, timeout=SECONDS) as answer:  # noqa: S310 - https, a constant
        while part := answer.read(PART_BYTES):
            yield part
