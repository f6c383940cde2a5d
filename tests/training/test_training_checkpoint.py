from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest
import torch

from cwbench.training import checkpoint


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_two_generations_are_kept(tmp_path) -> None:
    for step in (1, 2, 30):
        checkpoint.save(tmp_path, step, {"step": step})
    assert [name[:14] for name in names(tmp_path)] == ["step-000000002", "step-000000030"]
    assert checkpoint.load(tmp_path) == {"step": 30}


def test_nothing_to_load(tmp_path) -> None:
    assert checkpoint.load(tmp_path) is None
    assert checkpoint.load(tmp_path / "absent") is None


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty"])
def test_a_damaged_generation_falls_back_on_the_one_before(tmp_path, damage) -> None:
    for step in (1, 2):
        checkpoint.save(tmp_path, step, {"step": step, "weights": torch.arange(100.0)})
    newest = max(tmp_path.iterdir())
    content = newest.read_bytes()
    flipped = content[:500] + bytes([content[500] ^ 1]) + content[501:]
    newest.write_bytes({"truncated": content[:-50], "flipped": flipped, "empty": b""}[damage])
    state = checkpoint.load(tmp_path)
    assert state is not None
    assert state["step"] == 1
    assert torch.equal(state["weights"], torch.arange(100.0))


def test_both_damaged_is_a_fresh_start(tmp_path) -> None:
    for step in (1, 2):
        checkpoint.save(tmp_path, step, {"step": step})
    for path in tmp_path.iterdir():
        path.write_bytes(b"")
    assert checkpoint.load(tmp_path) is None


class Explosive:
    """What runs code when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemError('unpickled')",)


def test_no_object_is_unpickled(tmp_path) -> None:
    checkpoint.save(tmp_path, 1, {"step": 1})
    buffer = io.BytesIO()
    torch.save({"step": 2, "payload": Explosive()}, buffer)
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()[:16]  # a valid name does not help it
    (tmp_path / f"step-{2:09d}-{digest}.pt").write_bytes(buffer.getvalue())
    assert checkpoint.load(tmp_path) == {"step": 1}


def test_other_files_are_left_alone(tmp_path) -> None:
    (tmp_path / "step-1.pt").write_text("mine")
    for step in (1, 2, 3):
        checkpoint.save(tmp_path, step, {"step": step})
    assert (tmp_path / "step-1.pt").read_text() == "mine"
    assert len(names(tmp_path)) == 3


def test_nothing_half_written_stays_behind(tmp_path, monkeypatch) -> None:
    checkpoint.save(tmp_path, 1, {"step": 1})

    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        checkpoint.save(tmp_path, 2, {"step": 2})
    assert [name[:14] for name in names(tmp_path)] == ["step-000000001"]
