"""Diagnosis: what a coupling does to pairs and conditions, and how straight the fitted paths are.

*Transport cost*: E|z - x|^2 of the pairs, beside that as drawn. *Label leak* (source labels): how
far the fed condition is from that of the data, in posterior means: 0 as drawn, 1 for unrelated
conditions; and in posterior covariances, times what y leaves open of the variance of x, which sees
directions of y along which the mean does not move. *Prior skew* (target labels): held-out R^2 of
the fed condition predicted from the latent; 0 is what sampling assumes. Leak and skew are each 0 by
construction with the other labels.
Weighted pairs are resampled by weight first; their *effective batch* is (sum w)^2 / (n sum w^2).

*Path energy* is E int |v|^2 dt, *straightness* E|x_1 - z|^2 over it: 1 is straight. The energy is
at least the expected W_2^2 between latent and model posterior, and equal to it for an optimal flow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Generator, Tensor
from torch.utils.data import Dataset

from cwbench.method import Diagnostics, FitContext, take, tensors_of
from cwbench.ot.checks import is_label
from cwbench.ot.leak import (
    Batch,
    Statistic,
    label_statistic,
    moved_share,
    prior_skew,
    spread_statistic,
)
from cwbench.ot.regression import Regression
from cwbench_baselines.flows.pairing import Matched, Pairing

DIAGNOSED_PAIRS = 4_000
"""Pairs on which a coupling is diagnosed, in batches of the size it is trained with."""

PATHS, PATH_STEPS = 256, 32
"""Latents from which the fitted flow's paths are diagnosed, and the Euler steps of each."""
HELD_NUMBERS = 2**25
"""Of paths that are held at a time."""

Latents = Callable[[int, Generator], Tensor]
"""Draws latents, `(n, generator) -> (n, *x_shape)`."""


def pair_facts(
    pairing: Pairing,
    latents: Latents,
    data: Dataset[tuple[Tensor, Tensor]],
    context: FitContext,
    size: int,
) -> Diagnostics:
    """What a coupling does to fresh batches of `size` training pairs, each solved once."""
    batches = list(_batches(latents, data, context, size))
    matched = [pairing.match(*batch) for batch in batches]
    pairs = [_unweighted(one, context, index) for index, one in enumerate(matched)]
    facts: Diagnostics = {
        "labels": pairing.labels,
        "changed_pairs": sum(one.changed for one in pairs) / len(pairs),
        "transport_cost": _transport_cost(pairs),
        "transport_cost_drawn": _transport_cost(batches),
    }
    if pairing.labels == "source":
        facts |= _leaks(pairs, data, context) | {"prior_skew": 0.0}
    else:
        facts |= {"pairing_leak": 0.0} | _skew(pairing, pairs, context)
    return facts | _effective_batch(matched) | pairing.facts


def _batches(
    latents: Latents, data: Dataset[tuple[Tensor, Tensor]], context: FitContext, size: int
) -> Iterator[Batch]:
    """Fresh batches of training pairs as drawn."""
    for index in range(max(8, DIAGNOSED_PAIRS // size)):
        generator = context.generator("diagnosis", index)
        chosen = torch.randint(len(data), (size,), generator=generator)  # type: ignore[arg-type]
        x, y = take(data, chosen)
        yield Batch(latents(size, generator), x, y)


def _unweighted(pairs: Matched, context: FitContext, index: int) -> Matched:
    """Pairs that count alike: those of a weighted coupling are resampled by weight."""
    if pairs.weight is None:
        return pairs
    generator = context.generator("resampling", index)
    rows = torch.multinomial(pairs.weight, len(pairs.x), True, generator=generator)
    z, x, y = pairs.z[rows], pairs.x[rows], pairs.y_source[rows]
    return Matched(z, x, y, pairs.y_target[rows], pairs.changed)


def _transport_cost(pairs: Sequence[Matched] | Sequence[Batch]) -> float:
    """E|z - x|^2."""
    costs = [(one.z - one.x).double().flatten(1).square().sum(1).mean() for one in pairs]
    return float(torch.stack(costs).mean())


def _leaks(
    pairs: list[Matched], data: Dataset[tuple[Tensor, Tensor]], context: FitContext
) -> Diagnostics:
    """The label leaks, 0 without a regression where every pair is as drawn.

    That of the covariance is None where it does not depend on y, or the mean is blind to all of y,
    so that the leak is that of y.
    """
    if not any(one.changed for one in pairs):
        return {"pairing_leak": 0.0, "pairing_covariance_leak": 0.0}
    known, generator = tensors_of(data), context.generator("leak")
    mean = label_statistic(*known, generator=generator)

    def leak(statistic: Statistic) -> float:
        if not statistic.explained:
            return 0.0  # an observation that never changes cannot leak
        return moved_share((_ends(one, statistic) for one in pairs), statistic.explained)

    facts: Diagnostics = {"pairing_leak": leak(mean), "pairing_covariance_leak": None}
    if isinstance(mean, Regression) and not is_label(known.y):
        spread = spread_statistic(mean, *known, generator=generator)
        if spread is not None:
            facts["pairing_covariance_leak"] = spread.share * leak(spread.statistic)
    return facts


def _ends(pairs: Matched, statistic: Statistic) -> tuple[Tensor, Tensor]:
    """The statistic of the conditions of latents and data, each `(n, k)`."""
    with torch.no_grad():
        source = statistic(pairs.y_source)
        target = source[pairs.sigma] if pairs.sigma is not None else statistic(pairs.y_target)
    return source, target


def _skew(pairing: Pairing, pairs: list[Matched], context: FitContext) -> Diagnostics:
    """How well the fed condition is predicted from the latent."""
    latents = torch.cat([one.z for one in pairs])
    fed = torch.cat([pairing.fed(one) for one in pairs])
    skew = prior_skew(latents, fed, generator=context.generator("skew"))
    facts: Diagnostics = {"prior_skew": skew.r2}
    if skew.accuracy is not None:
        facts |= {"skew_class_accuracy": skew.accuracy, "skew_chance": skew.chance}
    return facts


def _effective_batch(matched: list[Matched]) -> Diagnostics:
    """The share of a batch that counts, where pairs are weighted."""
    shares = [1 / float(one.weight.square().mean()) for one in matched if one.weight is not None]
    return {"effective_batch": sum(shares) / len(shares)} if shares else {}


def path_facts(
    solved: Callable[[Tensor, Tensor, int], Tensor],
    latents: Latents,
    data: Dataset[tuple[Tensor, Tensor]],
    context: FitContext,
) -> Diagnostics:
    """Energy and straightness of a fitted flow's paths; both None where the energy is not finite.

    Args:
        solved: `(z, y, steps)` to the points of Euler's steps, `(steps + 1, n, *x_shape)`.
        latents: draws latents.
        data: the training pairs, whose conditions are taken.
        context: what gives the random stream.
    """
    generator = context.generator("paths")
    chosen = torch.randint(len(data), (PATHS,), generator=generator)  # type: ignore[arg-type]
    z, y = latents(PATHS, generator), take(data, chosen).y
    size = max(1, HELD_NUMBERS // (PATH_STEPS * z[0].numel()))
    parts = []
    for some in zip(z.split(size), y.split(size), strict=True):
        points = solved(*some, PATH_STEPS).cpu().double()
        steps = (points.diff(dim=0) * PATH_STEPS).flatten(2).square().sum(2)
        parts.append((steps, (points[-1] - points[0]).flatten(1).square().sum(1)))
    energy, displacement = (float(torch.cat(part, -1).mean()) for part in zip(*parts, strict=True))
    if not math.isfinite(energy) or energy == 0:
        return {"path_energy": None, "straightness": None}
    return {"path_energy": energy, "straightness": displacement / energy}
