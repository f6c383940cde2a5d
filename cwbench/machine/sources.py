"""The hash of a plugin's source: its file and every module that can change in place with it.

A module counts if the plugin's file imports it, directly or not, inside functions too, and it lies
neither in the standard library nor among the installed packages (those have a version) nor in
cwbench. Imports are read from the syntax tree, so a module that is named only at run time
(`importlib.import_module(name)`) is not seen, nor is a data file.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import site
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path

OURS = ("cwbench", "cwbench_tasks", "cwbench_baselines")
"""Packages whose changes their version and `results/numbers.csv` tell."""


def source_sha256(path: Path, name: str) -> str:
    """The SHA-256 of a file that imports nothing of its own, else of that and what it imports.

    Args:
        path: of the module that defines the plugin.
        name: of that module, by which it resolves relative imports.
    """
    found = modules_of(path, name)
    if len(found) == 1:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    digests = digests_of(found)
    lines = (f"{each if each != name else ''} {digests[each]}\n" for each in sorted(found))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def digests_of(modules: Mapping[str, Path]) -> dict[str, str]:
    """The SHA-256 of the files of modules that are there, by module name."""
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in modules.items()
        if path.is_file()
    }


def modules_of(path: Path, name: str) -> dict[str, Path]:
    """The files of a module and of what it imports that can change in place, by module name."""
    found = {name: path}
    waiting = [name]
    while waiting:
        importing = waiting.pop()
        for wanted in _imported(found[importing], importing):
            for each, file in _files(wanted):
                if each not in found:
                    found[each] = file
                    waiting.append(each)
    return found


def _imported(path: Path, name: str) -> Iterator[str]:
    """The dotted names that a file imports; of `from a import b` both `a` and `a.b`."""
    with suppress(SyntaxError):  # its import says so better
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                source = _absolute(node, name, is_package=path.name == "__init__.py")
                yield source
                yield from (f"{source}.{alias.name}" for alias in node.names)


def _absolute(node: ast.ImportFrom, name: str, *, is_package: bool) -> str:
    """The module that is imported from, whose leading dots count up from the importing one."""
    if not node.level:
        return node.module or ""
    parts = name.split(".")
    kept = len(parts) - node.level + is_package
    if kept < 1:  # beyond the top: Python refuses it, whatever module bears that name
        return ""
    package = parts[:kept]
    return ".".join([*package, *([node.module] if node.module else [])])


def _files(dotted: str) -> Iterator[tuple[str, Path]]:
    """The modules that an import of this name runs, packages first, as far as they can change."""
    top, *rest = dotted.split(".")
    folders: list[Path] = []
    for place, part in enumerate([top, *rest]):
        name = ".".join([top, *rest[:place]])
        file, folders = _top(top) if not place else _within(folders, part)
        if file is not None:
            yield name, file
        elif not folders:
            return


def _top(name: str) -> tuple[Path | None, list[Path]]:
    """The file of a top-level module and the folders of its submodules, if it can change."""
    if not name or name in OURS or name in sys.stdlib_module_names:
        return None, []
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):  # not there, or made by hand
        spec = None
    if spec is None:
        return None, []
    file = Path(spec.origin) if spec.has_location and spec.origin else None
    folders = [Path(p) for p in spec.submodule_search_locations or ()]
    if any(_installed(each) for each in ([file] if file else folders)):
        return None, []
    return file if file and file.suffix == ".py" else None, folders


def _within(folders: list[Path], part: str) -> tuple[Path | None, list[Path]]:
    """The file of a submodule and the folders of its own submodules."""
    for folder in folders:
        if (folder / part / "__init__.py").is_file():
            return folder / part / "__init__.py", [folder / part]
        if (folder / f"{part}.py").is_file():
            return folder / f"{part}.py", []
    return None, [folder / part for folder in folders if (folder / part).is_dir()]


def _installed(path: Path) -> bool:
    return any(path.resolve().is_relative_to(home) for home in _homes())


@cache
def _homes() -> tuple[Path, ...]:
    """Where the standard library and installed packages lie."""
    paths = sysconfig.get_paths()
    typed = [paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")]
    typed += [*site.getsitepackages(), site.getusersitepackages()]
    typed += [p for p in sys.path if Path(p).name in ("site-packages", "dist-packages")]
    return tuple({Path(each).resolve() for each in typed})
