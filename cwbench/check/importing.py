"""Whether plugins import, each apart from the others and from this process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from cwbench import registry

CHECK_SECONDS = 120
IMPORTED = "all imported"


def import_errors(chosen: Sequence[registry.Plugin]) -> dict[str, str | None]:
    """Import plugins in processes apart; by name what went wrong, or None.

    A process for each distribution, and where that fails one for each of its plugins: starting
    them costs seconds each.
    """
    packages = defaultdict(list)
    for plugin in chosen:
        packages[plugin.distribution].append(plugin)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        together = pool.map(_import_error, packages.values())
        broken = {
            plugin.name
            for plugins, error in zip(packages.values(), together, strict=True)
            if error
            for plugin in plugins
        }
        alone = pool.map(lambda p: _import_error([p]) if p.name in broken else None, chosen)
        return dict(zip((p.name for p in chosen), alone, strict=True))


def _import_error(chosen: Sequence[registry.Plugin]) -> str | None:
    """Import plugins in one process of their own; what went wrong, or None."""
    loads = "; ".join(f"registry.load({p.kind!r}, {p.name!r})" for p in chosen)
    code = f"from cwbench import registry; {loads}; print({IMPORTED!r})"
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter
            [sys.executable, "-c", code],
            capture_output=True, text=True, check=False, timeout=CHECK_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"its import did not end in {CHECK_SECONDS} s"
    if done.returncode == 0 and done.stdout.endswith(f"{IMPORTED}\n"):
        return None
    lines = [line for line in done.stderr.strip().splitlines() if line.strip()]
    return lines[-1] if lines else f"its import ended Python, exit status {done.returncode}"
