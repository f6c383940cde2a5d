"""The model that is stored beside a record, as it draws again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from cwbench.machine.torch_state import plain_torch
from cwbench.preset import NFE
from cwbench.records.record import Record
from cwbench.running.measuring import counted_draw, draw
from cwbench.running.request import Request
from cwbench.running.run import Runner
from cwbench.verifying import stored


class StoredModel:
    """A method with the weights that are beside its record.

    Args:
        record: with a model beside it.
        request: made from it.

    Raises:
        CwbenchError: if the model is not stored, or not the one the record names.
    """

    def __init__(self, record: Record, request: Request) -> None:
        place = stored.place(record)
        runner = Runner(request, place, torch.device("cpu"), recorded_in=place)
        self.bound, self.n = runner.restored(record), 2 * request.preset.samples

    @plain_torch()
    def as_judged(self, y: Tensor, nfe: NFE | None) -> tuple[Tensor, dict[str, Any]]:
        """Its draws with the stream of its seed, `(m, 2n, *x_shape)`, and what they cost."""
        drawn, cost = counted_draw(self.bound, y, self.n, nfe)
        return drawn.samples, cost

    @plain_torch()
    def afresh(self, y: Tensor, nfe: NFE | None, purpose: str) -> Tensor:
        """As many draws of its seed from another stream, one for each purpose."""
        return draw(self.bound, y, self.n, nfe, purpose)

    @plain_torch()
    def from_common_noise(self, y: Tensor, n: int, nfe: NFE | None) -> Tensor:
        """Draws `(m, n, *x_shape)` from a stream that is the same for all seeds."""
        common = replace(self.bound, request=replace(self.bound.request, seed=0))
        return draw(common, y, n, nfe, "verify seeds")
