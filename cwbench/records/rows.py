"""Rows of a parquet file, counted before they are read: a few bytes may stand for billions."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

MOST_ROWS = 10_000_000
"""Ten thousand observations in a thousand metrics: the largest file that comes with cwbench has
some thousand."""


def table_in(content: bytes) -> pq.ParquetFile:
    """A table that is small enough to be read.

    Raises:
        ValueError: if it is none, or has more rows than any of ours.
    """
    file = pq.ParquetFile(pa.BufferReader(content))
    rows = file.metadata.num_rows
    if rows > MOST_ROWS:
        raise ValueError(f"{rows:,} rows, and {MOST_ROWS:,} are the most that is read")
    return file
