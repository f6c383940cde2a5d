"""Puts the leaderboard's page into the guide's site; `mkdocs.yml` names this file."""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

PAGE = Path(__file__).parents[1] / "results" / "leaderboard.html"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Called by mkdocs with what it found in `docs`."""
    files.append(File.generated(config, PAGE.name, abs_src_path=str(PAGE)))
    return files
