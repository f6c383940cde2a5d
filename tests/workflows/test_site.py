"""The steps of `site.yml`: the guide and the leaderboard's page are one site."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from workflows.steps import ROOT, carry_out, programs, read

PAGE = "<title>the board</title>"


def test_the_site_is_the_guide_and_the_page(tmp_path: Path) -> None:
    """`make docs`, but for the installation; what is uploaded is what it made."""
    pytest.importorskip("mkdocs")
    checkout, installed = tmp_path / "checkout", programs(tmp_path / "venv" / "bin").parent
    shutil.copytree(ROOT / "docs", checkout / "docs")
    (checkout / "results").mkdir()
    (checkout / "results" / "leaderboard.html").write_text(PAGE)
    for name in ("Makefile", "mkdocs.yml", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, checkout)
    (installed / ".dev").touch()
    ran = carry_out(
        "site.yml", "build", checkout, context={},
        variables={"MAKEFLAGS": f"VENV={installed}", "PATH": "/usr/bin:/bin", "PIP_NO_INDEX": "1"},
    )  # fmt: skip
    assert ran.status == 0, ran.output
    (site,) = (s["with"]["path"] for s in read("site.yml")["jobs"]["build"]["steps"][-1:])
    assert (checkout / site / "leaderboard.html").read_text() == PAGE
    for page, link in {"": "leaderboard.html", "trust": "../leaderboard.html"}.items():
        assert f'href="{link}"' in (checkout / site / page / "index.html").read_text()
