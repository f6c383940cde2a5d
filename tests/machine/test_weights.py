"""Weight files: checked before they are opened, whole or absent, and refused by name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cwbench.errors import UsageError
from cwbench.machine import weights
from cwbench.machine.weights import INCEPTION, WeightFile, checked, download, inception_weights

Known = Callable[..., WeightFile]


@pytest.fixture(autouse=True)
def _nothing_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(weights.VARIABLE, raising=False)
    monkeypatch.setattr(weights, "directory", lambda: tmp_path / "cache")


@pytest.fixture
def served(tmp_path: Path) -> Known:
    """A file that a URL serves, known by the hash of what it should hold."""

    def serve(content: bytes, expected: bytes) -> WeightFile:
        source = tmp_path / "served.pth"
        source.write_bytes(content)
        sha256 = hashlib.sha256(expected).hexdigest()
        return replace(INCEPTION, sha256=sha256, size=len(expected), url=source.as_uri())

    return serve


def test_published_file_is_the_one_in_the_references() -> None:
    assert INCEPTION.sha256.startswith("6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49")
    assert INCEPTION.size == 95_628_359
    assert INCEPTION.sha256[:8] in INCEPTION.name
    assert INCEPTION.url.startswith("https://")


def test_a_wrong_file_is_refused_and_named_unopened(tmp_path: Path) -> None:
    path = tmp_path / "mine.pth"
    path.write_bytes(b"import os")
    with pytest.raises(UsageError, match=r"mine.pth' is not pt_inception.*9 bytes.*not opened"):
        checked(path, INCEPTION)
    with pytest.raises(UsageError, match=r"cannot be read.*--inception-weights FILE"):
        checked(tmp_path / "absent.pth", INCEPTION)


def test_a_download_is_kept_once_and_used(
    served: Known, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = served(b"weights", b"weights")
    monkeypatch.setattr(weights, "INCEPTION", known)
    assert inception_weights() == b"weights"
    (tmp_path / "served.pth").unlink()
    assert inception_weights() == b"weights"
    assert [p.name for p in (tmp_path / "cache").iterdir()] == [known.name]


def test_a_wrong_or_broken_download_leaves_nothing(served: Known, tmp_path: Path) -> None:
    place = tmp_path / "cache" / "weights.pth"
    with pytest.raises(UsageError, match=r"is not pt_inception.*removed unopened"):
        download(served(b"half of the wei", b"half of the weights"), place)
    assert list(place.parent.iterdir()) == []
    gone = replace(INCEPTION, url=(tmp_path / "gone").as_uri())
    with pytest.raises(UsageError, match=r"cannot be downloaded.*without a network"):
        download(gone, place)
    assert list(place.parent.iterdir()) == []


def test_a_damaged_file_in_the_cache_is_refused(
    served: Known, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = served(b"weights", b"weights")
    monkeypatch.setattr(weights, "INCEPTION", known)
    inception_weights()
    (tmp_path / "cache" / known.name).write_bytes(b"weigh")
    with pytest.raises(UsageError, match="5 bytes"):
        inception_weights()


@pytest.mark.parametrize("command", ["run", "sweep", "score"])
def test_a_file_given_is_verified_at_start_whatever_the_task_needs(
    command: str, cli: Callable, results: Path, tmp_path: Path
) -> None:
    path = tmp_path / "mine.pth"
    path.write_bytes(b"no weights")
    words = ["0"] if command == "score" else ["--task", "gaussian-linear", "--method", "prior"]
    answer = cli(command, *words, "--inception-weights", path)
    assert answer.exit_code == 2
    assert "mine.pth' is not pt_inception" in answer.output
    assert not (results / "runs").exists()


def test_the_environment_names_a_file_that_is_verified_too(
    cli: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "elsewhere.pth"
    path.write_bytes(b"no weights")
    monkeypatch.setenv(weights.VARIABLE, str(path))
    answer = cli("run", "--task", "gaussian-linear", "--method", "prior")
    assert answer.exit_code == 2
    assert "elsewhere.pth' is not pt_inception" in answer.output
