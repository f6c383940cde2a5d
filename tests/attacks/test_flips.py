"""One bit of a stored file is flipped: no such file is believed.

The files are as large as real ones; each flip is of one bit anywhere, seal and header included.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from attacks.counts import Attack
from made_runs import write_run

from cwbench.errors import CorruptFileError
from cwbench.machine.tensors import keep, kept
from cwbench.records.record import parse
from cwbench.records.runs import read, seal_anew, write


def flips(content: bytes, count: int, rng: random.Random) -> Iterator[bytes]:
    """Copies of a file, each with another bit flipped."""
    for bit in rng.sample(range(8 * len(content)), count):
        copy = bytearray(content)
        copy[bit // 8] ^= 1 << bit % 8
        yield bytes(copy)


def attack(content: bytes, believed: Callable[[bytes], bool], count: int) -> Counter[str]:
    """How many flips were tried, and how many of them were believed (`wrong`) or crashed."""
    counts = Counter(tried=0, wrong=0, crashed=0)
    for damaged in flips(content, count, random.Random(1)):  # noqa: S311 - no secret
        counts["tried"] += 1
        try:
            counts["wrong"] += believed(damaged)
        except Exception:  # noqa: BLE001 - counted
            counts["crashed"] += 1
    return counts


def on_derived(place: Path, count: int) -> Counter[str]:
    """Half of a floor, half of a reference with a small header and much that is compared."""
    some = torch.Generator().manual_seed(0)
    moments = {"mean": torch.rand(64, generator=some), "n": torch.tensor(10_000)}
    files = {
        "floor": {"floor": torch.rand(50, dtype=torch.float64, generator=some)},
        "reference": {**moments, "covariance": torch.rand(64, 64, generator=some)},
    }
    total: Counter[str] = Counter()
    for name, tensors in files.items():
        path = place / f"{name}.safetensors"
        keep(path, tensors)
        assert kept(path) is not None

        def believed(content: bytes, path: Path = path) -> bool:
            path.write_bytes(content)
            return kept(path) is not None

        total.update(attack(path.read_bytes(), believed, count // len(files)))
    return total


def on_records(place: Path, count: int) -> Counter[str]:
    values = {f"ew2sq@nfe={nfe}": [0.1 * nfe, 1 / 3, 2e-7] for nfe in range(1, 20)}
    directory = write_run(place, values)
    record = read(directory)
    assert record is not None
    assert not record.sealed
    write(directory, record)
    content = (directory / "record.json").read_bytes()
    assert parse(content, "r").sealed

    def believed(content: bytes) -> bool:
        try:
            parse(content, "r")
        except CorruptFileError:
            return False
        return True

    return attack(content, believed, count)


ATTACKS = [
    Attack("flipped bits in floors and references", on_derived, 400),
    Attack("flipped bits in records", on_records, 2000),
]


@pytest.mark.parametrize(
    "count", [60, pytest.param(400, marks=pytest.mark.attacks)], ids=["twin", "full"]
)
def test_no_flip_of_a_floor_or_reference_is_believed(tmp_path: Path, count: int) -> None:
    assert on_derived(tmp_path, count) == Counter(tried=count)


@pytest.mark.parametrize(
    "count", [200, pytest.param(2000, marks=pytest.mark.attacks)], ids=["twin", "full"]
)
def test_no_flip_of_a_record_is_believed(tmp_path: Path, count: int) -> None:
    assert on_records(tmp_path, count) == Counter(tried=count)


def test_without_a_seal_a_record_loads_and_an_edited_one_is_marked(tmp_path: Path) -> None:
    directory = write_run(tmp_path, {"ew2sq": [1.0, 2.0]})
    path = directory / "record.json"
    unsealed = read(directory)
    assert unsealed is not None
    assert unsealed.seal == "unsealed"
    write(directory, unsealed)
    again = read(directory)
    assert again == unsealed
    assert again is not None
    assert again.seal == "sealed"
    assert not seal_anew(directory)  # nothing to do
    edited = json.loads(path.read_text()) | {"settings": {"beta": 3}}
    path.write_text(json.dumps(edited))
    with pytest.raises(CorruptFileError, match=r"not as it was sealed.*cwbench seal"):
        read(directory)
    assert seal_anew(directory)
    marked = read(directory)
    assert marked is not None
    assert (marked.seal, marked.settings) == ("edited by hand, then sealed", {"beta": 3})
    write(directory, marked)  # as whatever writes it later does
    assert read(directory) == marked
