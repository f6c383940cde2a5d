"""The table of versions, source hashes and `smoke` values of every built-in, `numbers.csv`.

    python -m results.numbers [--before REV]

writes it anew. Records of a built-in are found by its version, so a number may move only with it.
Where the sources of a built-in changed under the same version, the same runs are made on the
revision that wrote the table (or `REV`) and on this tree, on this machine: nothing is written if a
number moved by more than 1e-6 of itself. `tests/test_numbers.py` fails until that was done.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from results.sources import ROOT, hashes

TABLE = ROOT / "results" / "numbers.csv"
COLUMNS = ("kind", "name", "version", "sources", "values")
SAME = 1e-6
"""Relative difference up to which a number on one machine did not move."""

NOWHERE = "http://127.0.0.1:9"
"""No run downloads: a table must not depend on the network."""

Key = tuple[str, str]


@dataclass(frozen=True)
class Row:
    """What the table holds of one built-in; `values` by label, as `smoke_values` has them."""

    version: int
    sources: str
    values: dict[str, float]


def main() -> None:
    """Write the table, or say which numbers moved and exit with 1."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", metavar="REV", help="default: the commit that wrote the table")
    before = parser.parse_args().before
    known = read_table() if TABLE.exists() else {}
    present = measured(ROOT)
    unproven = [k for k, row in present.items() if k in known and unseen(known[k], row)]
    if unproven:
        revision = before or _git("log", "-1", "--format=%H", "--", str(TABLE))
        print(f"{len(unproven)} of {len(present)} changed; running {revision[:12]} beside it")
        with worktree(revision) as folder:
            earlier = measured(folder)
        problems = _foreign(known, earlier, unproven) + moves(earlier, present)
        if problems:
            sys.exit("\n".join([*problems, "nothing was written; raise the version or undo this"]))
    write_table(kept(known, present))
    print(f"wrote {TABLE.relative_to(ROOT)}: {len(present)} built-ins, {len(unproven)} proven")


def unseen(known: Row, present: Row) -> bool:
    """Whether sources changed under the same version."""
    return known.version == present.version and known.sources != present.sources


def moves(earlier: dict[Key, Row], present: dict[Key, Row]) -> list[str]:
    """The numbers that moved although no version of what gives them rose, one a line."""
    risen = {key[1] for key in earlier.keys() & present.keys()
             if earlier[key].version != present[key].version}  # fmt: skip
    found = []
    for key in earlier.keys() & present.keys():
        then, now = earlier[key].values, present[key].values
        for label in then:
            excused = risen & {key[1], *label.split()}
            if not excused and not (label in now and close(then, now, label, SAME)):
                found.append(f"{' '.join(key)}: {label} {then[label]!r} -> {now.get(label)!r}")
    return sorted(found)


def close(a: dict[str, float], b: dict[str, float], label: str, tolerance: float) -> bool:
    """Whether two numbers agree up to a share of their size.

    A debiased value is a difference of plug-ins and near 0 where a sampler is right, so its size is
    that of its plug-in; where it has none, as distances of kernels, that of its floor.
    """
    run = " ".join(label.split()[:3])
    beside = [each.get(f"{run} plug_in", each.get(f"{run} floor", 0.0)) for each in (a, b)]
    size = max(abs(value) for value in (a[label], b[label], *beside))
    return abs(a[label] - b[label]) <= tolerance * size


def kept(known: dict[Key, Row], present: dict[Key, Row]) -> dict[Key, Row]:
    """The new rows, with the digits of the old numbers that did not move."""
    rows = {}
    for key, row in present.items():
        old = known[key].values if key in known else {}
        values = {
            label: old[label] if label in old and close(old, row.values, label, SAME) else value
            for label, value in row.values.items()
        }
        rows[key] = Row(row.version, row.sources, values)
    return rows


def measured(root: Path) -> dict[Key, Row]:
    """Versions, hashes and values of the built-ins of a checkout, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        _declare(root, Path(folder))
        places = [folder, root, root / "tasks", root / "baselines"]
        environment = {
            **os.environ, "PYTHONPATH": os.pathsep.join(map(str, places)), "OMP_NUM_THREADS": "1",
            "http_proxy": NOWHERE, "https_proxy": NOWHERE,
        }  # fmt: skip
        script = Path(__file__).with_name("smoke_values.py")
        done = subprocess.run(  # noqa: S603 - our own script
            [sys.executable, "-P", script],
            capture_output=True, text=True, check=False, env=environment, cwd=folder,
        )  # fmt: skip
    if done.returncode:
        sys.exit(f"the runs of {root} failed:\n{done.stderr}")
    found = json.loads(done.stdout)
    assert Path(found["package"]).is_relative_to(root), f"{found['package']} was run, not {root}"
    return {
        key: Row(found["versions"][" ".join(key)], digest, found["values"].get(" ".join(key), {}))
        for key, digest in hashes(root).items()
    }


def read_table(path: Path = TABLE) -> dict[Key, Row]:
    """The committed rows by (kind, name)."""
    with path.open(newline="", encoding="utf-8") as file:
        return {
            (row["kind"], row["name"]): Row(
                int(row["version"]), row["sources"], json.loads(row["values"])
            )
            for row in csv.DictReader(file)
        }


def write_table(rows: dict[Key, Row], path: Path = TABLE) -> None:
    """Write rows, sorted by kind and name."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for (kind, name), row in sorted(rows.items()):
            values = json.dumps({label: float(f"{v:.9g}") for label, v in row.values.items()})
            writer.writerow([kind, name, row.version, row.sources, values])


@contextmanager
def worktree(revision: str) -> Iterator[Path]:
    """A checkout of a revision, removed in the end."""
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent).resolve() / "tree"
        _git("worktree", "add", "--detach", str(folder), revision)
        try:
            yield folder
        finally:
            _git("worktree", "remove", "--force", str(folder))


def _foreign(known: dict[Key, Row], earlier: dict[Key, Row], unproven: list[Key]) -> list[str]:
    """Rows that the earlier revision did not write: comparing with it would prove nothing."""
    return [
        f"{' '.join(key)}: that revision did not write the table's row; name the one that did"
        for key in unproven
        if key not in earlier or earlier[key].sources != known[key].sources
    ]


def _declare(root: Path, folder: Path) -> None:
    """Metadata of the checkout's own entry points, found before those of what is installed."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    info = folder / f"cwbench-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: cwbench\nVersion: {project['version']}\n"
    )
    groups = [
        "\n".join([f"[{group}]", *(f"{name} = {target}" for name, target in names.items()), ""])
        for group, names in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(groups))


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603


if __name__ == "__main__":
    main()
