"""Attacks in full run only where they are asked for, by `-m attacks`."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "attacks" in (config.option.markexpr or ""):
        return
    chosen = [item for item in items if item.get_closest_marker("attacks") is None]
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen
