"""The files beside a record: the fitted model, the samples, the values by observation.

Tensors are kept as safetensors and tables as parquet; nothing is pickled. The record holds the
SHA-256 of each file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load as load_tensors
from torch import Tensor

from cwbench.errors import AnotherFitError, ContractError, CorruptFileError
from cwbench.machine.files import contents, sha256_of, write_atomically
from cwbench.machine.tensors import content_of, is_whole
from cwbench.method import State
from cwbench.records.beside import MODEL, OBSERVATIONS, SAMPLES, Named, Staged, model_path, stored
from cwbench.records.record import finite
from cwbench.records.rows import BESIDE, NAMES, VALUES, table_in

SAMPLES_LIMIT = 64 * 2**20
"""Bytes of samples kept with a record unless more are asked for."""


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
    path = model_path(directory, {MODEL: sha256} if sha256 else {})
    if not (sha256_of(path) == sha256 if sha256 else is_whole(contents(path))):
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


def load_samples(directory: Path, named: Named) -> dict[str, Tensor]:
    """The samples that a record names, by id such as `samples@nfe=10`.

    Each has the shape `(m, 2n, *x_shape)`; empty where there are none.

    Raises:
        CorruptFileError: if they are not those that it names, or cannot be read.
    """
    content = stored(directory, SAMPLES, named)
    try:
        return load_tensors(content) if content is not None else {}
    except SafetensorError as error:
        raise CorruptFileError(f"{directory / SAMPLES} cannot be read: {error}") from None


def save_samples(staged: Staged, samples: Mapping[str, Tensor], *, limited: bool) -> None:
    """Keep samples by id; if `limited`, only where all of them stay within 64 MiB."""
    size = sum(part.numel() * part.element_size() for part in samples.values())
    if size <= SAMPLES_LIMIT or not limited:
        staged.put(SAMPLES, content_of({name: _own(part) for name, part in samples.items()}))


def load_observations(directory: Path, named: Named) -> list[pd.DataFrame]:
    """The values by observation that a record names, as a list of no or one table.

    Raises:
        CorruptFileError: if they are not those that it names, or cannot be read.
    """
    content = stored(directory, OBSERVATIONS, named)
    if content is None:
        return []
    try:
        table = table_in(content, (*VALUES, *BESIDE))
        for name in NAMES:
            table = table.set_column(
                table.column_names.index(name), name, table[name].cast("string")
            )
        return [table.replace_schema_metadata(None).to_pandas()]
    except (ValueError, KeyError) as error:
        raise CorruptFileError(f"{directory / OBSERVATIONS} cannot be read: {error}") from None


def save_observations(staged: Staged, tables: list[pd.DataFrame]) -> None:
    """Keep values by observation; of two for the same metric and NFE the later."""
    if tables:
        table = pd.concat(tables, ignore_index=True)
        table = table.drop_duplicates(["observation", "metric", "nfe"], keep="last")
        staged.put(OBSERVATIONS, table.to_parquet(index=False))


def _own(tensor: Tensor) -> Tensor:
    """A contiguous copy: safetensors refuses tensors that share memory."""
    return tensor.clone(memory_format=torch.contiguous_format)
