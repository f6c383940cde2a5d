"""A sampler from outside, as a method that is never fitted and is known by what it draws.

Its name does not say which one it is, nor does its source: a closure holds weights that stand in no
file. So the key of its records holds a hash of its samples for the observations, drawn with the
generator of seed 0 whatever the seed, so that the seeds of one sampler stay one row of a board.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor
from torch.utils.data import Dataset

from cwbench.judging.by_observation import ObservationJudge
from cwbench.machine.guests import visiting
from cwbench.method import FitContext, Method, MethodInfo, State
from cwbench.preset import NFE
from cwbench.registry import Loaded
from cwbench.running.fitting import Bound, bind
from cwbench.running.measuring import counted_draw
from cwbench.running.request import Drawn, Request


class External(Method):
    """A method around a callable."""

    draw: ClassVar[Callable[..., Any]]

    def fit(self, data: Dataset[tuple[Tensor, Tensor]], context: FitContext) -> None:
        """Nothing is fitted."""

    def sample(self, y: Tensor, n: int, generator: Generator, nfe: NFE | None = None) -> Tensor:
        """What the callable returns; the harness checks it."""
        extra = {"nfe": nfe} if self.info.nfe else {}
        samples: Tensor = self.draw(y, n, generator, **extra)
        return samples

    def state_dict(self) -> State:
        """Nothing is kept."""
        return {}

    def load_state_dict(self, state: State) -> None:
        """Nothing was kept."""


def external(name: str, *, with_nfe: bool) -> type[External]:
    """A class of its own for each sampler; what draws is put in as `draw`."""
    info = MethodInfo(name=name, version=1, title=name, citation="", nfe=with_nfe)
    return type("External", (External,), {"info": info})


@visiting()
def identified(request: Request) -> Request:
    """The request of a sampler from outside, keyed by the samples that it draws.

    With seed 0 those are the samples that are judged, and they are not drawn twice.
    """
    known = _drawn(replace(request, seed=0))
    origin = Loaded(request.method, "external", "", _digest(request, known))
    drawn = {nfe: each for nfe, each in known.items() if each is not None}
    return replace(request, method_origin=origin, drawn=drawn if request.seed == 0 else {})


def _drawn(request: Request) -> dict[NFE | None, Drawn | None]:
    """The samples at each NFE with what they cost; None where that fails, as the run will tell."""
    judge = ObservationJudge(request.task, request.preset)
    bound = bind(request, torch.device("cpu"))
    if not isinstance(bound, Bound):
        return {}
    judge.settle()
    return {nfe: _attempted(bound, judge.observations.y, nfe) for nfe in request.nfe}


def _attempted(bound: Bound, y: Tensor, nfe: NFE | None) -> Drawn | None:
    try:
        return counted_draw(bound, y, 2 * bound.request.preset.samples, nfe)
    except (Exception, SystemExit):  # noqa: BLE001 - the run fails likewise, and is recorded
        return None


def _digest(request: Request, known: dict[NFE | None, Drawn | None]) -> str:
    """SHA-256 of the samples by NFE; what fails is like anything else that fails there."""
    digest = hashlib.sha256()
    for nfe in request.nfe:
        drawn = known.get(nfe)
        samples = drawn[0].samples if drawn else None
        digest.update(f"{nfe} {'failed' if samples is None else tuple(samples.shape)}\n".encode())
        if samples is not None:
            digest.update(samples.contiguous().numpy().tobytes())
    return digest.hexdigest()
