"""One fit handed in under several seeds: what two models make of the same noise.

Weights that were moved a little, or hidden units in another order, make other files, and with the
stream of another seed other draws. From one stream they draw the same but for rounding, where the
fits of two seeds (other data, other first weights, other batches) differ.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from cwbench.judging.by_observation import ObservationJudge
from cwbench.preset import NFE
from cwbench.records.record import Record
from cwbench.running.request import Request
from cwbench.verifying.found import Problem
from cwbench.verifying.model import StoredModel
from cwbench.verifying.neighbours import EXPLAINED, trained_in_steps

ONE_FIT = 3e-4
"""How far from each other the draws of two fits are at least, in deviations: the closest that were
trained in steps are .02 apart (`python -m benchmarks.seeds`), hidden units in another order differ
by rounding."""
OBSERVATIONS, DRAWS, COORDINATES = 8, 40, 64
"""What is compared at most."""


class Fits:
    """What the models seen so far draw from the same noise, by the key of the fit."""

    def __init__(self) -> None:
        self.drawn: dict[tuple[str, NFE | None], list[tuple[Tensor, Record]]] = {}

    def against(
        self, record: Record, request: Request, nfe: NFE | None, model: StoredModel
    ) -> Iterator[Problem]:
        """Whether another seed has this fit; one that none has is remembered.

        What is fitted in closed form, or not at all, may be the same for all seeds.
        """
        if not trained_in_steps(record) or record.method["role"] != "method":
            return
        drawn = common_draws(request, nfe, model)
        known = self.drawn.setdefault((record.fit_key, nfe), [])
        for other, its_record in known:
            apart = distance(drawn, other)
            if apart < ONE_FIT:
                yield Problem(
                    f"its model draws from the same noise what that in {its_record.directory} "
                    f"does, but for {apart:.1g} deviations, {EXPLAINED['seed']}"
                )
                return
        known.append((drawn, record))


def common_draws(request: Request, nfe: NFE | None, model: StoredModel) -> Tensor:
    """Draws from noise that is the same for all seeds, `(observations, draws, coordinates)`."""
    judge = ObservationJudge(request.task, request.preset)
    x = model.from_common_noise(judge.observations.y[:OBSERVATIONS], DRAWS, nfe).flatten(2)
    some = torch.linspace(0, x.shape[2] - 1, min(x.shape[2], COORDINATES)).long()
    return x[..., some].double()


def distance(a: Tensor, b: Tensor) -> float:
    """The median over draws of the largest difference of a coordinate, in deviations of its draws.

    Args:
        a: with shape `(m, n, d)`.
        b: likewise; infinity where nothing of a varies, or the shapes differ.
    """
    deviation = a.std(1, keepdim=True).expand_as(a)
    if a.shape != b.shape or not (deviation > 0).any():
        return float("inf")
    off = torch.where(deviation > 0, (a - b).abs() / deviation, 0.0)
    return float(off.amax(2).quantile(0.5))
