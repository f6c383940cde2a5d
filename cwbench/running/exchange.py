"""Samples made elsewhere: what another program needs to make them, and how they come back.

`export` writes the training pairs of a seed and the observations to a safetensors file; the other
program answers with 2n posterior samples for each observation, in the same order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib import format as npy
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Generator, Tensor

from cwbench.errors import UsageError
from cwbench.judging.by_observation import ObservationJudge
from cwbench.machine.files import contents, opened, write_atomically
from cwbench.machine.guests import visiting
from cwbench.method import tensors_of
from cwbench.preset import Preset
from cwbench.running.fitting import training_data
from cwbench.task import Task


def export(task: Task, preset: Preset, seed: int, path: Path) -> dict[str, Tensor]:
    """Write `train_x`, `train_y` and the observations `y` of a task; the tensors written.

    The metadata says which task and preset, and how many samples are wanted for each observation.
    """
    with visiting():
        x, y = tensors_of(training_data(task, preset, seed))
        tensors = {"train_x": x, "train_y": y, "y": ObservationJudge(task, preset).observations.y}
        fingerprint = task.fingerprint()
    metadata = {
        "task": task.info.name,
        "task_version": str(task.info.version),
        "fingerprint": fingerprint,
        "seed": str(seed),
        "samples_wanted": str(2 * preset.samples),
    }
    content = {name: tensor.contiguous().clone() for name, tensor in tensors.items()}
    write_atomically(path, save_tensors(content, metadata))
    return tensors


def stored_sampler(
    path: Path, task: Task, preset: Preset
) -> Callable[[Tensor, int, Generator], Tensor]:
    """A sampler that hands out the samples in a file, for the observations as exported.

    Args:
        path: `.npy`, or `.safetensors` with a tensor `samples`, of shape `(m, 2n, *x_shape)`.
        task: whose observations they are for.
        preset: says how many observations and samples.

    Raises:
        UsageError: if the file cannot be read as real floating numbers of that shape; nothing in
            it is executed.
    """
    samples = _read_samples(path)
    if not samples.is_floating_point():
        kind, real = str(samples.dtype).removeprefix("torch."), ".real" * samples.is_complex()
        typed = f'numpy.save(path, x{real}.astype("float32"))'
        if path.suffix != ".npy":
            typed = f'save_file({{"samples": x{real}.float().contiguous()}}, path)'
        raise UsageError(
            f"{path} holds {kind}; real floating numbers are needed. Save float32: {typed}"
        )
    wanted = (preset.observations, 2 * preset.samples, *task.x_shape)
    if tuple(samples.shape) != wanted:
        raise UsageError(
            f"{path} holds shape {tuple(samples.shape)}; (observations, 2n samples, *x_shape) = "
            f"{wanted} is needed. `cwbench export {task.info.name}` writes the observations."
        )
    return lambda y, n, generator: samples


def _array(path: Path) -> NDArray[Any]:
    """The array in a `.npy` file.

    Raises:
        ValueError: if its header promises more than the file has.
    """
    with opened(path) as file:
        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(file)
        promised, there = math.prod(shape) * dtype.itemsize, path.stat().st_size - file.tell()
        if promised != there:
            raise ValueError(f"its header says {shape} of {dtype}, it has {there:,} bytes of data")
        file.seek(0)
        array: NDArray[Any] = np.load(file, allow_pickle=False)
        return array


def _read_samples(path: Path) -> Tensor:
    try:
        if path.suffix == ".npy":
            array = _array(path)
            return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=False))
        return load_tensors(contents(path))["samples"]
    except (OSError, EOFError, ValueError, TypeError, KeyError, SafetensorError) as error:
        raise UsageError(
            f"{path} cannot be read as samples ({type(error).__name__}: {error}); give a .npy file "
            "or a .safetensors file with a tensor named `samples`"
        ) from None
