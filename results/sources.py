"""The hash of the sources that decide the numbers of a task, a method or a metric.

What counts: the module of its class, all of `cwbench.judging`, for a method all of
`cwbench.training` (it is handed the trainer, whether it imports it or not), and every module of
ours that one of them imports, directly or not, inside functions too. What does not: imports for the
type checker, and the `__init__` of a package, which is a face: a name that is imported through it
leads to the module it comes from. `cwbench.running` hands out streams and presets and is in no
hash, since it reaches everything; what moves there is seen by the values.

Hashed is the syntax tree without comments, docstrings and positions, so no formatting counts.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HOMES = {"cwbench": ".", "cwbench_tasks": "tasks", "cwbench_baselines": "baselines"}
DECIDE = {
    "task": ("cwbench.judging",),
    "method": ("cwbench.judging", "cwbench.training"),
    "metric": ("cwbench.judging",),
}
"""Packages that decide the numbers of every plugin of a kind, beside its own module."""


def built_ins(root: Path) -> dict[tuple[str, str], str]:
    """The modules of all built-ins of a tree by (kind, name), as its pyproject.toml has them."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    return {
        (kind, name): target.partition(":")[0]
        for kind in DECIDE
        for name, target in project["entry-points"][f"cwbench.{kind}s"].items()
    }


def hashes(root: Path = ROOT) -> dict[tuple[str, str], str]:
    """The first 16 digits of the hash of each built-in's sources, by (kind, name)."""
    tree = Tree(root)
    return {
        (kind, name): tree.digest([module, *tree.within(DECIDE[kind])])
        for (kind, name), module in built_ins(root).items()
    }


class Tree:
    """The modules of ours in one checkout, and what they import of one another."""

    def __init__(self, root: Path) -> None:
        self.paths = dict(_modules(root))
        self.imports = functools.cache(self._imports)
        self.content = functools.cache(self._content)

    def within(self, packages: tuple[str, ...]) -> list[str]:
        """All modules of some packages."""
        return [name for name in self.paths if name.startswith(tuple(f"{p}." for p in packages))]

    def digest(self, starts: list[str]) -> str:
        """The hash of some modules and of all they lead to."""
        together = "".join(
            f"{name} {self.content(name)}\n" for name in sorted(self.closure(starts))
        )
        return hashlib.sha256(together.encode()).hexdigest()[:16]

    def closure(self, starts: list[str]) -> set[str]:
        """The modules that some lead to, themselves included; faces are left out."""
        found: set[str] = set()
        waiting = list(starts)
        while waiting:
            name = waiting.pop()
            if name not in found and not self.is_face(name):
                found.add(name)
                waiting += self.imports(name)
        return found

    def is_face(self, name: str) -> bool:
        """Whether it is the `__init__` of a package."""
        return self.paths[name].name == "__init__.py"

    def _content(self, name: str) -> str:
        tree = ast.parse(self.paths[name].read_text(encoding="utf-8"))
        return hashlib.sha256(dumped(tree).encode()).hexdigest()

    def _imports(self, name: str) -> frozenset[str]:
        tree = ast.parse(self.paths[name].read_text(encoding="utf-8"))
        lead = (self._leads_to(*each) for each in self._named(name, _decisive(tree)))
        return frozenset(module for modules in lead for module in modules)

    def _named(self, name: str, nodes: Iterator[ast.AST]) -> Iterator[tuple[str, str | None]]:
        """(module, name imported from it) of import statements; None imports the module itself."""
        for node in nodes:
            if isinstance(node, ast.Import):
                yield from ((alias.name, None) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                source = self._absolute(name, node)
                yield from ((source, alias.name) for alias in node.names)

    def _absolute(self, name: str, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        up = node.level - self.is_face(name)
        package = name.split(".")[: len(name.split(".")) - up]
        return ".".join([*package, *([node.module] if node.module else [])])

    def _leads_to(self, source: str, wanted: str | None) -> set[str]:
        """The modules that one import leads to; none for what is not ours."""
        if wanted is not None and f"{source}.{wanted}" in self.paths:
            return self._leads_to(f"{source}.{wanted}", None)
        if source not in self.paths:
            return set()
        if not self.is_face(source):
            return {source}
        if source in HOMES and wanted is None:  # `import cwbench`, for its version
            return set()
        return self._through(source, wanted)

    def _through(self, face: str, wanted: str | None) -> set[str]:
        """Where the names of a face come from: one name, or all."""
        tree = ast.parse(self.paths[face].read_text(encoding="utf-8"))
        named = self._named(face, ast.walk(tree))
        chosen = [(m, n) for m, n in named if (wanted in (None, "*") or n == wanted) and m != face]
        return {module for each in chosen for module in self._leads_to(*each)}


def dumped(node: object) -> str:
    """A syntax tree as text: no docstrings, no positions, no empty fields.

    `ast.dump` differs between Python versions in how it writes empty fields.
    """
    if isinstance(node, list):
        return f"[{','.join(map(dumped, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = [(key, value) for key, value in ast.iter_fields(node) if value not in (None, [])]
    if not isinstance(node, ast.Constant):
        fields = [(key, _undocumented(node, key, value)) for key, value in fields]
    else:
        fields = [("value", node.value)]
    return f"{type(node).__name__}({','.join(f'{key}={dumped(v)}' for key, v in fields)})"


def _undocumented(node: ast.AST, key: str, value: object) -> object:
    """The statements of a body without strings that stand alone: docstrings, wherever they are."""
    if key != "body" or not isinstance(value, list):
        return value
    return [each for each in value if not _is_text(each)]


def _is_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _decisive(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those under `if TYPE_CHECKING`."""
    yield node
    skipped = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
    inner = node.orelse if isinstance(node, ast.If) and skipped else ast.iter_child_nodes(node)
    for child in inner:
        yield from _decisive(child)


def _modules(root: Path) -> Iterator[tuple[str, Path]]:
    for package, home in HOMES.items():
        for path in sorted((root / home / package).rglob("*.py")):
            parts = path.relative_to(root / home).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path
