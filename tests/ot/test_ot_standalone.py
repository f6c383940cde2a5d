"""What `cwbench.ot` promises: a library of its own, that imports nothing else of cwbench."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import cwbench.ot
import cwbench.theory


def imported(package: Path) -> Iterator[tuple[str, str]]:
    """Modules of cwbench that the files of a package import, anywhere in them."""
    for path in sorted(package.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path.name} imports relatively"
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                continue
            yield from ((path.name, name) for name in names if name.split(".")[0] == "cwbench")


@pytest.mark.parametrize(
    ("package", "allowed"),
    [
        (cwbench.ot, ("cwbench.ot",)),
        (cwbench.theory, ("cwbench.theory", "cwbench.ot", "cwbench.style", "cwbench.machine")),
    ],
    ids=["ot", "theory"],
)
def test_a_room_imports_no_other_than_it_may(package, allowed) -> None:
    found = list(imported(Path(package.__file__).parent))
    assert found
    outside = [
        (file, name)
        for file, name in found
        if not f"{name}.".startswith(tuple(f"{room}." for room in allowed))
    ]
    assert outside == []
