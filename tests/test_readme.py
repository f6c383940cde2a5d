"""The README is a page and names what there is; `test_docs` runs its code."""

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
    missing = [name for name in shipped if f"`{name}`" not in README]
    assert not missing, f"the README's table of {kind}s has no row of {missing}"


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"make ([a-z-]+)", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_it_is_read_in_a_hurry() -> None:
    assert len(README.splitlines()) <= 200


def test_it_goes_from_what_it_is_to_links() -> None:
    order = ["Install and run", "What it says", "Leaderboard", "Tasks", "Methods", "From Python",
             "Add a method", "Links"]  # fmt: skip
    assert re.findall(r"^## (.+)$", README, re.MULTILINE) == order
    picture, first = README.index("!["), README.index("## ")
    assert picture < first
