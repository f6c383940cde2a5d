"""A page carries the first figures of runs that fit, and reads nothing that is not a run's own."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import pytest

from cwbench.boards import gallery
from cwbench.boards.gallery import Gallery
from cwbench.boards.row import Row, Run

Add = Callable[..., Row]


@pytest.fixture
def add(tmp_path: Path) -> Add:
    """A row of one run, with a figure of this content."""

    def row(name: str, content: bytes | None, *, file: str = "posterior-1.png") -> Row:
        folder = tmp_path / name / "figures"
        folder.mkdir(parents=True)
        if content is not None:
            (folder / file).write_bytes(content)
        return Row(name, name, 0, [Run({"seed": 0, "status": "ok"}, "yours", tmp_path, name)])

    return row


def png(n_bytes: int) -> bytes:
    return gallery.SIGNATURE.ljust(n_bytes, b"x")


def test_the_first_that_fit_are_carried(add: Add, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gallery, "ROOM_BYTES", 200)
    monkeypatch.setattr(gallery, "RUN_BYTES", 20)
    carried = Gallery(runs=4)  # leaves 120: one of 60 bytes, which are 80 in base64
    first, second, small = (
        carried.entry(add(name, png(size)))["picture"]
        for name, size in (("a", 60), ("b", 60), ("c", 9))
    )
    assert first == ("a/figures/posterior-1.png", base64.b64encode(png(60)).decode())
    assert second == ("b/figures/posterior-1.png", None)
    assert small == ("c/figures/posterior-1.png", None), "those after the first that does not fit"
    assert Gallery(runs=10**6).entry(add("d", png(9)))["picture"][1] is None


def test_only_a_png_is_a_figure(add: Add) -> None:
    assert Gallery(1).entry(add("a", b"<svg onload=alert(1)>")) == {}
    assert Gallery(1).entry(add("b", None)) == {}
    assert Gallery(1).entry(add("c", png(9), file="paths-1.png")) == {}
    assert Gallery(1).entry(add("d", png(9), file="classes.png"))["picture"][1]


def test_what_lies_elsewhere_is_not_read(add: Add, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "posterior-1.png").write_bytes(png(9))
    file = add("a", None)
    (tmp_path / "a/figures/posterior-1.png").symlink_to(secret / "posterior-1.png")
    assert Gallery(1).entry(file) == {}
    folder = add("b", None)
    (tmp_path / "b/figures").rmdir()
    (tmp_path / "b/figures").symlink_to(secret)
    assert Gallery(1).entry(folder) == {}


def test_results_may_be_reached_through_a_link(add: Add, tmp_path: Path) -> None:
    (run,) = add("a", png(9)).runs
    (tmp_path / "link").symlink_to(tmp_path)
    row = Row("a", "a", 0, [Run(run.content, run.origin, tmp_path / "link", run.name)])
    assert Gallery(1).entry(row)["picture"][1] is not None


def test_it_is_the_first_seed_with_a_result(add: Add, tmp_path: Path) -> None:
    runs = [
        Run({"seed": seed, "status": status}, "yours", tmp_path, add(f"seed-{seed}", png(9)).key)
        for seed, status in ((2, "ok"), (1, "ok"), (0, "failed"))
    ]
    assert Gallery(1).entry(Row("a", "a", 0, runs))["picture"][0].startswith("seed-1/")
    assert Gallery(1).entry(Row("a", "a", 0, runs[2:])) == {}
