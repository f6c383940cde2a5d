"""Dependencies are bounded by what was tested; a deprecation elsewhere stops nobody's tests."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
LOWEST_RUN = ("images", "multi", "features", "tensorboard", "test")
"""The extras that `make test-lowest` installs."""


def requirements(*extras: str) -> list[Requirement]:
    texts = [*PROJECT["dependencies"], *(text for extra in extras for text in EXTRAS[extra])]
    return [found for text in texts if (found := Requirement(text)).name != "cwbench"]


def constraints(name: str) -> dict[str, Requirement]:
    lines = (line.partition("#")[0].strip() for line in (ROOT / name).read_text().splitlines())
    return {canonicalize_name(r.name): r for r in map(Requirement, filter(None, lines))}


def version_of(requirement: Requirement) -> str:
    (specifier,) = requirement.specifier
    assert specifier.operator == "==", requirement
    return specifier.version


def test_what_make_installs_lies_within_the_bounds() -> None:
    tested = constraints("constraints.txt")
    for wanted in requirements(*EXTRAS):
        if wanted.name not in ("torch", "torchvision"):  # bounded there: their builds differ
            assert wanted.specifier.contains(version_of(tested[canonicalize_name(wanted.name)]))


def test_every_lower_bound_is_a_version_that_was_run() -> None:
    lowest = constraints("constraints-lowest.txt")
    for wanted in requirements(*LOWEST_RUN):
        least = [s.version for s in wanted.specifier if s.operator == ">="]
        pinned = version_of(lowest[canonicalize_name(wanted.name)])
        assert len(least) == 1, wanted
        assert Requirement(f"{wanted.name}~={least[0]}.0").specifier.contains(pinned), wanted
        assert wanted.specifier.contains(pinned), wanted


def test_the_extra_dev_has_all_others() -> None:
    (whole,) = (r for text in EXTRAS["dev"] if (r := Requirement(text)).name == "cwbench")
    assert whole.extras == set(EXTRAS) - {"dev"}


WARNS = "import warnings\nwarnings.warn('soon gone', {category}, stacklevel=1)\n"


@pytest.mark.parametrize(
    ("module", "category", "options", "passes"),
    [
        ("elsewhere", "DeprecationWarning", [], True),
        ("elsewhere", "FutureWarning", [], True),
        ("elsewhere", "DeprecationWarning", ["-W", "error"], False),  # as CI runs it
        ("cwbench_mine", "RuntimeWarning", [], False),
    ],
)
def test_deprecations_of_third_parties_are_told_and_not_fatal(
    tmp_path: Path, module: str, category: str, options: list[str], passes: bool
) -> None:
    (tmp_path / f"{module}.py").write_text(WARNS.format(category=category))
    (tmp_path / "test_it.py").write_text(f"def test_it():\n    import {module}\n")
    config = (ROOT / "pyproject.toml").read_text().replace('"tests", "."', f'"{tmp_path}"')
    (tmp_path / "pyproject.toml").write_text(config)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        *options,
        "test_it.py",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) is passes, done.stdout
    assert "soon gone" in done.stdout
