"""Fixtures of made-up runs."""

from made_runs import five, write

__all__ = ["five", "write"]
