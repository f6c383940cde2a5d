"""`cwbench why`: what differs between a run and the nearest other one, key by key."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cwbench.records.record import Record
from cwbench.records.runs import read
from cwbench.reporting.differences import compare, deciding_facts, nearest
from cwbench.running.request import resolve

Store = Callable[..., Path]
FIT = ("knn", {"preset.samples": 10, "preset.observations": 2})


def changes(run: Record, other: Record) -> dict[str, tuple[Any, Any]]:
    return {each.key: (each.run, each.other) for each in compare(run, other).deciding}


@pytest.mark.parametrize(
    ("settings", "seed", "wanted"),
    [
        ({"task.noise": 0.5}, 0, {"task.params.noise": (0.5, 0.2)}),
        ({"method.neighbours": 7}, 0, {"method.params.neighbours": (7, "auto")}),
        ({"preset.steps": 9}, 0, {"preset.steps": (9, 200)}),
        ({}, 1, {"seed": (1, 0)}),
    ],
)
def test_exactly_what_was_set_is_told(
    run: Callable, settings: dict[str, Any], seed: int, wanted: dict[str, Any]
) -> None:
    method, small = FIT
    first = run(method, settings=small)
    second = run(method, settings=small | settings, seed=seed)
    found = changes(second, first)
    found.pop("task.fingerprint", None)  # of the data, which follow the settings of the task
    assert found == wanted
    assert changes(first, first) == {}


def test_a_source_that_changed_is_told(run: Callable, method_file: Callable) -> None:
    first = run(method_file("pass"))
    second = run(method_file("x = 1"))
    assert set(changes(second, first)) == {"method.source_sha256"}


def test_the_key_differs_exactly_where_facts_do(run: Callable) -> None:
    """What is compared is what the key is made of: every keyed value has its fact."""
    method, small = FIT
    record = run(method, settings=small)
    request = resolve("gaussian-linear", method, preset="smoke", given=small)
    facts = deciding_facts(record)
    keyed = request.keyed()
    assert [facts["task"], facts["task.version"]] == keyed["task"][:2]
    assert facts["task.fingerprint"] == keyed["task"][3]
    assert facts["task.source_sha256"] == keyed["task"][4]
    for name, value in keyed["task"][2].items():
        assert facts[f"task.params.{name}"] == value
    assert [facts["method"], facts["method.version"]] == keyed["method"][:2]
    for name, value in keyed["method"][2].items():
        assert facts[f"method.params.{name}"] == value
    for name, value in keyed["preset"].items():
        assert facts[f"preset.{name}"] == value
    assert facts["world_size"] == keyed["world_size"]


def _record(directory: Path) -> Record:
    record = read(directory)
    assert record is not None
    return record


def _method(beta: float, version: int = 2) -> dict[str, Any]:
    return {
        "name": "m",
        "version": version,
        "role": "method",
        "params": {"beta": beta, "clip": 1},
        "changed": {},
    }


def test_the_nearest_is_of_the_same_task_then_method_then_seed(store: Store, results: Path) -> None:
    run = _record(store(3, key="a" * 16, method="m", fit_key="a"))
    steps = [
        store(3, task="u", key="b" * 16),
        store(4, method="n", key="c" * 16),
        store(3, method="n", key="c" * 16),
        store(4, key="a" * 16),
        store(3, key="d" * 16, track="open", preset_values={"x": 1, "y": 2}),
        store(3, key="e" * 16, preset_values={"x": 1}),
    ]
    for directory in steps[1:]:
        (directory / "record.json").rename(directory / "hidden")
    for directory in steps:
        if (directory / "hidden").exists():
            (directory / "hidden").rename(directory / "record.json")
        difference, problems = nearest(run, results)
        assert difference is not None
        assert difference.other.directory == directory
        assert not problems


def test_of_equally_near_ones_the_latest(store: Store, results: Path) -> None:
    run = _record(store(0, key="a" * 16))
    for hour, key in ((1, "b"), (3, "c"), (2, "d")):
        store(0, key=key * 16, preset_values={"x": key}, finished=f"2025-01-01T0{hour}:00:00+00:00")
    difference, _ = nearest(run, results)
    assert difference is not None
    assert difference.other.fit_key[0] == "c"


def test_what_cannot_be_read_is_told_and_skipped(store: Store, results: Path) -> None:
    run = _record(store(0))
    bad = store(1, key="b" * 16, text="{")
    difference, problems = nearest(run, results)
    assert difference is None
    assert len(problems) == 1
    assert str(bad) in problems[0]


def test_what_decides_no_fit_is_no_difference(store: Store) -> None:
    sizes = {"training_pairs": 10, "validation_pairs": 0}
    first = _record(store(0, preset_values=sizes))
    again = _record(store(0, key="b" * 16, preset_values=sizes | {"nfe": [1], "metrics": ["c2st"]}))
    assert changes(again, first) == {}
    other = _record(store(0, key="c" * 16, preset_values=sizes | {"validation_pairs": 7}))
    assert changes(other, first) == {"preset.validation_pairs": (7, 0)}


def test_the_command(store: Store, cli: Callable) -> None:
    store(0, key="a" * 16, method="m")
    only = cli("why", "aa")
    assert only.exit_code == 0
    assert only.stdout == "aaaaaaaaaaaaaaaa-0 is the only run on record\n"
    assert json.loads(cli("why", "aa", "--json").stdout) is None
    environment = {"torch": "2.11", "packages_sha256": "f" * 64, "platform": "Linux " * 30}
    store(1, key="b" * 16, environment=environment, status="failed", error="boom",
          preset_values={"steps": 5})  # fmt: skip
    text = cli("why", "bb").stdout
    assert max(map(len, text.splitlines())) <= 100
    decides, recorded = text.split("recorded, decides nothing")
    words = [line.split() for line in decides.splitlines()]
    assert ["preset.steps", "5", "(none)"] in words
    assert ["seed", "1", "0"] in words
    assert "environment.torch" in recorded
    assert "ffffffffffff..." in recorded
    assert "it is failed: the same command tries it again" in recorded
    document = json.loads(cli("why", "bb", "aa", "--json").stdout)
    assert document["deciding"] == [
        {"key": "preset.steps", "run": 5, "other": None},
        {"key": "seed", "run": 1, "other": 0},
    ]
    assert document["other"] == "aaaaaaaaaaaaaaaa-0"


def test_two_copies_of_a_run_and_a_key_made_otherwise(store: Store, cli: Callable) -> None:
    store(0, preset="smoke")
    same = store(0, key="b" * 16, fit_key="0123456789abcdef" * 4)
    assert "nothing that decides the fit differs" in cli("why", "01", same).stdout
    store(0, key="c" * 16)
    assert "the keys differ, but nothing else on record" in cli("why", "01", "cc").stdout


@pytest.mark.parametrize("beta", [True, 1])
def test_a_value_in_other_words_is_told(store: Store, beta: float) -> None:
    """They make two keys, since keys are of JSON: in Python True == 1 == 1.0."""
    one, other = (
        _record(store(seed, values={"method": _method(value)}))
        for seed, value in enumerate((1.0, beta))
    )
    assert changes(one, other)["method.params.beta"] == (1.0, beta)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 99}'])
def test_a_damaged_record_is_told_in_a_line(store: Store, cli: Callable, text: str) -> None:
    store(0, text=text)
    result = cli("why", "01")
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert "record.json" in result.stderr
