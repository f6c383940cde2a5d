"""Several processes on one fit: who this one is, and how gradients become one.

    torchrun --nproc-per-node N -m cwbench run ...

The preset's batch is global and split evenly; each process couples its own share and averages its
gradients with the others', so all hold the same network at every step. Process 0 alone writes,
measures and reports; the others fit and end. `accelerate` sets up the processes and their devices.
Started without torchrun there is one process, and accelerate is not even imported.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from cwbench.errors import UsageError, missing_extra

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Processes:
    """This process among `size`, the first of which is `rank` 0."""

    rank: int = 0
    size: int = 1
    device: Any = None

    @property
    def leads(self) -> bool:
        """Whether this process writes."""
        return self.rank == 0

    def share(self, batch: int) -> int:
        """This process's part of a global batch.

        Raises:
            UsageError: if it cannot be split evenly.
        """
        if batch % self.size:
            raise UsageError(
                f"a batch of {batch} cannot be split over {self.size} processes; choose a number "
                f"that divides it, or --set preset.batch_size={batch // self.size * self.size}"
            )
        return batch // self.size

    def mean(self, value: torch.Tensor) -> torch.Tensor:
        """The mean over processes."""
        if self.size == 1:
            return value
        from accelerate.utils import reduce

        reduced: torch.Tensor = reduce(value, reduction="mean")
        return reduced

    def average_gradients(self, parameters: Iterable[torch.Tensor]) -> None:
        """Replace each gradient by its mean over processes."""
        if self.size == 1:
            return
        import torch

        gradients = [p.grad for p in parameters if p.grad is not None]
        together = self.mean(torch.cat([gradient.flatten() for gradient in gradients]))
        sizes = [gradient.numel() for gradient in gradients]
        for gradient, part in zip(gradients, together.split(sizes), strict=True):
            gradient.copy_(part.view_as(gradient))

    def agreed(self, decision: bool) -> bool:
        """What process 0 decided; the others wait for it."""
        if self.size == 1:
            return decision
        from accelerate.utils import broadcast_object_list

        answer = [decision]
        broadcast_object_list(answer)
        return answer[0]

    def leave(self) -> None:
        """End the group of processes."""
        if self.size > 1:
            from accelerate import PartialState

            PartialState().destroy_process_group()


def size() -> int:
    """How many processes torchrun started, 1 without it."""
    text = os.environ.get("WORLD_SIZE", "1")
    return int(text) if text.isdecimal() and "RANK" in os.environ else 1


@lru_cache(maxsize=1)
def joined(device: str) -> Processes:
    """This process, once it has met the others; `device` as typed.

    Raises:
        UsageError: without the extra `multi`, where there are others.
    """
    if size() == 1:
        return Processes()
    try:
        from accelerate import PartialState
    except ImportError as error:
        raise missing_extra("a fit shared by several processes", "accelerate", "multi") from error
    state = PartialState(cpu=device == "cpu")
    return Processes(state.process_index, state.num_processes, state.device)


def refuse_several(command: str) -> None:
    """For what makes processes of its own.

    Raises:
        UsageError: if torchrun started it.
    """
    if size() > 1:
        raise UsageError(
            f"{command} starts its own processes; start it without torchrun. Several processes on "
            "one fit: torchrun --nproc-per-node N -m cwbench run ..."
        )
