"""Checkpoints that verify themselves: the file's name carries the SHA-256 of its bytes.

Two generations are kept. Loading takes the newest that verifies, with `weights_only=True`.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from cwbench.errors import AnotherFitError
from cwbench.machine.files import contents, write_atomically

NAME = re.compile(r"step-(\d{9})-([0-9a-f]{16})\.pt")
GENERATIONS = 2


def save(directory: Path, step: int, state: dict[str, Any]) -> None:
    """Write a generation, then drop those beyond the newest two."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getvalue()
    digest = hashlib.sha256(content).hexdigest()[:16]
    write_atomically(directory / f"step-{step:09d}-{digest}.pt", content)
    for old in _generations(directory)[GENERATIONS:]:
        old.unlink(missing_ok=True)


def load(directory: Path, fit: str = "") -> dict[str, Any] | None:
    """The newest generation that verifies, or None.

    Raises:
        AnotherFitError: if it is of another fit than `fit`.
    """
    for path in _generations(directory):
        content = contents(path)
        match = NAME.fullmatch(path.name)
        if match and hashlib.sha256(content).hexdigest()[:16] == match[2]:
            with suppress(pickle.UnpicklingError, RuntimeError, EOFError):  # foreign
                state: dict[str, Any] = torch.load(io.BytesIO(content), weights_only=True)
                if state.get("fit", "") != fit:
                    raise AnotherFitError(path, state.get("fit"), fit)
                return state
    return None


def _generations(directory: Path) -> list[Path]:
    """Newest first."""
    return sorted(
        (p for p in directory.glob("step-*.pt") if NAME.fullmatch(p.name) and p.is_file()),
        reverse=True,
    )
