"""Puts our records into the package: `record.json` and `observations.parquet` of `results/runs`.

setuptools calls it when it builds a wheel: one archive, since records are alike and compress best
side by side, and a thousand small files take long to install. `cwbench.records.shipped` unpacks it
where it is first asked for; in an editable installation it reads the files where they are.

Samplers of preset `ladder` at other numbers of calls than the judged one stay in the repository: a
wheel has a size to keep, and they move nothing of those that are judged.
"""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

from setuptools.command.build_py import build_py

ROOT = Path(__file__).parents[1]
FILES = ("record.json", "observations.parquet")
ARCHIVE = "shipped.tar.xz"


def shipped(run: Path) -> bool:
    """Whether a run belongs into the package."""
    record = json.loads((run / "record.json").read_text())
    return record["preset"] != "ladder" or not set(record["method"]["changed"]) - {"denoiser"}


def packed(results: Path) -> bytes:
    """The records below a results directory; equal ones give equal bytes."""
    content = io.BytesIO()
    every = sorted(path.parent for path in (results / "runs").rglob(FILES[0]))
    runs = [run for run in every if shipped(run)]
    with tarfile.open(fileobj=content, mode="w:xz") as archive:
        for name in FILES:
            for path in [run / name for run in runs if (run / name).is_file()]:
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
