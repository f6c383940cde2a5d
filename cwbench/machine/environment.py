"""Where a run ran: versions, machine, threads. Recorded, never part of a key."""

from __future__ import annotations

import functools
import hashlib
import platform
import subprocess
import sys
from importlib.metadata import distributions, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from cwbench.errors import UsageError
from cwbench.machine import processes
from cwbench.machine.cpu import torch_threads

if TYPE_CHECKING:
    import torch


def device_of(name: str) -> torch.device:
    """The device for `auto|cpu|cuda|mps`.

    Raises:
        UsageError: if it is not one of these, or is not on this machine.
    """
    import torch

    present = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if name == "auto":
        return torch.device(next(d for d in ("cuda", "mps", "cpu") if present[d]))
    if name not in present:
        raise UsageError(f"unknown device {name!r}; choose auto, cpu, cuda or mps")
    if not present[name]:
        raise UsageError(
            f"device {name!r} is not available here (torch {torch.__version__}); "
            "choose --device cpu, or leave it out"
        )
    return torch.device(name)


def describe(device: torch.device, parallel: int = 1) -> dict[str, Any]:
    """The `environment` of a record."""
    import torch

    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return machine() | {
        "torch": torch.__version__,
        "device": device.type,
        "gpu": gpu,
        "driver": torch.version.cuda if gpu else None,
        "threads": torch_threads(),
        "world_size": processes.size(),
        "parallel": parallel if parallel > 1 else False,
    }


def machine() -> dict[str, Any]:
    """The part of `environment` that is known without importing torch; the rest is None."""
    commit, dirty = _git()
    return {
        "cwbench": version("cwbench"),
        "git": commit,
        "dirty": dirty,
        "python": platform.python_version(),
        "torch": version("torch"),
        "packages_sha256": _packages_sha256(),
        "device": None,
        "cpu": _cpu(),
        "gpu": None,
        "driver": None,
        "threads": None,
        "world_size": 1,
        "parallel": False,
        "platform": platform.platform(),
    }


def peak_memory_bytes(device: torch.device) -> int:
    """Largest memory of the device, or of this process on the CPU, so far."""
    if device.type == "cuda":
        import torch

        return int(torch.cuda.max_memory_allocated(device))
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@functools.cache  # as it was when this process imported its modules
def _git() -> tuple[str | None, bool | None]:
    """Commit and state of the checkout cwbench is imported from, if it is one."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None, None
    try:
        commit = _git_output(root, "rev-parse", "HEAD")
        status = _git_output(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return None, None
    return commit.strip(), bool(status.strip())


def _git_output(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603 - fixed words


@functools.cache  # reading the metadata of all packages takes as long as a small run
def _packages_sha256() -> str:
    metadata = (distribution.metadata for distribution in distributions())  # parsed at each access
    packages = sorted({f"{m['Name']}=={m['Version']}" for m in metadata})
    return hashlib.sha256("\n".join(packages).encode()).hexdigest()


def _cpu() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
