"""Order, grouping, budget, resuming: what a method is handed and when it ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from itertools import chain
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cwbench.training.context import Interrupted
from cwbench.training.loop import Trainer

GROUPS = [1, 2, 5, 12, 50]


def rows_of(context, prepare=None, group=1) -> list[list[float]]:
    """The row numbers of each batch; x and y must belong to the same row."""
    batches = []
    for x, y, *_ in context.batches(prepare, group=group):
        assert torch.equal(x, -y)
        batches.append(x[:, 0].tolist())
    return batches


def batch_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("cwbench-batches")]


@pytest.mark.parametrize("group", GROUPS)
def test_every_method_and_group_size_sees_the_same_order(make_context, group) -> None:
    expected = rows_of(make_context())

    def shuffled(step: int, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        return x, y, torch.arange(len(x))

    assert rows_of(make_context(), group=group) == expected
    assert rows_of(make_context(), shuffled, group) == expected
    assert len(expected) == 12
    assert {len(batch) for batch in expected} == {10}


def test_the_order_depends_on_the_key_alone(make_context) -> None:
    torch.manual_seed(0)
    first = rows_of(make_context())
    torch.manual_seed(1)
    assert rows_of(make_context()) == first
    assert rows_of(make_context(key=("test", 1))) != first


def test_every_epoch_uses_every_row_once(make_context) -> None:
    rows = [row for batch in rows_of(make_context(rows=35, steps=14)) for row in batch]
    epochs = [rows[start : start + 35] for start in range(0, 140, 35)]
    assert all(sorted(epoch) == list(range(35)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_a_batch_larger_than_the_data_repeats_rows_evenly(make_context) -> None:
    (batch,) = rows_of(make_context(rows=4, steps=1))
    assert sorted(batch.count(row) for row in range(4)) == [2, 2, 3, 3]


@pytest.mark.parametrize("group", GROUPS)
def test_prepare_sees_consecutive_batches_joined(make_context, group) -> None:
    expected = rows_of(make_context())
    seen = []

    def prepare(step: int, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        seen.append((step, x[:, 0].tolist()))
        return x, y

    rows_of(make_context(), prepare, group)
    assert [step for step, _ in seen] == list(range(0, 12, group))
    for step, joined in seen:  # the last group may be shorter
        assert joined == list(chain(*expected[step : step + group]))


def test_what_prepare_returns_is_split_row_by_row(make_context) -> None:
    def prepare(step: int, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        turned = torch.arange(len(x)).flip(0)
        return x[turned], y[turned], 10 * x[turned], torch.full((len(x),), step)

    for number, (x, y, tenfold, step) in enumerate(make_context().batches(prepare, group=4)):
        assert torch.equal(x, -y)
        assert torch.equal(tenfold, 10 * x)
        assert step.unique().tolist() == [number - number % 4]


def test_prepare_runs_ahead_on_another_thread(make_context) -> None:
    names, ahead = set(), []

    def prepare(step: int, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        names.add(threading.current_thread().name)
        ahead.append(step)
        return x, y

    context = make_context(steps=30)
    batches = context.batches(prepare)
    next(batches)
    deadline = time.monotonic() + 10
    while len(ahead) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert 4 <= len(ahead) <= 6  # some, but not all of them
    assert threading.current_thread().name not in names
    batches.close()


@pytest.mark.parametrize("group", [1, 4])
def test_an_exception_in_prepare_is_raised_where_batches_are_asked_for(make_context, group) -> None:
    def prepare(step: int, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        if step == 8:
            raise ZeroDivisionError("in the coupling")
        return x, y

    context, taken = make_context(), 0
    with pytest.raises(ZeroDivisionError, match="in the coupling"):
        for _ in context.batches(prepare, group=group):
            taken += 1
    assert taken == 8


def test_the_thread_ends_with_the_batches(make_context) -> None:
    rows_of(make_context())
    assert batch_threads() == []
    batches = make_context().batches()
    next(batches)
    assert batch_threads() != []
    batches.close()
    assert batch_threads() == []


def test_the_thread_ends_with_the_batches_whoever_still_holds_them(
    make_context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python 3.12 keeps what a closed generator iterated over until that itself is freed."""
    context, held = make_context(), []
    ahead = context._ahead

    def holding(*arguments: Any) -> Iterator[tuple[Tensor, ...]]:
        held.append(ahead(*arguments))
        return held[0]

    monkeypatch.setattr(context, "_ahead", holding)
    batches = context.batches()
    next(batches)
    batches.close()
    assert batch_threads() == []


def test_the_thread_ends_when_the_run_is_stopped(make_context) -> None:
    context = make_context()
    context.stop.set()
    with pytest.raises(Interrupted) as stopped:
        rows_of(context)
    assert batch_threads() == []
    assert "step 1" in str(stopped.value)


def flow(context, network: nn.Module) -> None:
    """One forward and backward a step."""
    trainer = Trainer(network, context, learning_rate=1e-2, average=0.9)
    context.save({"trainer": trainer})
    for x, y in context.batches():
        trainer.step(nn.functional.mse_loss(network(x / 35), y / 35))
    trainer.finish()


def test_a_flow_does_exactly_its_steps(make_context) -> None:
    context = make_context(steps=17)
    flow(context, context.network(1, 1))
    costs = context.costs()
    assert (costs["steps"], costs["examples"]) == (17, 170)
    assert costs["network_passes"] == context.budget == 3 * 170
    assert context.progress == 1.0


def test_a_costlier_method_ends_when_its_passes_are_spent(make_context) -> None:
    context = make_context(steps=12)
    network = context.network(1, 1)
    for x, _ in context.batches():  # 1 + 2 + 1 + 2 passes an example, twice a flow's
        (network(x) + network(x)).sum().backward()
    assert context.step == 6


def test_skipped_steps_count_as_steps(make_context) -> None:
    context = make_context(steps=5)
    assert len(rows_of(context)) == 5
    assert context.meter.passes == 0


@pytest.mark.parametrize("group", [1, 3, 5])
@pytest.mark.parametrize("stopped_after", [1, 4, 5, 11])
def test_resuming_goes_on_with_the_batches_that_were_left(
    make_context, tmp_path, group, stopped_after
) -> None:
    expected = rows_of(make_context())
    first = make_context(directory=tmp_path)
    first.save({"nothing": nn.Identity()})
    done = []
    with pytest.raises(Interrupted):
        for x, _ in first.batches(lambda step, x, y: (x, y), group=group):
            done.append(x[:, 0].tolist())
            if len(done) == stopped_after:
                first.stop.set()
    second = make_context(directory=tmp_path)
    second.save({"nothing": nn.Identity()})
    assert second.step == stopped_after
    assert done + rows_of(second, lambda step, x, y: (x, y), group) == expected


@pytest.mark.parametrize("stopped_after", [1, 7, 16])
def test_a_resumed_fit_ends_bit_equal(make_context, tmp_path, stopped_after) -> None:
    whole = make_context(steps=17)
    expected = whole.network(1, 1)
    flow(whole, expected)

    first = make_context(steps=17, directory=tmp_path)
    first.show.update = lambda *_: first.step == stopped_after and first.stop.set()
    with pytest.raises(Interrupted):
        flow(first, first.network(1, 1))
    second = make_context(steps=17, directory=tmp_path)
    resumed = second.network(1, 1)
    flow(second, resumed)
    assert second.meter.passes == whole.meter.passes
    assert second.step == whole.step
    for a, b in zip(resumed.parameters(), expected.parameters(), strict=True):
        assert torch.equal(a, b)


def test_checkpoints_are_written_by_the_clock(make_context, tmp_path) -> None:
    context = make_context(directory=tmp_path, checkpoint_seconds=0.0, steps=6)
    flow(context, context.network(1, 1))
    assert sorted(path.name[:14] for path in tmp_path.iterdir()) == [
        "step-000000004", "step-000000005",
    ]  # fmt: skip


def test_the_rate_falls_linearly_over_the_last_seventy_percent(make_context) -> None:
    context = make_context(steps=10)
    rates = []
    for step in range(10):
        context.step = step
        rates.append(context.learning_rate(1.0))
    assert rates[:4] == [1.0] * 4
    assert rates[4:] == pytest.approx([6 / 7, 5 / 7, 4 / 7, 3 / 7, 2 / 7, 1 / 7])


def test_the_presets_rate_and_its_decay_win(make_context) -> None:
    context = make_context(steps=10, learning_rate=1e-4, decay=False)
    context.step = 9
    assert context.learning_rate(1.0) == 1e-4


def test_networks_are_initialised_by_name_and_seed(make_context) -> None:
    def weights(name: str, **options) -> Tensor:
        torch.manual_seed(len(name))
        return make_context(**options).network(3, 2, name)[0].weight

    assert torch.equal(weights("critic"), weights("critic"))
    assert not torch.equal(weights("critic"), weights("generator"))
    assert not torch.equal(weights("critic"), weights("critic", key=("test", 1)))


def test_clocks_add_up(make_context) -> None:
    context = make_context()
    for _ in range(2):
        with context.clock("calibration"):
            time.sleep(0.01)
    assert 0.02 <= context.costs()["calibration_seconds"] < 1


class Clock:
    """Stands still but where it is moved on."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        patch.setattr("cwbench.training.context.time", self)

    def perf_counter(self) -> float:
        return self.now

    monotonic = perf_counter

    def takes(self, seconds: float, *results: Any) -> Any:
        self.now += seconds
        return results


def keeping(shelf: dict[str, Any]) -> Any:
    """What `cwbench.running.shared` does, in memory."""

    def keep(name: str, fit: Any) -> Any:
        if name in shelf:
            return shelf[name]
        made, seconds = fit()
        shelf[name] = made, seconds
        return made, 0.0

    return keep


def test_the_seconds_of_what_is_shared_are_the_same_whoever_fitted_it(
    make_context, monkeypatch
) -> None:
    """Two methods that take no batches of their own, as `npe` and `npe-importance`."""
    clock, shelf = Clock(monkeypatch), {}
    for own in (2.0, 3.0):
        context = make_context(shelf=keeping(shelf))
        with context.whole():
            context.shared("part", lambda: clock.takes(40.0, {}))
            clock.takes(own)
        seconds = context.seconds
        assert (seconds["fit"] + seconds["shared"], seconds["shared"]) == (
            (42.0, 0.0) if own == 2 else (43.0, 40.0)
        )


def test_a_part_does_not_count_the_batches_before_it(make_context, monkeypatch) -> None:
    """Nor does a fit with batches count what it does beside them, as ever."""
    clock, shelf = Clock(monkeypatch), {}
    for _ in range(2):
        context = make_context(shelf=keeping(shelf), steps=12)
        with context.whole():
            clock.takes(5.0)
            for _ in context.batches():
                clock.takes(1.0)
            context.shared("part", lambda: clock.takes(40.0, {}))
        assert shelf["part"][1] == 40.0
    assert (context.seconds["fit"], context.seconds["shared"]) == (12.0, 40.0)


def test_a_checkpoint_counts_once_it_is_taken_up(make_context, monkeypatch, tmp_path) -> None:
    """Not where another run has finished meanwhile what it is of."""
    clock, shelf = Clock(monkeypatch), {}

    def fitted(context) -> dict[str, Any]:
        network = nn.Linear(1, 1)
        nn.init.zeros_(network.weight)
        context.save({"network": network})
        for x, _ in context.batches():
            clock.takes(1.0)
            network.weight.data += x.mean() * context.step
        return dict(network.state_dict())

    def fit(stop: int, **given: Any) -> Any:
        context = make_context(steps=17, shelf=keeping(shelf), **given)

        context.show.update = lambda *_: context.step == stop and context.stop.set()
        with context.whole():
            state = context.shared("flow", lambda: fitted(context))
        return context, state

    with pytest.raises(Interrupted):
        fit(10, directory=tmp_path)
    _, whole = fit(-1)
    late, found = fit(-1, directory=tmp_path)
    assert (late.step, dict(late.seconds)) == (0, {"fit": 0, "shared": 17})
    shelf.clear()
    resumed, again = fit(-1, directory=tmp_path)
    assert (resumed.step, resumed.seconds["fit"], resumed.seconds["shared"]) == (17, 17, 0)
    assert whole["weight"] == found["weight"] == again["weight"]


def test_the_rate_rises_from_0_over_the_warm_up(make_context) -> None:
    context = make_context(steps=10, decay=False, warmup=4)
    rates = [context.learning_rate(1.0) for _ in context.batches()]
    assert rates == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1, 1, 1, 1, 1])


def test_a_prepare_that_fills_one_output_again_spoils_no_batch(make_context) -> None:
    outputs: dict[torch.Size, Tensor] = {}

    def reusing(step: int, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        return outputs.setdefault(x.shape, torch.empty_like(x)).copy_(x), y

    assert rows_of(make_context(), reusing) == rows_of(make_context())
