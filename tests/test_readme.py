"""The README names what there is: tasks, methods and make targets; `test_docs` runs its code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cwbench import registry

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("kind", ["task", "method"])
def test_tables_name_everything_that_ships(kind: str) -> None:
    shipped = [p.name for p in registry.plugins() if p.kind == kind and p.distribution == "cwbench"]
    assert all(f"`{name}`" in README for name in shipped)


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"make ([a-z-]+)", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
