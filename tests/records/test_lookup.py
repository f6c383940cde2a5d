"""RUN as typed: a directory, a record.json, an id or its beginning; everything else is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cwbench.errors import CorruptFileError, UsageError
from cwbench.records.lookup import find_record, find_run, results_of, run_id_of
from cwbench.records.runs import single_writer

Store = Callable[..., Path]


def test_all_ways_to_name_a_run(
    results: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = store(1, key="00aa456789abcdef")
    store(10, key="00aa456789abcdef")
    store(1, key="00bb456789abcdef")
    monkeypatch.chdir(wanted.parent)
    for typed in (str(wanted), f"{wanted}/", f"{wanted}/record.json", "00aa456789abcdef-1"):
        assert find_run(typed, results).resolve() == wanted
    assert find_run("seed-1", results).resolve() == wanted
    assert find_run("00b", results).name == "seed-1"
    assert find_record("00aa456789abcdef-10", results).seed == 10


FITTING = r"'0123456789abcdef-' fits 2 runs(.|\n)*def-10  t/m/smoke"


def test_an_exact_id_is_not_the_beginning_of_another(results: Path, store: Store) -> None:
    store(1)
    store(10)
    assert find_run("0123456789abcdef-1", results).name == "seed-1"
    with pytest.raises(UsageError, match=FITTING):
        find_run("0123456789abcdef-", results)


def test_one_id_under_two_presets_is_ambiguous(results: Path, store: Store) -> None:
    """The preset's name is not in the key, only its values."""
    store(0)
    store(0, preset="quick")
    with pytest.raises(UsageError, match=r"fits 2 runs(.|\n)*t/m/quick(.|\n)*t/m/smoke"):
        find_run("0123456789abcdef-0", results)


def test_an_error_names_some_of_many(results: Path, store: Store) -> None:
    for seed in range(12):
        store(seed)
    with pytest.raises(UsageError, match="and 4 more") as told:
        find_run("0", results)
    assert len(str(told.value).splitlines()) == 10


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("0123456789abcdee-0", r"no run .*Near ones:\n  0123456789abcdef-0  t/m/smoke"),
        ("ffff", r"no run 'ffff' among the 1 in"),
        ("my-run", r"no such run: 'my-run'; give a run's directory"),
        ("../../etc", r"no such run|no record\.json"),
        ("", r"no record\.json in '\.'; give the directory of a run"),
        ("*", "no such run"),
        ("0123456789abcdef-0-0", "no such run"),
        ("seed-0/record.json", "no such run"),
    ],
)
def test_what_is_no_run(results: Path, store: Store, typed: str, told: str) -> None:
    store()
    with pytest.raises(UsageError, match=told):
        find_run(typed, results)


def test_a_directory_that_is_none(tmp_path: Path, results: Path) -> None:
    with pytest.raises(UsageError, match=r"no record\.json in"):
        find_run(str(tmp_path), results)


def test_no_record_yet(results: Path, store: Store) -> None:
    directory = store()
    (directory / "record.json").unlink()
    assert find_run("0123", results) == directory
    with pytest.raises(UsageError, match=r"it did not end; `cwbench logs 0123456789abcdef-0`"):
        find_record("0123", results)
    with single_writer(directory), pytest.raises(UsageError, match="it is running"):
        find_record("0123", results)


def test_a_record_that_cannot_be_read_is_named(results: Path, store: Store) -> None:
    directory = store(text="{")
    with pytest.raises(CorruptFileError, match=str(directory)):
        find_record("0123", results)


def test_where_a_run_is(results: Path, store: Store, tmp_path: Path) -> None:
    directory = store(7)
    assert results_of(directory) == results
    assert run_id_of(directory) == "0123456789abcdef-7"
    directory.rename(tmp_path / "elsewhere")
    assert results_of(tmp_path / "elsewhere") is None
    assert find_record(str(tmp_path / "elsewhere"), results).seed == 7
