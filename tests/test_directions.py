"""Imports between rooms go one way: a room knows those below it and none above or beside it.

Imports inside functions count; those for the type checker alone (`if TYPE_CHECKING`) do not.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = (
    "errors version declared dimensions",
    "machine ot samples",
    "settings citations style",
    "preset images theory door",
    "known",
    "task",
    "method metric",
    "registry training metrics",
    "records templates",
    "judging",
    "running",
    "sweeping check verifying",
    "reporting",
    "boards",
    "api",
    "cwbench",  # the face; each name is imported when it is first asked for
    "cli",
    "__main__",
)
"""From the ground up; rooms of one floor know nothing of each other."""

HEIGHT = {room: height for height, rooms in enumerate(FLOORS) for room in rooms.split()}
TOP = len(FLOORS)

GUESTS = ("cwbench_tasks", "cwbench_baselines")
OPEN_TO_GUESTS = {
    "task", "method", "images", "preset", "samples", "settings", "errors", "citations", "machine",
    "known", "ot", "training",
}  # fmt: skip
"""What tasks and methods use: the contracts and what any plugin may."""

EXCEPTIONS = {
    ("reporting", "boards"): "ablations have the intervals of boards, boards the figures",
}


def imported(path: Path) -> Iterator[str]:
    """The modules and names that a module imports when it runs."""
    waiting: list[ast.AST] = [ast.parse(path.read_text())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
            continue
        waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports by a relative name"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def room_of(name: str) -> str | None:
    """The room of an imported name, None outside the suite; a name of the face is the face's."""
    package, _, rest = name.partition(".")
    if package in GUESTS:
        return package
    room = rest.partition(".")[0]
    return None if package != "cwbench" else room if room in HEIGHT else package


def arrows(root: Path) -> Iterator[tuple[str, str, str]]:
    """Every import from one room into another: (from, to, where)."""
    for path in sorted(root.rglob("*.py")):
        if "plugin_module" in path.parts or path.name.startswith("test_"):
            continue  # of a plugin to be
        parts = path.relative_to(root).with_suffix("").parts
        here = root.name if root.name in GUESTS or parts == ("__init__",) else parts[0]
        for name in imported(path):
            there = room_of(name)
            if there not in (None, here):
                yield here, str(there), f"{path.relative_to(ROOT)} imports {name}"


def test_every_room_of_the_package_has_a_floor() -> None:
    rooms = {p.stem for p in (ROOT / "cwbench").iterdir() if p.suffix in ("", ".py")}
    assert rooms - {"__init__", "__pycache__", "shipped"} == set(HEIGHT) - {"cwbench"}


def test_imports_go_down() -> None:
    found = [a for a in arrows(ROOT / "cwbench") if a[:2] not in EXCEPTIONS]
    assert [where for here, there, where in found if HEIGHT[here] <= HEIGHT.get(there, TOP)] == []


@pytest.mark.parametrize("place", ["tasks/cwbench_tasks", "baselines/cwbench_baselines"])
def test_tasks_and_methods_use_what_any_plugin_may(place: str) -> None:
    found = arrows(ROOT / place)
    assert [where for _, there, where in found if there not in OPEN_TO_GUESTS] == []


def test_exceptions_are_still_needed() -> None:
    assert {a[:2] for a in arrows(ROOT / "cwbench")} >= EXCEPTIONS.keys()
