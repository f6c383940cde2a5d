"""What is larger than any of its kind is named and skipped, and nobody reads it whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from attacks.forging import content_of, settled
from made_runs import write_run

from cwbench.errors import ContractError, CorruptFileError
from cwbench.machine.files import LARGEST, TooLargeError, content_sha256, contents, sha256_of
from cwbench.records import record as records
from cwbench.records import storage
from cwbench.records.beside import MODEL, MOST, OBSERVATIONS
from cwbench.records.rows import MOST_ROWS, table_in
from cwbench.records.values import observed
from cwbench.verifying.verify import verify

VALUES = {"ew2sq": [1.0, 2.0]}


def sized(path: Path, size: int) -> None:
    with path.open("ab") as file:
        file.truncate(size)


@pytest.mark.parametrize(
    ("name", "most"),
    [("record.json", records.MOST), (OBSERVATIONS, MOST[OBSERVATIONS]), (MODEL, LARGEST)],
)
def test_a_file_of_a_run_that_is_too_large_is_named_and_skipped(
    tmp_path: Path, name: str, most: int
) -> None:
    directory, honest = (write_run(tmp_path, VALUES, seed=seed) for seed in (0, 1))
    sized(directory / name, most + 1)
    said = f"{directory / name} has {most + 1:,} bytes, and {most:,} are the most that is read"
    found = {one.directory: one.problems for one in verify(tmp_path)}
    assert any(said in problem for problem in found[directory])
    assert not any(said in problem for problem in found[honest])
    if name != MODEL:  # which no table needs
        shown = observed(tmp_path)
        assert shown.problems == {directory: said}
        assert list(shown.runs) == [str(honest.relative_to(tmp_path))]


def test_what_is_as_large_as_it_may_be_is_read(tmp_path: Path) -> None:
    sized(tmp_path / "file", 10)
    assert contents(tmp_path / "file", 10) == bytes(10)
    with pytest.raises(TooLargeError):
        contents(tmp_path / "file", 9)
    with pytest.raises(TooLargeError):
        sha256_of(tmp_path / "file", 9)
    (tmp_path / "abc").write_bytes(b"abc")  # FIPS 180-2, B.1
    assert (
        sha256_of(tmp_path / "abc")
        == content_sha256(tmp_path / "abc")
        == ("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    )
    assert sha256_of(tmp_path / "none") == ""


def test_a_table_of_more_rows_than_any_is_not_unpacked(tmp_path: Path) -> None:
    """Zeros take no room: a billion rows are a few hundred kilobytes."""
    directory = write_run(tmp_path, VALUES)
    zeros = pa.array([0.0]).take(pa.array([0] * 1000))
    column = pa.chunked_array([zeros] * (MOST_ROWS // 1000 + 1))
    names = pa.chunked_array([pa.array(["ew2sq"] * 1000)] * (MOST_ROWS // 1000 + 1))
    table = {"observation": column, "metric": names, "nfe": names, "value": column}
    pq.write_table(pa.table(table), directory / OBSERVATIONS)
    assert (directory / OBSERVATIONS).stat().st_size < 2**20
    settled(directory, content_of(directory), keyed=False)
    (problem,) = observed(tmp_path).problems.values()
    assert "10,001,000 rows, and 10,000,000 are the most that is read" in problem
    (found,) = verify(tmp_path)
    assert any("10,001,000 rows" in text for text in found.problems)
    with pytest.raises(CorruptFileError, match="10,001,000 rows"):
        storage.load_observations(directory, {})


def test_a_plugin_cannot_say_more_than_a_record_may_hold() -> None:
    long = {f"part {i}": "x" * 1000 for i in range(records.MOST_SAID // 1000)}
    with pytest.raises(ContractError, match="4,194,304 are the most"):
        records.recordable(long, "diagnostics")
    assert len(records.recordable(dict(list(long.items())[:4000]), "diagnostics")) == 4000


def table_of(directory: Path) -> pa.Table:
    return pq.read_table(directory / OBSERVATIONS)


def named_as(name: str, values: Callable[[list[str]], pa.Array]) -> Callable[[pa.Table], pa.Table]:
    """A table whose names in a column are others."""

    def changed(table: pa.Table) -> pa.Table:
        return table.set_column(
            table.column_names.index(name), name, values(table[name].to_pylist())
        )

    return changed


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (named_as("metric", lambda v: pa.array([None, *v[1:]], pa.string())), "without metric"),
        (named_as("nfe", lambda v: pa.array([None, *v[1:]], pa.string())), "without nfe"),
        (named_as("metric", lambda v: pa.array([[one] for one in v])), "its metric is no text"),
        (
            named_as("metric", lambda v: pa.array([{"a": one} for one in v])),
            "its metric is no text",
        ),
        (named_as("nfe", lambda v: pa.array([1 for _ in v])), "its nfe is no text"),
        (named_as("nfe", lambda v: pa.array(["x" * 101, *v[1:]])), "a nfe of 101 characters"),
        (named_as("observation", lambda v: pa.array([None, *v[1:]])), "without observation"),
        (lambda table: pa.concat_tables([table, table]), "twice, or not at all"),
        (named_as("observation", lambda v: pa.array([0] * len(v))), "twice, or not at all"),
        (named_as("observation", lambda v: pa.array([0, 2])), "twice, or not at all"),
        (named_as("observation", lambda v: pa.array([-1, 0])), "twice, or not at all"),
        (named_as("observation", lambda v: pa.array([0.5, 1.5])), "twice, or not at all"),
        (named_as("observation", lambda v: pa.array(["0", "1"])), "its observation is no number"),
        (named_as("observation", lambda v: pa.array([[0], [1]])), "its observation is no number"),
        (named_as("value", lambda v: pa.array(["1", "2"])), "its value is no number"),
    ],
)
def test_rows_whose_names_are_none_are_told_and_stop_no_reader(
    tmp_path: Path, change: Callable[[pa.Table], pa.Table], said: str
) -> None:
    directory, honest = (write_run(tmp_path, VALUES, seed=seed) for seed in (0, 1))
    pq.write_table(change(table_of(directory)), directory / OBSERVATIONS)
    settled(directory, content_of(directory), keyed=False)
    shown = observed(tmp_path)
    assert list(shown.runs) == [str(honest.relative_to(tmp_path))]
    assert said in shown.problems[directory]
    found = {one.directory: one.problems for one in verify(tmp_path)}
    assert any(said in problem for problem in found[directory])


def test_a_long_name_is_kept_once_and_a_column_of_nobody_is_not_read(tmp_path: Path) -> None:
    """Kilobytes that would be a terabyte as plain text."""
    directory = write_run(tmp_path, VALUES)
    rows, text = 1_000_000, pa.array(["x" * 1_000_000])
    codes = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int8)), text)
    short = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int8)), pa.array(["a"]))
    zeros = pa.array(np.zeros(rows))
    for metric, said in ((codes, "a metric of 1,000,000 characters"), (short, "")):
        columns = {"observation": zeros, "metric": metric, "nfe": short, "value": zeros}
        table = pa.table(columns | {"other": codes})
        pq.write_table(table, directory / OBSERVATIONS, compression="zstd", store_schema=False)
        assert (directory / OBSERVATIONS).stat().st_size < 100_000
        if said:
            with pytest.raises(CorruptFileError, match=said):
                storage.load_observations(directory, {})
        else:
            content = (directory / OBSERVATIONS).read_bytes()
            assert table_in(content).column_names == ["observation", "metric", "nfe", "value"]
