"""The hash of a plugin covers its file and what that imports, as long as it can change in place."""

import hashlib
from pathlib import Path

import pytest

from cwbench.machine.sources import modules_of, source_sha256

FILES = {
    "mine.py": "import math, torch, cwbench, cwbench_baselines.knn\nfrom helper import f\n",
    "helper.py": "def f():\n    from parts.deep import g\n    return g()\n",
    "parts/__init__.py": "",
    "parts/deep.py": "from . import near\nfrom .near import h as g\nfrom ..outside import x\n",
    "parts/near.py": "import parts\nh = abs\n",
    "parts/unused.py": "",
    "loose/module.py": "",  # of a namespace package
    "unused.py": "",
    "outside.py": "",  # two dots in parts/deep.py point above its top: no import of this
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def names(folder: Path) -> set[str]:
    found = modules_of(folder / "mine.py", "mine")
    return {str(path.relative_to(folder)) for path in found.values()}


def test_imports_are_followed_into_functions_and_packages_but_not_into_what_is_installed(
    folder: Path,
) -> None:
    assert names(folder) == {
        "mine.py", "helper.py", "parts/__init__.py", "parts/deep.py", "parts/near.py"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("line", "file"),
    [
        ("import loose.module", "loose/module.py"),
        ("from loose import module", "loose/module.py"),
        ("from parts import unused, deep", "parts/unused.py"),
        ("import unused as u", "unused.py"),
    ],
)
def test_every_form_of_import_leads_to_its_file(folder: Path, line: str, file: str) -> None:
    assert file not in names(folder)
    (folder / "mine.py").write_text(f"{FILES['mine.py']}{line}\n")
    assert file in names(folder)


def test_a_file_alone_has_its_own_hash_which_a_user_can_compute(tmp_path: Path) -> None:
    path = tmp_path / "alone.py"
    path.write_text("import torch\n")
    assert source_sha256(path, "alone") == hashlib.sha256(b"import torch\n").hexdigest()


@pytest.mark.parametrize("file", ["mine.py", "helper.py", "parts/__init__.py", "parts/near.py"])
def test_an_edit_anywhere_in_it_changes_the_hash(folder: Path, file: str) -> None:
    before = source_sha256(folder / "mine.py", "mine")
    (folder / "unused.py").write_text("x = 1")
    assert source_sha256(folder / "mine.py", "mine") == before
    (folder / file).write_text(f"{FILES[file]}x = 1\n")
    assert source_sha256(folder / "mine.py", "mine") != before


def test_a_file_that_does_not_parse_is_hashed_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("import (")
    assert set(modules_of(path, "broken")) == {"broken"}
