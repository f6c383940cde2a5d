"""Entries of records: mappings with defaults where an older record has no number."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from cwbench.records.entry import NAMES, Entry, read
from cwbench.records.record import parse

OLD = {"value": 1.5, "low": 1.0, "high": 2.0, "floor": None, "version": 4}


def test_an_older_entry_takes_the_defaults() -> None:
    entry = read(OLD)
    assert {name: entry[name] for name in OLD} == OLD
    assert (entry["ranks"], entry["debiased"], entry["direction"]) == (True, True, "lower")
    assert (entry["p90"], entry["unit"], entry["source_sha256"]) == (None, "samples", None)
    assert entry == dict(entry) == read(dict(entry))


def test_it_is_a_mapping_of_its_names() -> None:
    entry = Entry(value=0.0, version=1)
    assert list(entry) == list(NAMES)
    assert len(entry) == len(NAMES)
    with pytest.raises(KeyError):
        entry["values"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        entry.value = 1.0


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (0.5, "float is no entry"),
        ({k: v for k, v in OLD.items() if k != "floor"}, "lacks floor"),
        (OLD | {"p90": "1"}, "p90 is no number"),
        (OLD | {"value": True}, "value is no number"),
    ],
)
def test_what_is_no_entry_says_why(content, reason) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        read(content)


def test_a_record_of_the_first_release_has_typed_entries() -> None:
    path = Path(__file__).parents[1] / "data" / "record-schema-1.json"
    record = parse(path.read_text(), "it")
    assert record.metrics
    assert all(isinstance(entry, Entry) for entry in record.metrics.values())
