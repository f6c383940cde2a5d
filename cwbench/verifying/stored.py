"""The files beside a record, as they are checked."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from torch import Tensor

from cwbench.records import beside, storage
from cwbench.records.record import Record


def place(record: Record) -> Path:
    """Its directory."""
    assert record.directory is not None  # noqa: S101 - it was read from there
    return record.directory


def hashes(record: Record) -> dict[str, str]:
    """SHA-256 by name of the files that are there."""
    return beside.hashes(place(record), record.files)


def has_model(record: Record) -> bool:
    """Whether its model is stored."""
    return beside.model_path(place(record), record.files).is_file()


def model(record: Record) -> dict[str, Tensor | bytes]:
    """The state of its model, where one is stored."""
    if not has_model(record):
        return {}
    return storage.load_model(place(record), record.fit_id, record.files.get(beside.MODEL))[0]


def samples(record: Record) -> dict[str, Tensor]:
    """Its samples by id, where they are stored."""
    return storage.load_samples(place(record), record.files)


def observations(record: Record) -> list[pd.DataFrame]:
    """Its table by observation, as a list of no or one."""
    return storage.load_observations(place(record), record.files)
