"""What a record may hold: everything else is refused by name, and shown texts are never obeyed."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from cwbench.errors import CorruptFileError
from cwbench.records.record import parse
from cwbench.records.schema import LONGEST, shown

RECORD = next(Path(__file__).parents[2].glob("results/runs/deblurring/fm/quick/*/seed-0"))
GOOD: dict[str, Any] = json.loads((RECORD / "record.json").read_text())
del GOOD["seal"]  # what is changed would break it
METRIC = next(iter(GOOD["metrics"]))
NFE = METRIC.partition("@nfe=")[2]
GOOD["metrics"] = {METRIC: GOOD["metrics"][METRIC]}  # one of many
GOOD["cost"]["sampling"] = {NFE: GOOD["cost"]["sampling"][NFE]}
HUGE = 10**400


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every field, objects included."""
    if not isinstance(value, dict):
        return [path]
    return [path, *(p for key in value for p in places(value[key], (*path, key)))]


FIELDS = [place for place in places(GOOD) if place]
ODD: dict[str, Any] = {
    "null": None, "text": "x", "formula": "$x^2$", "path": "./t.py:T", "list": [[]], "object": {},
    "number": 1.5, "negative": -1, "huge": HUGE, "surrogate": "\ud800", "escape": "\x1b[2J",
}  # fmt: skip


def changed(place: tuple[str | int, ...], value: Any) -> str:
    content = copy.deepcopy(GOOD)
    *outer, last = place
    part = content
    for key in outer:
        part = part[key]
    part[last] = value
    return json.dumps(content)


def refused(text: str) -> str | None:
    try:
        record = parse(text, "r")
    except CorruptFileError as error:
        return str(error)
    record.to_json().encode()  # what is let through can be written, shown and read again
    parse(record.to_json(), "r")
    return None


@pytest.mark.parametrize("odd", ODD)
def test_every_field_is_refused_or_harmless(odd: str) -> None:
    for place in FIELDS:
        reason = refused(changed(place, ODD[odd]))
        assert reason is None or reason.startswith("r ")


NAMES = [
    ("task", "name"), ("method", "name"), ("preset",), ("task", "main_metric"), ("run_id",),
]  # fmt: skip


@pytest.mark.parametrize("place", NAMES)
@pytest.mark.parametrize("odd", ["path", "formula", "surrogate", "escape", "null", "number"])
def test_a_name_is_a_name(place: tuple[str, ...], odd: str) -> None:
    assert ".".join(place) in (refused(changed(place, ODD[odd])) or "")


@pytest.mark.parametrize("name", ["../x", "ew2sq@nfe=1\n", "$x$", "ew2sq@nfe=ten", "a" * 200])
def test_an_entry_has_the_id_of_a_metric(name: str) -> None:
    content = GOOD | {"metrics": {name: GOOD["metrics"][METRIC]}}
    assert "metrics." in (refused(json.dumps(content)) or "")


@pytest.mark.parametrize("name", ["../model.safetensors", "/etc/passwd", ".hidden", "a/b"])
def test_a_file_lies_beside_its_record(name: str) -> None:
    assert "files." in (refused(json.dumps(GOOD | {"files": {name: "0"}})) or "")


def test_no_number_of_hundreds_of_digits() -> None:
    for place in FIELDS:
        assert "an integer of 401 digits" in (refused(changed(place, HUGE)) or "")
        infinite = changed(place, "mark").replace('"mark"', "1e999")
        assert "a number is too large" in (refused(infinite) or "")


def test_deep_and_long_contents_are_refused_or_cut() -> None:
    nested: Any = 1
    for _ in range(50):
        nested = [nested]
    assert "nested deeper" in (refused(json.dumps(GOOD | {"diagnostics": {"d": nested}})) or "")
    record = parse(json.dumps(GOOD | {"error": "x" * 10**7}), "r")
    assert record.error is not None
    assert len(record.error) < LONGEST + 50
    assert record.error.endswith("(10,000,000 characters)")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain \u03b2 caf\u00e9\n\ttext", "plain \u03b2 caf\u00e9\n\ttext"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("a\rb", "a\\x0db"),
        ("\u202egpj.exe", "\\x202egpj.exe"),
        ("\ud800", "\\xd800"),
        ("\x9b31m", "\\x9b31m"),
    ],
)
def test_what_a_terminal_would_obey_is_written_out(text: str, expected: str) -> None:
    assert shown(text) == expected
    assert parse(json.dumps(GOOD | {"error": text}), "r").error == expected


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("value", "1", "value is no number"),
        ("value", True, "value is no number"),
        ("floor", [1], "floor is no number"),
        ("n_observations", -3, "n_observations is no count"),
        ("version", None, "version is no count"),
        ("direction", "up", "direction is none of lower, higher"),
        ("debiased", 1, "debiased is none of True, False"),
        ("unit", None, "unit is none of samples, images"),
        ("error", {}, "error is no text"),
    ],
)
def test_an_entry_has_numbers_words_and_texts_in_their_places(
    name: str, value: Any, reason: str
) -> None:
    assert reason in (refused(changed(("metrics", METRIC, name), value)) or "")


@pytest.mark.parametrize("cost", ["fit_seconds", "network_passes", "parameters"])
def test_nothing_is_cheaper_than_free(cost: str) -> None:
    assert f"cost.{cost}" in (refused(changed(("cost", cost), -1)) or "")
    assert f"cost.{cost}" in (refused(changed(("cost", cost), -0.5)) or "")


@pytest.mark.parametrize(
    ("cost", "reason"),
    [
        ({"sampling": {NFE: {"seconds": 1.0}, "77": {"seconds": 1e-9}}}, "names NFE 77, at which"),
        ({"sampling": {"77": {}, "adaptive": {}}}, "names NFE 77, adaptive, at which"),
        ({"sampling": None}, "cost.sampling"), ({"sampling": 3}, "cost.sampling"),
        ({"fit_seconds": {NFE: {"seconds": 1.0}}}, "cost.fit_seconds"),
        ({"fit_seconds": {}}, "cost.fit_seconds"),
        ({"sampling": {}}, None), ({}, None), ({"of_mine": 3.0, "unknown": None}, None),
    ],
)  # fmt: skip
def test_what_sampling_costs_is_told_where_something_was_measured(
    cost: dict[str, Any], reason: str | None
) -> None:
    found = refused(json.dumps(GOOD | {"cost": cost}))
    assert found is None if reason is None else reason in (found or "")


def test_a_run_that_was_cut_off_may_have_drawn_and_measured_nothing() -> None:
    cut_off = {"status": "timeout", "error": "ended after 3 s", "metrics": {}}
    assert refused(json.dumps(GOOD | cut_off)) is None
    assert "names NFE" in (refused(json.dumps(GOOD | cut_off | {"status": "ok"})) or "")
