"""How far the fits of two seeds are from each other, and a copy from its original.

    python -m benchmarks.seeds RESULTS

RESULTS holds runs with their models, of several seeds. For each fit the two closest of its seeds
are compared as `cwbench verify` compares them (`cwbench.verifying.fits`): the median over draws
from the same noise of the largest difference of a coordinate, in deviations of the draws. Beside
that stand copies of the first seed, every weight moved by that share of itself.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from itertools import combinations
from pathlib import Path

import torch
from torch import Tensor

from cwbench.method import State
from cwbench.records.record import Record
from cwbench.records.runs import iterate
from cwbench.running.score import request_of
from cwbench.verifying import stored
from cwbench.verifying.fits import ONE_FIT, common_draws, distance
from cwbench.verifying.model import StoredModel
from cwbench.verifying.scoring import judged_nfe

SHARES = (1e-6, 1e-5, 1e-4, 1e-3)


def drawn(record: Record, share: float = 0.0) -> Tensor:
    """What the model of a record draws from the common noise, its weights moved by a share."""
    request = request_of(record)
    model = StoredModel(record, request)
    if share:
        model.bound.method.load_state_dict(moved(stored.model(record), share))
    return common_draws(request, judged_nfe(request), model)


def moved(state: State, share: float) -> State:
    """Every weight times 1 + share e, e standard normal."""
    generator = torch.Generator().manual_seed(0)
    return {
        name: part * (1 + share * torch.randn(part.shape, generator=generator).to(part.dtype))
        if isinstance(part, Tensor) and part.is_floating_point()
        else part
        for name, part in state.items()
    }


def main() -> None:
    """Print a line for each fit."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("results", type=Path)
    fits: dict[str, list[Record]] = defaultdict(list)
    for record in iterate(parser.parse_args().results):
        if record.status == "ok" and stored.has_model(record):
            fits[record.fit_key].append(record)
    shown = " ".join(f"{share:>8.0e}" for share in SHARES)
    print(f"{'refused below ' + format(ONE_FIT, '.0e'):<44} {'seeds':>8} {shown}")
    for records in fits.values():
        first = records[0]
        seen = [drawn(record) for record in records]
        closest = min((distance(a, b) for a, b in combinations(seen, 2)), default=float("nan"))
        copies = [distance(seen[0], drawn(first, share)) for share in SHARES]
        numbers = " ".join(f"{number:8.2g}" for number in (closest, *copies))
        print(f"{first.task['name']} {first.label} {first.preset}".ljust(44), numbers, flush=True)


if __name__ == "__main__":
    main()
