"""Puts our records into the package: `record.json` and `observations.parquet` of `results/runs`.

setuptools calls it when it builds a wheel: one archive, since records are alike and compress best
side by side, and a thousand small files take long to install. `cwbench.records.shipped` unpacks it
where it is first asked for; in an editable installation it reads the files where they are.
"""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from setuptools.command.build_py import build_py

ROOT = Path(__file__).parents[1]
FILES = ("record.json", "observations.parquet")
ARCHIVE = "shipped.tar.xz"


def packed(results: Path) -> bytes:
    """The records below a results directory; equal ones give equal bytes."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:xz") as archive:
        for name in FILES:
            for path in sorted((results / "runs").rglob(name)):
                member = tarfile.TarInfo(path.relative_to(results).as_posix())
                member.size = path.stat().st_size
                with path.open("rb") as file:
                    archive.addfile(member, file)
    return content.getvalue()


class BuildWithRecords(build_py):
    """The usual step, and the records."""

    def run(self) -> None:
        """Copy code, then records."""
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib, "cwbench", ARCHIVE)
            target.write_bytes(packed(ROOT / "results"))
