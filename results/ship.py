"""Puts our records into the package: `record.json` and `observations.parquet` of `results/runs`.

setuptools calls it when it builds a wheel; in an editable installation
`cwbench.records.shipped` reads the files where they are.
"""

from __future__ import annotations

from pathlib import Path

from setuptools.command.build_py import build_py

ROOT = Path(__file__).parents[1]
FILES = ("record.json", "observations.parquet")


class BuildWithRecords(build_py):
    """The usual step, and the records."""

    def run(self) -> None:
        """Copy code, then records."""
        super().run()
        if self.editable_mode:
            return
        for name in FILES:
            for path in sorted((ROOT / "results" / "runs").rglob(name)):
                target = Path(
                    self.build_lib, "cwbench", "shipped", path.relative_to(ROOT / "results")
                )
                target.parent.mkdir(parents=True, exist_ok=True)
                self.copy_file(str(path), str(target))
