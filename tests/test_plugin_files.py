"""Tasks and methods from files: what they have to be, and what belongs to their keys."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from outside import OUTSIDE, SHIFT

import cwbench
from cwbench import registry
from cwbench.errors import ContractError, UsageError

FILE_ERRORS = {
    "no file": (None, "no_such.py:Bad", UsageError, r"no such file: .*\./file\.py:ClassName"),
    "near class": ("class Good(Mine): pass", "mine.py:Godo", UsageError, "Did you mean 'Good'"),
    "raises": ("raise ValueError('boom')", "mine.py:Bad", ContractError, "raises ValueError: boom"),
    "exits": ("raise SystemExit(3)", "mine.py:Bad", ContractError, "raises SystemExit: 3"),
    "wrong base": ("class Good: pass", "mine.py:Good", ContractError, r"not a subclass of cwbench"),
    "abstract": (
        "class Good(Method):\n    info = Mine.info\n    def fit(self, data, context): pass",
        "mine.py:Good", ContractError, "leaves undefined: load_state_dict, sample, state_dict",
    ),
    "no info": (
        "class Good(Mine):\n    info = None", "mine.py:Good", ContractError, "needs an `info`",
    ),
    "other info": (
        "class Good(Mine):\n    info = {'name': 'mine'}",
        "mine.py:Good", ContractError, "needs an `info`, a cwbench.MethodInfo",
    ),
    "bad name": (
        "class Good(Mine):\n    info = MethodInfo('../up', 1, '', '')",
        "mine.py:Good", ContractError, r"names \['\.\./up'\] have to match",
    ),
    "bool version": (
        "class Good(Mine):\n    info = MethodInfo('mine', True, '', '')",
        "mine.py:Good", ContractError, r"info\.version is True, a bool",
    ),
    "text version": (
        "class Good(Mine):\n    info = MethodInfo('mine', '1', '', '')",
        "mine.py:Good", ContractError, r"info\.version is '1', a str",
    ),
    "version 0": (
        "class Good(Mine):\n    info = MethodInfo('mine', 0, '', '')",
        "mine.py:Good", ContractError, r"info\.version is 0; versions count 1, 2, 3",
    ),
    "huge version": (
        "class Good(Mine):\n    info = MethodInfo('mine', 10**5000, '', '')",
        "mine.py:Good", ContractError, r"info\.version is too large a int",
    ),
    "no such role": (
        "class Good(Mine):\n    info = MethodInfo('mine', 1, '', '', role='best')",
        "mine.py:Good", ContractError, r"info\.role is 'best', a str",
    ),
    "number for a title": (
        "class Good(Mine):\n    info = MethodInfo('mine', 1, 3, '')",
        "mine.py:Good", ContractError, r"info\.title is 3, a int",
    ),
    "wrong contract": (
        "class Good(Mine):\n    info = MethodInfo('mine', 1, '', '', contract=2)",
        "mine.py:Good", ContractError, "keeps contract 2; this cwbench knows 1",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FILE_ERRORS)
def test_a_method_in_a_file_keeps_the_contract(
    method_file: Callable, tmp_path: Path, case: str
) -> None:
    head, name, error, told = FILE_ERRORS[case]
    method_file(head=head or "")
    with pytest.raises(error, match=told):
        registry.load("method", f"{tmp_path}/{name}")


def test_a_method_file_is_keyed_by_its_source(method_file: Callable) -> None:
    first = registry.load("method", method_file())
    second = registry.load("method", method_file("x = 1"))
    assert first.source_sha256 != second.source_sha256
    assert first.distribution == "mine.py"


def test_two_classes_of_one_name_in_one_file_do_not_serve_each_other(
    method_file: Callable, run: Callable
) -> None:
    """The source is the same: it does not say which of them was run."""
    typed = method_file("def sample(self, *given): return super().sample(*given) + 9")
    other = typed.replace(":Bad", ":Mine")
    small = {"preset.samples": 10, "preset.observations": 4}
    far, near = run(typed, settings=small), run(other, settings=small)
    assert far.method["name"] == near.method["name"] == "mine"
    assert far.value("ew2sq") > near.value("ew2sq") + 100
    assert registry.load("method", typed).source_sha256 == far.method["source_sha256"]


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module that a method file imports."""
    monkeypatch.syspath_prepend(str(tmp_path))
    path = tmp_path / "scale_of_mine.py"
    path.write_text("SCALE = 1.0\n")
    yield path
    sys.modules.pop("scale_of_mine", None)


def test_what_a_method_file_imports_runs_as_it_is_and_belongs_to_its_key(
    method_file: Callable, helper: Path
) -> None:
    name = method_file("from scale_of_mine import SCALE as scale")
    first = registry.load("method", name)
    assert registry.load("method", name).source_sha256 == first.source_sha256
    helper.write_text("SCALE = 200.0\n")  # another size: Python's own cache cannot hide it
    second = registry.load("method", name)
    assert (first.cls.scale, second.cls.scale) == (1.0, 200.0)
    assert first.source_sha256 != second.source_sha256


def test_an_editable_package_that_changed_after_its_import_is_refused(
    distribution: Callable, helper: Path
) -> None:
    source = f"import scale_of_mine\n{OUTSIDE}"
    distribution("in-place", source.format(name="mine"), methods={"mine": "in_place:Outside"})
    info = helper.parent / "in_place-1.5.dist-info"
    (info / "direct_url.json").write_text('{"url": "", "dir_info": {"editable": true}}')
    first = registry.load("method", "mine")
    assert first.source_sha256 == registry.load("method", "mine").source_sha256
    helper.write_text("SCALE = 2.0\n")
    with pytest.raises(ContractError, match=r"in_place changed since .* start Python anew"):
        registry.load("method", "mine")


def test_a_task_in_a_file(tmp_path: Path, run: Callable) -> None:
    (tmp_path / "shift.py").write_text(SHIFT.format(presets="vector_presets()"))
    record = run("oracle", f"{tmp_path}/shift.py:Shift")
    assert record.status == "ok"
    assert record.task["name"] == "shift"
    entry = record.metrics["ew2sq"]
    assert abs(entry["value"]) < 0.1  # the floor is about 0.2, the prior's score about 2
    assert run("prior", f"{tmp_path}/shift.py:Shift").value("ew2sq") > 0.5
    with pytest.raises(ContractError, match=r"not a subclass of cwbench\.Method"):
        registry.load("method", f"{tmp_path}/shift.py:Shift")


def test_a_preset_cannot_lead_out_of_the_results_directory(tmp_path: Path) -> None:
    presets = "{'../../up': vector_presets()['smoke']}"
    (tmp_path / "shift.py").write_text(SHIFT.format(presets=presets))
    with pytest.raises(ContractError, match="have to match"):
        registry.load("task", f"{tmp_path}/shift.py:Shift")


def test_a_task_that_cannot_be_made_is_told(tmp_path: Path, run: Callable) -> None:
    broken = "    def __init__(self, params=None): raise KeyError('data')\n"
    (tmp_path / "shift.py").write_text(SHIFT.format(presets="vector_presets()") + broken)
    with pytest.raises(ContractError, match="task 'shift' cannot be made: KeyError: 'data'"):
        run("oracle", f"{tmp_path}/shift.py:Shift")


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (r"its names .*'../ew2'.* have to match", {"main_metric": "../ew2"}),
        (r"info\.main_nfe is 0, a int", {"main_nfe": 0}),
        (r"info\.group is None, a NoneType", {"group": None}),
        (r"info\.presets is \{'smoke': 3\}, a dict", {"presets": {"smoke": 3}}),
    ],
)
def test_what_no_record_of_a_task_could_hold_is_refused_at_once(
    tmp_path: Path, told: str, words: dict[str, object]
) -> None:
    changed = f"\n    import dataclasses\n    info = dataclasses.replace(info, **{words!r})\n"
    (tmp_path / "shift.py").write_text(SHIFT.format(presets="vector_presets()") + changed)
    with pytest.raises(ContractError, match=told):
        registry.load("task", f"{tmp_path}/shift.py:Shift")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (
            "main_metric = 'no such'",
            "main_metric of task 'shift' is 'no such', no name of a metric",
        ),
        ("def fingerprint(self): return 7", "fingerprint of task 'shift' returns int, not str"),
    ],
)
def test_what_an_instance_says_for_the_record_is_checked(
    tmp_path: Path, run: Callable, body: str, told: str
) -> None:
    (tmp_path / "shift.py").write_text(SHIFT.format(presets="vector_presets()") + f"    {body}\n")
    with pytest.raises(ContractError, match=told):
        run("oracle", f"{tmp_path}/shift.py:Shift")


def test_a_file_method_called_like_an_installed_one_is_shown_with_its_file(
    method_file: Callable, run: Callable, results: Path
) -> None:
    """Beside it, in every table; and it is no control that others are scaled by."""
    small = {"preset.samples": 10, "preset.observations": 4}
    own = run(method_file("info = MethodInfo('prior', 1, '', '', role='lower')"), settings=small)
    mine = run(method_file(name="other.py"), settings=small)
    assert (own.label, mine.label) == ("prior [mine.py]", "mine")
    alone = cwbench.leaderboard(results, metric="ew2sq")
    assert alone.scaled.isna().all()
    installed = run("prior", settings=small)
    assert installed.label == "prior"
    board = cwbench.leaderboard(results, metric="ew2sq").set_index("method")
    assert set(board.index) == {"prior", "prior [mine.py]", "mine"}
    assert board.scaled["prior"] == pytest.approx(0, abs=1e-12)
    assert abs(board.scaled["prior [mine.py]"]) > 1e-9
