"""A sweep from a TOML file: its keys are the long flags of `cwbench sweep` without the dashes.

task = ["gaussian-mixture", "two-moons"]
method = ["fm", "cot-fm"]
preset = "quick"
seeds = "0-4"
jobs = 2

[set]
"method.beta" = [1, 10, 100]
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cwbench.errors import UsageError, unknown
from cwbench.machine.files import contents

TABLES = ("set", "slurm")
FLAGS = ("force", "longer", "keep-samples", "quiet", "json", "dry-run")
LISTS = ("task", "method", "seeds", "nfe", "metrics", "gpus", "retry")


def read(path: Path, keys: Iterable[str]) -> dict[str, Any]:
    """What a file says, by key.

    Args:
        path: the file.
        keys: those that are allowed.

    Raises:
        UsageError: if it cannot be read, or has an unknown key or a value of the wrong kind.
    """
    try:
        content = tomllib.loads(contents(path).decode())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{str(path)!r} cannot be read as a TOML file: {error}") from None
    allowed = sorted(keys)
    for key, value in content.items():
        if key not in allowed:
            raise unknown(f"key in {path.name}", key, allowed)
        _check_kind(path.name, key, value)
    for table in TABLES:
        if table in content:
            content[table] = _flat(content[table])
    return content


def _check_kind(file: str, key: str, value: Any) -> None:
    """Refuse a value whose kind the key does not take."""
    wanted, kinds = _wanted(key)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise UsageError(f"{key} in {file} is {value!r}; {wanted} is needed")


def _wanted(key: str) -> tuple[str, tuple[type, ...]]:
    if key in TABLES:
        return f"a table, [{key}],", (dict,)
    if key in FLAGS:
        return "true or false", (bool,)
    if key in LISTS:
        return "a text, a number or a list of them", (str, int, float, list)
    return "a text or a number", (str, int, float)


def _flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """`[set.method] beta = 1` as `method.beta`."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
