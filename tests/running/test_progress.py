"""Progress without a terminal: a line now and then, with the time left at the pace so far."""

from __future__ import annotations

import pytest

from cwbench.running.progress import _Lines


@pytest.mark.parametrize("resumed_at", [0.0, 0.4])
def test_the_time_left_is_that_at_the_pace_since_it_began(
    monkeypatch: pytest.MonkeyPatch, resumed_at: float
) -> None:
    """Also of a fit that is resumed half-way; nothing is said before there is a pace."""
    now, told = [1_000.0], list[str]()
    monkeypatch.setattr("cwbench.running.progress.time.monotonic", lambda: now[0])
    lines = _Lines(told.append, quiet=True)
    lines.update("fit", resumed_at, {"loss": 2.0})
    now[0] += 60  # a fifth of it a minute
    lines.update("fit", resumed_at + 0.2, {"loss": 1.0})
    now[0] += 60
    lines.update("fit", resumed_at + 0.4, {})
    left = [round((1 - resumed_at - share) * 300) for share in (0.2, 0.4)]
    assert told == [
        f"fit {resumed_at:.0%} loss 2",
        f"fit {resumed_at + 0.2:.0%} loss 1 {left[0]} s left",
        f"fit {resumed_at + 0.4:.0%} {left[1]} s left",
    ]
