"""The files beside a record: the fitted model, the samples, the values by observation.

Tensors are kept as safetensors and tables as parquet; nothing is pickled. The record holds the
SHA-256 of each file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from cwbench.errors import AnotherFitError, ContractError, CorruptFileError
from cwbench.machine.files import write_atomically
from cwbench.machine.tensors import content_of, is_whole
from cwbench.method import State
from cwbench.records.record import finite

MODEL, SAMPLES, OBSERVATIONS = "model.safetensors", "samples.safetensors", "observations.parquet"
SAMPLES_LIMIT = 64 * 2**20
"""Bytes of samples kept with a record unless more are asked for."""


def hashes(directory: Path) -> dict[str, str]:
    """SHA-256 by name of the files that are there."""
    paths = (directory / name for name in (MODEL, SAMPLES, OBSERVATIONS))
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in paths if p.is_file()}


def save_model(directory: Path, state: State, fit: str, facts: Mapping[str, Any]) -> None:
    """Keep a method's state, and in the header which fit it is (`fit_id`) and what the fit said.

    Raises:
        ContractError: if the state holds something else than tensors and bytes.
    """
    tensors, raw = {}, []
    for name, value in state.items():
        if isinstance(value, bytes):
            raw.append(name)
            value = torch.from_numpy(np.frombuffer(value, np.uint8).copy())
        if not isinstance(value, Tensor):
            raise ContractError(f"state_dict holds a {type(value).__name__} at {name!r}")
        tensors[name] = _own(value.detach().cpu())
    metadata = {
        "fit": fit,
        "bytes": json.dumps(raw),
        "facts": json.dumps(finite(dict(facts))),
    }
    write_atomically(directory / MODEL, content_of(tensors, metadata))


def load_model(
    directory: Path, fit: str, sha256: str | None = None
) -> tuple[dict[str, Tensor | bytes], dict[str, Any]]:
    """A stored state and what its fit said; `sha256` is what the record says, else its seal counts.

    Raises:
        CorruptFileError: if it is truncated, changed or belongs to another fit.
    """
    path = directory / MODEL
    content = path.read_bytes()
    if not (hashlib.sha256(content).hexdigest() == sha256 if sha256 else is_whole(content)):
        expected = "the file its record names" if sha256 else "as it was sealed"
        raise CorruptFileError(f"{path} is damaged (not {expected}); type --force to fit again")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError) as error:
        raise CorruptFileError(f"{path} is damaged ({error}); type --force to fit again") from None
    if metadata.get("fit") != fit:
        raise AnotherFitError(path, metadata.get("fit"), fit)
    raw = set(json.loads(metadata["bytes"]))
    state: dict[str, Tensor | bytes] = {
        name: value.numpy().tobytes() if name in raw else value for name, value in tensors.items()
    }
    return state, json.loads(metadata["facts"])


def load_samples(directory: Path) -> dict[str, Tensor]:
    """Stored samples by id such as `samples@nfe=10`, each with shape `(m, 2n, *x_shape)`."""
    if not (directory / SAMPLES).is_file():
        return {}
    with safe_open(directory / SAMPLES, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping


def save_samples(directory: Path, samples: Mapping[str, Tensor], *, limited: bool) -> None:
    """Keep samples by id; if `limited`, only where all of them stay within 64 MiB."""
    size = sum(part.numel() * part.element_size() for part in samples.values())
    if size <= SAMPLES_LIMIT or not limited:
        content = content_of({name: _own(part) for name, part in samples.items()})
        write_atomically(directory / SAMPLES, content)


def load_observations(directory: Path) -> list[pd.DataFrame]:
    """The stored values by observation, as a list of no or one table."""
    path = directory / OBSERVATIONS
    return [pd.read_parquet(path)] if path.is_file() else []


def save_observations(directory: Path, tables: list[pd.DataFrame]) -> None:
    """Keep values by observation; of two for the same metric and NFE the later."""
    if tables:
        table = pd.concat(tables, ignore_index=True)
        table = table.drop_duplicates(["observation", "metric", "nfe"], keep="last")
        write_atomically(directory / OBSERVATIONS, table.to_parquet(index=False))


def _own(tensor: Tensor) -> Tensor:
    """A contiguous copy: safetensors refuses tensors that share memory."""
    return tensor.clone(memory_format=torch.contiguous_format)
