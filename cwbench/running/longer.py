"""A run at four times its steps on the same pairs: had the method converged?

The training pairs are a function of (task, seed) and not of the steps, and noise is one of (seed,
purpose, step), so that the longer run differs in the steps alone. It is measured at the NFE that is
judged and at no other.
"""

from __future__ import annotations

from dataclasses import replace

from cwbench.errors import UsageError
from cwbench.preset import NFE
from cwbench.records.longer import LONGER
from cwbench.running.request import Request

NO_STEPS = f"takes no optimiser steps: {LONGER} times as many change nothing"


def longer(request: Request) -> Request:
    """The longer twin of a request.

    Raises:
        UsageError: if the steps are among its settings.
    """
    if given := {"steps", "preset.steps"} & request.settings.keys():
        raise UsageError(
            f"--longer takes {LONGER} times the preset's steps; leave out --set {min(given)}"
        )
    steps = LONGER * request.preset.steps
    return replace(
        request, preset=request.preset.model_copy(update={"steps": steps}), track="open",
        settings={**request.settings, "preset.steps": steps}, nfe=(_judged(request),),
    )  # fmt: skip


def is_longer(request: Request) -> bool:
    """Whether it is the twin of a run of its preset."""
    base = request.task.info.presets.get(request.preset_name)
    return base is not None and request.preset.steps == LONGER * base.steps


def _judged(request: Request) -> NFE | None:
    """The NFE by which a leaderboard judges the method; None of samplers that have none."""
    main = request.task.info.main_nfe
    if main in request.nfe:
        return main
    return max(request.nfe, key=lambda nfe: (nfe == "adaptive", nfe if type(nfe) is int else 0))
