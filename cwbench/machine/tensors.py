"""Tensors in a file that carries a seal, in its header; and those that can be computed again."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from cwbench.machine.files import contents, write_atomically
from cwbench.machine.seals import BLANK, is_sealed, sealed

START = b'"sha256":"'


def content_of(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> bytes:
    """A safetensors file with a seal among its metadata.

    Args:
        tensors: contiguous, none sharing memory with another.
        metadata: what else its header says.
    """
    said = {**(metadata or {}), "sha256": BLANK.decode()}
    return sealed(save(dict(tensors), said), START)


def is_whole(content: bytes) -> bool:
    """Whether a safetensors file is as it was sealed."""
    return is_sealed(content, START, end=8 + int.from_bytes(content[:8], "little"))


def keep(path: Path | None, tensors: Mapping[str, Tensor]) -> None:
    """Keep what can be computed again, as far as that is possible."""
    if path:
        content = content_of({name: each.contiguous() for name, each in tensors.items()})
        with suppress(OSError):  # a cache that cannot be written costs the caching alone
            write_atomically(path, content)


def kept(path: Path | None) -> dict[str, Tensor] | None:
    """What was kept, or None where there is nothing that is whole."""
    try:
        content = contents(path) if path else b""
        return load(content) if is_whole(content) else None
    except (OSError, SafetensorError):
        return None
