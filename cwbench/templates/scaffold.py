"""A new plugin: a small package that works as written, from the files in `templates/`.

Distribution and module carry the prefix `cwbench`, so that a plugin called `torch` shadows nothing.
"""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from cwbench import registry
from cwbench.declared import NAME
from cwbench.errors import UsageError

TEMPLATES = Path(__file__).parent


def create(kind: registry.Kind, name: str, output: Path | None = None, sees: str = "pairs") -> Path:
    """Write the package of a new plugin, whole or not at all; its directory.

    Args:
        kind: `method`, `task` or `metric`.
        name: of the plugin, as in `cwbench run --method NAME`.
        output: the directory to make; default `./NAME`.
        sees: of a method, `pairs` or `operator`.

    Raises:
        UsageError: if the name is malformed or taken, the directory exists or cannot be made, or
            something other than a method is to see more than pairs.
    """
    if sees != "pairs" and kind != "method":
        raise UsageError(f"a {kind} sees no {sees}; --sees is for a new method")
    module = f"cwbench_{name.replace('-', '_')}"
    _refuse_name(name, module)
    directory = output or Path(name)
    if directory.exists() or directory.is_symlink():
        raise UsageError(f"{str(directory)!r} exists; name another directory with --output DIR")
    words = {
        "plugin-name": name,
        "plugin-distribution": f"cwbench-{name.strip('-')}",
        "plugin-year": str(datetime.now(UTC).year),
        "plugin_module": module,
        "PluginClass": class_name(kind, name),
    }
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=directory.parent, prefix=".new-") as temporary:
            whole = Path(temporary) / "package"
            _write(TEMPLATES / kind, whole, words)
            if sees != "pairs":  # the files in which such a method differs
                _write(TEMPLATES / f"{kind}-{sees}", whole, words)
            whole.rename(directory)
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(f"{str(directory)!r} cannot be written: {reason}") from error
    return directory


def class_name(kind: str, name: str) -> str:
    """`two-moons` as `TwoMoonsTask`, `8-gaussians` as `Task8Gaussians`."""
    camel = "".join(part.capitalize() for part in name.split("-"))
    return f"{camel}{kind.capitalize()}" if camel[0].isalpha() else f"{kind.capitalize()}{camel}"


def _refuse_name(name: str, module: str) -> None:
    if not NAME.fullmatch(name):
        raise UsageError(f"the name {name!r} does not match {NAME.pattern}; e.g. my-method")
    registry.refuse_clash(name)
    taken = [p for p in registry.plugins() if p.name == name]
    if taken:
        raise UsageError(f"{name!r} is a {taken[0].kind} of {taken[0].distribution}; name another")
    if importlib.util.find_spec(module) is not None:
        raise UsageError(f"{name!r} needs a module {module}, and there is one; name another")


def _write(template: Path, directory: Path, words: dict[str, str]) -> None:
    """Copy a template with its words replaced, in contents and in the names of files."""
    for source in sorted(template.rglob("*")):
        if source.is_dir() or "__pycache__" in source.parts:
            continue
        relative = source.relative_to(template).as_posix().replace("dot-", ".")
        target = directory / _filled(relative, words)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_filled(source.read_text(encoding="utf-8"), words), encoding="utf-8")
        shutil.copymode(source, target)


def _filled(text: str, words: dict[str, str]) -> str:
    for word, replacement in words.items():
        text = text.replace(word, replacement)
    return text
