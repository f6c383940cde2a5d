"""Which records are of an older task, method or metric than is installed.

Importing a plugin to ask for its version would take a table's time several times over, so the
version is read from the source: the `version` in the `info` of the class, or of what it inherits
from or calls. What cannot be read so, or is not installed, counts as up to date.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

from cwbench import registry


@functools.cache
def installed(kind: registry.Kind, name: str) -> int | None:
    """The version of a plugin as its source has it; None where that is not known."""
    target = next((p.target for p in registry.plugins() if (p.kind, p.name) == (kind, name)), "")
    module, _, cls = target.partition(":")
    path = _source(module)
    return _in_class(_module(path), cls) if path else None


MARK = "†"


def older(kind: registry.Kind, name: str, version: int) -> str:
    """`name 1 (now 2)` for a record of version 1 where 2 is installed, else empty."""
    current = installed(kind, name)
    return f"{name} {version} (now {current})" if current is not None and version < current else ""


def explained(found: Iterable[str]) -> str:
    """The line below a table that says what is marked; empty where nothing is."""
    told = ", ".join(dict.fromkeys(each for each in found if each))
    return f"{MARK} of an older version than is installed: {told}" if told else ""


def _source(module: str) -> Path | None:
    """The file of a module, found without importing the packages above it."""
    package, *below = module.split(".")
    try:
        spec = find_spec(package) if package else None
    except (ImportError, ValueError):
        return None
    for root in (spec.submodule_search_locations or []) if spec else []:
        place = Path(root, *below)
        for path in (place.with_suffix(".py"), place / "__init__.py"):
            if path.is_file():
                return path
    origin = spec.origin if spec and not below else None
    return Path(origin) if origin and origin.endswith(".py") else None


class Module:
    """The classes and functions of a file by name, also those it takes from other modules."""

    def __init__(self, path: Path) -> None:
        try:
            body = ast.parse(path.read_text(encoding="utf-8")).body
        except (OSError, SyntaxError, ValueError):
            body = []
        self.own = {n.name: n for n in body if isinstance(n, (ast.ClassDef, ast.FunctionDef))}
        self.taken = {
            each.asname or each.name: (line.module or "", each.name)
            for line in body
            if isinstance(line, ast.ImportFrom) and not line.level
            for each in line.names
        }

    def found(self, name: str) -> tuple[Module, ast.AST | None]:
        """What a name stands for, with the module it is in."""
        if name not in self.taken:
            return self, self.own.get(name)
        module, its_name = self.taken[name]
        path = _source(module)
        return (_module(path), _module(path).own.get(its_name)) if path else (self, None)


_module = functools.cache(Module)


def _in_class(module: Module, name: str) -> int | None:
    """The version in a class's `info`, or in that of the classes it names as its bases."""
    home, node = module.found(name)
    if not isinstance(node, ast.ClassDef):
        return None
    for value in _values_of_info(node):
        return _in_call(home, value)
    found = (_in_class(home, base.id) for base in node.bases if isinstance(base, ast.Name))
    return next((version for version in found if version is not None), None)


def _values_of_info(node: ast.ClassDef) -> Iterator[ast.AST]:
    for line in node.body:
        if isinstance(line, (ast.Assign, ast.AnnAssign)) and line.value is not None:
            targets = line.targets if isinstance(line, ast.Assign) else [line.target]
            if any(isinstance(each, ast.Name) and each.id == "info" for each in targets):
                yield line.value


def _in_call(module: Module, call: ast.AST) -> int | None:
    """`version=...` among its words, else in the function that it calls."""
    if not isinstance(call, ast.Call):
        return None
    word = _version_word(call)
    if word is not None or not isinstance(call.func, ast.Name):
        return _whole(word)
    _, function = module.found(call.func.id)
    if not isinstance(function, ast.FunctionDef):
        return None
    words = [_version_word(each) for each in ast.walk(function)]
    word = next((each for each in words if each is not None), None)
    if isinstance(word, ast.Name):  # one of its own, which this call leaves at its default
        word = _defaults(function.args).get(word.id)
    return _whole(word)


def _version_word(node: ast.AST) -> ast.AST | None:
    words = node.keywords if isinstance(node, ast.Call) else []
    return next((word.value for word in words if word.arg == "version"), None)


def _whole(node: ast.AST | None) -> int | None:
    value = node.value if isinstance(node, ast.Constant) else None
    return value if isinstance(value, int) else None


def _defaults(arguments: ast.arguments) -> dict[str, ast.AST]:
    placed = [*arguments.posonlyargs, *arguments.args]
    count = len(arguments.defaults)
    pairs = [*zip(placed[len(placed) - count :], arguments.defaults, strict=True)]
    named = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    return {a.arg: value for a, value in [*pairs, *named] if value is not None}
