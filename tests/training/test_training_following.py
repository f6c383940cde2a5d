"""Looking at a fit while it goes on: when, with which weights, and that it changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from cwbench.training.following import Following, averaged
from cwbench.training.loop import Trainer


def following(times: int, score=lambda: 1.0) -> Following:
    return Following({"metric": "m"}, score, times)


def asked_at(one: Following, progress) -> list[float]:
    asked = []
    for share in progress:
        if one.due(share):
            one.take(len(asked), share)
            asked.append(share)
    return asked


def test_moments_are_even_shares_of_the_budget_and_the_last_is_its_end() -> None:
    shares = [step / 30 for step in range(1, 31)]
    assert asked_at(following(3), shares) == pytest.approx([1 / 3, 2 / 3, 1])
    assert asked_at(following(0), shares) == []
    assert asked_at(following(4), [0.2, 0.6, 1.0]) == [0.6, 1.0]  # two moments passed at once: one


def test_a_resumed_fit_asks_what_the_other_had_not_asked() -> None:
    first = following(4)
    asked_at(first, [0.25, 0.5])
    second = following(4)
    second.resume(first.state_dict(), 0.6)
    assert asked_at(second, [0.7, 0.75, 1.0]) == [0.75, 1.0]
    assert len(second.values) == 4
    other = Following({"metric": "another"}, lambda: 1.0, 4)
    other.resume(first.state_dict(), 0.6)
    assert other.values == []


def test_what_cannot_be_scored_is_told_and_asked_no_more() -> None:
    told = []

    def score() -> float:
        raise RuntimeError("out of paint")

    one = Following({"metric": "m"}, score, 3, told.append)
    assert asked_at(one, [0.5, 0.8, 1.0]) == [0.5]
    assert told == ["not followed any more: RuntimeError: out of paint"]
    assert one.facts() == {"metric": "m", "steps": [], "values": []}


def steps_of(make_context, average: float, one: Following | None, directory: Path | None = None):
    """A fit of a linear map; the network, its trainer, and what each look saw."""
    context = make_context(directory=directory, steps=12)
    context.following = one
    network = context.network(1, 1)
    trainer = Trainer(network, context, learning_rate=0.1, average=average)
    context.save({"trainer": trainer})
    return context, network, trainer


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_the_fit_is_the_same_and_the_weights_seen_are_the_averaged_ones(
    make_context, average
) -> None:
    results = []
    for times in (0, 3):
        seen = []
        network: nn.Module

        def score(seen=seen) -> float:
            seen.append(torch.cat([p.detach().flatten() for p in network.parameters()]))  # noqa: B023 - of this round
            torch.randn(3)  # whatever it draws
            network(torch.ones(5, 1))  # noqa: B023
            return 0.0

        one = Following({"metric": "m"}, score, times)
        context, network, trainer = steps_of(make_context, average, one)
        expected = []
        for x, y in context.batches():
            trainer.step((network(x) - y).square().mean())
            expected.append([p.detach().clone() for p in trainer.averaged or trainer.parameters])
        results.append((context.meter.passes, trainer.state_dict()["network"]))
        assert one.steps == ([4, 8, 12] if times else [])
        for step, weights in zip(one.steps, seen, strict=True):
            wanted = torch.cat([p.flatten() for p in expected[step - 1]])
            assert torch.equal(weights, wanted)
    assert results[0][0] == results[1][0]
    for name, value in results[0][1].items():
        assert torch.equal(value, results[1][1][name])


def test_averaging_gives_back_the_very_weights_even_after_an_error(make_context) -> None:
    context, network, trainer = steps_of(make_context, 0.9, None)
    for x, y in context.batches():
        trainer.step((network(x) - y).square().mean())
    before = [p.detach().clone() for p in trainer.parameters]
    with pytest.raises(RuntimeError), averaged([trainer, object()]):
        for parameter, average in zip(trainer.parameters, trainer.averaged, strict=True):
            assert torch.equal(parameter, average)
        raise RuntimeError
    assert all(torch.equal(a, b) for a, b in zip(before, trainer.parameters, strict=True))
