"""Values by observation, as others may send them: a few bytes may stand for billions."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

MOST_ROWS = 10_000_000
"""Ten thousand observations in a thousand metrics: the largest file that comes with cwbench has
some thousand."""
NAMES = ("metric", "nfe")
LONGEST = 100
"""Characters of a name: ids of metrics have fewer (`cwbench.records.schema`)."""
NUMBERS = ("observation", "value")
VALUES = ("observation", *NAMES, "value")
BESIDE = ("plug_in", "floor")
"""What a run keeps by observation beside its values, where there is some."""


def table_in(content: bytes, columns: Sequence[str] = VALUES) -> pa.Table:
    """The rows of a parquet file, counted before they are read; names as a dictionary.

    Args:
        content: of the file.
        columns: those to read, of which all of `VALUES` are due; others are left out unread.

    Raises:
        ValueError: if it is none, has more rows than any of ours, or other kinds of values.
        KeyError: if it lacks a column.
    """
    file = pq.ParquetFile(pa.BufferReader(content))
    rows, schema = file.metadata.num_rows, file.schema_arrow
    if rows > MOST_ROWS:
        raise ValueError(f"{rows:,} rows, and {MOST_ROWS:,} are the most that is read")
    if rows:  # no rows, no kind of name
        _refuse_other_kinds(schema)
        file = pq.ParquetFile(
            pa.BufferReader(content), metadata=file.metadata, read_dictionary=[*NAMES]
        )
    there = [name for name in columns if name in schema.names]
    table = file.read(there, use_threads=False).unify_dictionaries()
    for name in ("observation", *NAMES):
        if table[name].null_count:
            raise ValueError(f"a row without {name}")
    for name in NAMES if rows else ():
        for chunk in table[name].chunks[:1]:  # all have one dictionary
            longest = pc.max(pc.utf8_length(chunk.dictionary)).as_py() or 0
            if longest > LONGEST:
                raise ValueError(f"a {name} of {longest:,} characters")
    return table


def _refuse_other_kinds(schema: pa.Schema) -> None:
    """Go on if names are texts and numbers are numbers.

    Raises:
        ValueError: if not.
        KeyError: if it lacks a column.
    """
    for name in NAMES:
        if _kind(schema, name) not in (pa.string(), pa.large_string()):
            raise ValueError(f"its {name} is no text")
    for name in NUMBERS:
        kind = _kind(schema, name)
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            raise ValueError(f"its {name} is no number")


def _kind(schema: pa.Schema, name: str) -> pa.DataType:
    """The type of a column; of one that was kept as a dictionary, that of its values."""
    kind = schema.field(name).type
    return kind.value_type if pa.types.is_dictionary(kind) else kind
