"""Entries of records: mappings, with defaults for what does not apply to a metric."""

from __future__ import annotations

import dataclasses
import re

import pytest

from cwbench.records.entry import NAMES, Entry, read

LEAST = {
    "value": 1.5, "low": 1.0, "high": 2.0, "floor": None, "version": 4, "direction": "higher",
    "debiased": False, "ranks": False, "n_observations": 3, "n_samples": 5,
}  # fmt: skip


def test_what_does_not_apply_takes_the_defaults() -> None:
    entry = read(LEAST)
    assert {name: entry[name] for name in LEAST} == LEAST
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
        ({k: v for k, v in LEAST.items() if k != "floor"}, "lacks floor"),
        (LEAST | {"p90": "1"}, "p90 is no number"),
        (LEAST | {"value": True}, "value is no number"),
    ],
)
def test_what_is_no_entry_says_why(content, reason) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        read(content)
