"""`info.citation` in its three forms, and the file that built-ins take their papers from."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pytest

from cwbench import registry
from cwbench.citations import REFERENCES, SUITE, entries, entries_of, in_text, key_of, references
from cwbench.errors import ContractError

SHIPPED = [p for p in registry.plugins() if p.distribution == "cwbench"]
ONE = "@misc{one, title = {One {T}wo}, year = {2026}}"
TWO = "@book{two,\n  title = {Two},\n  year  = 2025\n}"


@pytest.mark.parametrize("plugin", SHIPPED, ids=[p.name for p in SHIPPED])
def test_built_ins_name_keys_of_the_references(plugin: registry.Plugin) -> None:
    cls = plugin.load()
    named = re.split(r"[\s,]+", cls.info.citation)
    assert [key_of(entry) for entry in entries_of(cls)] == named


def test_the_references_are_sorted_complete_and_all_cited() -> None:
    text = REFERENCES.read_text()
    found = [key_of(entry) for entry in in_text(text)]
    assert found == sorted(set(found))
    assert "\n\n".join(in_text(text)) + "\n" == text
    assert all(re.search(r"author\s*= \{", entry) for entry in in_text(text))
    cited = {key_of(e) for plugin in SHIPPED for e in entries_of(plugin.load())}
    assert set(found) == cited - {"cwbench"}


def test_keys_stand_apart_by_commas_or_spaces_and_the_suite_has_one(tmp_path: Path) -> None:
    lipman, karras = references()["lipman2023flow"], references()["karras2022elucidating"]
    assert lipman.startswith("@inproceedings{lipman2023flow,")
    for written in (
        "lipman2023flow, karras2022elucidating",
        "lipman2023flow karras2022elucidating",
    ):
        assert entries(written, tmp_path) == [lipman, karras]
    assert entries("cwbench", tmp_path) == [SUITE]
    assert entries("", tmp_path) == []


def test_bibtex_is_cut_into_its_entries(tmp_path: Path) -> None:
    assert entries(f"\n{ONE}\n\nbetween\n{TWO}  ", tmp_path) == [ONE, TWO]


def test_a_file_lies_beside_the_class_whatever_the_working_folder(tmp_path: Path) -> None:
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "mine.bib").write_text(f"% mine\n{ONE}\n{TWO}\n")
    (tmp_path / "plugin.py").write_text(
        "class Mine:\n    class info:\n        name, citation = 'mine', 'papers/mine.bib'\n"
    )
    spec = importlib.util.spec_from_file_location("plugin_with_a_bib", tmp_path / "plugin.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, spec.name, module)
        assert entries_of(module.Mine) == [ONE, TWO]


@pytest.mark.parametrize(
    ("citation", "reason"),
    [
        ("Somebody, 2026", "none of BibTeX.*unknown key 'Somebody'"),
        ("lipmann2023flow", "Did you mean 'lipman2023flow'"),
        ("@misc{one, title = {One}, year = {2026}", "closes not all of its braces"),
        ("@misc{one, title = {One}}", "names no year"),
        ("@misc{title = {One}, year = {2026}}", "without key or fields"),
        ("@misc{one, year = , 2026}", "without key or fields"),
        ("absent.bib", "absent.bib cannot be read"),
    ],
)
def test_what_cannot_be_read_says_why(citation: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=reason):
        entries(citation, tmp_path)


def test_a_file_without_entries_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.bib").write_text("nothing here\n")
    with pytest.raises(ContractError, match="no BibTeX entry"):
        entries("empty.bib", tmp_path)
