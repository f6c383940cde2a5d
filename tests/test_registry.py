"""Names to classes: listed from metadata, loaded one by one, isolated from each other."""

from __future__ import annotations

import functools
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

import pytest
from pydantic import ValidationError

import cwbench
from cwbench import registry
from cwbench.citations import entries_of
from cwbench.errors import ContractError, CwbenchError, UsageError
from cwbench.metric import Metric, Need
from cwbench.reporting.description import description

SHIPPED = [p for p in registry.plugins() if p.distribution == "cwbench"]
IDS = [f"{p.kind}-{p.name}" for p in SHIPPED]

METHOD = """
from cwbench import Method, MethodInfo
class Outside(Method):
    info = MethodInfo(name="{name}", version=1, title="outside", citation="none")
    def fit(self, data, context): pass
    def sample(self, y, n, generator, nfe=None): raise NotImplementedError
    def state_dict(self): return {{}}
    def load_state_dict(self, state): pass
"""


@pytest.fixture
def distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Install a distribution with one module and entry points for the length of a test."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    modules = []

    def install(name: str, source: str, **groups: dict[str, str]) -> None:
        module = name.replace("-", "_")
        modules.append(module)
        (tmp_path / f"{module}.py").write_text(source)
        info = tmp_path / f"{module}-1.5.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")
        sections = [
            f"[cwbench.{group}]\n" + "".join(f"{n} = {target}\n" for n, target in points.items())
            for group, points in groups.items()
        ]
        (info / "entry_points.txt").write_text("\n".join(sections))
        registry.plugins.cache_clear()

    yield install
    for module in modules:
        sys.modules.pop(module, None)
    registry.plugins.cache_clear()


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["list", "--json"], ["run", "--help"]])
def test_listing_imports_neither_torch_nor_a_plugin(
    python: Callable, distribution: Callable, arguments: list[str]
) -> None:
    distribution("out-there", "raise RuntimeError", methods={"mine": "out_there:Outside"})
    code = (
        "import sys\n"
        "from cwbench.cli.main import main\n"
        f"main({arguments!r}, standalone_mode=False)\n"
        "heavy = {'torch', 'numpy', 'cwbench_tasks', 'cwbench_baselines', 'cwbench.metrics'}\n"
        "print('imported:', sorted((heavy | {'out_there'}) & set(sys.modules)))"
    )
    output = python("-c", code).stdout
    assert output.splitlines()[-1] == "imported: []"
    assert ("mine" in output) == (arguments[0] == "list")


def test_a_plugin_comes_through_the_same_door(distribution: Callable) -> None:
    distribution("out-there", METHOD.format(name="mine"), methods={"mine": "out_there:Outside"})
    loaded = registry.load("method", "mine")
    assert (loaded.distribution, loaded.version) == ("out-there", "1.5")
    assert loaded.cls.info.name == "mine"
    assert "method mine: outside" in description("mine")


@pytest.mark.parametrize(
    ("kind", "typed", "near"),
    [("method", "cotfm", "cot-fm"), ("task", "gaussian-mixtur", "gaussian-mixture"),
     ("metric", "ew2", "ew2sq")],
)  # fmt: skip
def test_near_names_are_suggested(kind: registry.Kind, typed: str, near: str) -> None:
    with pytest.raises(
        UsageError, match=f"unknown {kind} '{typed}'.*Did you mean.*'{near}'.*Avail"
    ):
        registry.load(kind, typed)


def test_a_name_of_another_kind_says_so() -> None:
    with pytest.raises(UsageError, match="'fm' is a method, not a task"):
        registry.load("task", "fm")


@pytest.mark.parametrize("group", ["methods", "tasks"])
def test_a_name_claimed_twice_is_refused_and_no_other(
    distribution: Callable, cli: Callable, run: Callable, group: str
) -> None:
    outside = {group: {"cot-fm": "out_there:Outside", "mine": "out_there:Outside"}}
    distribution("out-there", METHOD.format(name="mine"), **outside)
    with pytest.raises(UsageError, match=r"'cot-fm' is claimed twice: ") as caught:
        registry.load("method", "cot-fm")
    assert "of cwbench (" in str(caught.value)
    assert f"{group[:-1]} of out-there (out_there:Outside)" in str(caught.value)
    assert str(caught.value).endswith("uninstall one of them: pip uninstall out-there")
    names = {plugin.name for plugin in registry.plugins()}
    assert {p.name for p in SHIPPED} | {"mine"} == names | {"cot-fm"}
    assert "cot-fm" not in names
    assert registry.load("method", "fm").cls.info.name == "fm"
    done = cli("list")
    assert done.exit_code == 0
    assert "refused\n  'cot-fm': the name 'cot-fm' is claimed twice" in done.stdout
    assert "  ot-fm " in done.stdout
    assert "uninstall cwbench" not in done.stdout
    rows = json.loads(cli("list", "--json").stdout)
    assert [row["name"] for row in rows if "error" in row] == ["cot-fm"]
    with pytest.raises(UsageError, match="'cot-fm' is a registered name"):
        cwbench.evaluate(lambda *_: None, "gaussian-linear", "smoke", name="cot-fm")


def test_a_metric_that_ranks_and_is_claimed_twice_is_told(
    distribution: Callable, run: Callable
) -> None:
    distribution("out-there", "", metrics={"energy": "out_there:M", "ew2sq": "out_there:M"})
    with pytest.raises(UsageError, match="'ew2sq' is claimed twice"):
        run("prior")


def test_a_run_of_a_name_that_is_refused_is_not_uninstalled(
    distribution: Callable, cli: Callable, run: Callable
) -> None:
    record = run("prior", settings={"preset.samples": 10, "preset.observations": 4})
    distribution("out-there", "", methods={"prior": "out_there:Outside"})
    done = cli("prune", "--uninstalled")
    assert done.exit_code == 0
    assert (record.directory / "record.json").is_file()


def test_a_clash_of_one_package_with_itself_says_to_rename(distribution: Callable) -> None:
    distribution("out-there", "", methods={"mine": "out_there:A"}, tasks={"mine": "out_there:B"})
    told = registry.refused()["mine"]
    assert told.endswith("give one of them another name in the entry points of out-there")


@pytest.mark.parametrize("name", ["Mine", "my_method", "-mine", "a/b", "..", "x" * 64])
def test_a_malformed_name_is_refused_and_no_other(distribution: Callable, name: str) -> None:
    distribution("out-there", "", methods={name: "out_there:Outside", "mine": "out_there:Outside"})
    with pytest.raises(UsageError, match=rf"method of out-there .*{re.escape(name)}.*match"):
        registry.find("method", name)
    assert {p.name for p in registry.plugins()} == {p.name for p in SHIPPED} | {"mine"}


@pytest.mark.parametrize(
    ("file", "text"),
    [("entry_points.txt", "[cwbench.methods]\nno equals sign\n"), ("METADATA", ""),
     ("direct_url.json", "{"), ("direct_url.json", "[]"), ("direct_url.json", '{"dir_info": 3}')],
)  # fmt: skip
def test_metadata_that_cannot_be_read_costs_nobody_else(
    distribution: Callable, tmp_path: Path, file: str, text: str
) -> None:
    distribution("out-there", "", methods={"mine": "out_there:Outside"})
    (tmp_path / "out_there-1.5.dist-info" / file).write_text(text)
    registry.plugins.cache_clear()
    assert {p.name for p in registry.plugins()} - {"mine"} == {p.name for p in SHIPPED}


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("raise RuntimeError('boom')", "RuntimeError: boom"),
        ("import no_such_module", "No module named 'no_such_module'"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("def f(:", "SyntaxError"),
        ("", "AttributeError"),
    ],
)
def test_a_broken_plugin_breaks_nothing_but_itself(
    distribution: Callable, source: str, told: str
) -> None:
    distribution("out-there", source, methods={"mine": "out_there:Outside"})
    assert "mine" in {p.name for p in registry.plugins()}
    assert registry.load("method", "fm").cls.info.name == "fm"
    with pytest.raises(ContractError, match=rf"method 'mine' of out-there 1\.5 .*{told}"):
        registry.load("method", "mine")


def test_check_shows_broken_plugins_and_only_them(
    distribution: Callable, cli: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    distribution("out-there", "raise OSError('boom')", methods={"mine": "out_there:Outside"})
    distribution("way-out", "import os; os._exit(0)", methods={"gone": "way_out:Outside"})
    some = tuple(p for p in registry.plugins() if p.name in ("mine", "gone", "prior", "ew1"))
    monkeypatch.setattr(registry, "plugins", functools.cache(lambda: some))
    result = cli("list", "--check")
    assert result.exit_code == 1
    lines = {line.split()[0]: line for line in result.stdout.splitlines() if line.startswith("  ")}
    assert lines["prior"].endswith("  ok")
    assert lines["ew1"].endswith("  ok")
    assert "BROKEN: its import ended Python, exit status 0" in lines["gone"]
    assert re.search(r"out-there 1\.5  BROKEN: .*OSError: boom", lines["mine"])


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("class Outside: pass", "not a subclass of cwbench.Method"),
        ("Outside = 3", "not a subclass of cwbench.Method"),
        (METHOD.format(name="other"), "registered as 'mine' but calls itself 'other'"),
    ],
)
def test_what_is_not_what_it_says_is_refused(
    distribution: Callable, source: str, told: str
) -> None:
    distribution("out-there", source, methods={"mine": "out_there:Outside"})
    with pytest.raises(ContractError, match=f"out_there:Outside of out-there.*{told}"):
        registry.load("method", "mine")


def test_a_metric_that_does_not_import_breaks_no_run(distribution: Callable, run: Callable) -> None:
    distribution("out-there", "raise RuntimeError('boom')", metrics={"mine": "out_there:Outside"})
    record = run("prior")
    assert record.status == "ok"
    assert "ew2sq" in record.metrics
    with pytest.raises(ContractError, match="metric 'mine' of out-there"):
        run("prior", metrics=["mine"])


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
    source = f"import scale_of_mine\n{METHOD}"
    distribution("in-place", source.format(name="mine"), methods={"mine": "in_place:Outside"})
    info = helper.parent / "in_place-1.5.dist-info"
    (info / "direct_url.json").write_text('{"url": "", "dir_info": {"editable": true}}')
    first = registry.load("method", "mine")
    assert first.source_sha256 == registry.load("method", "mine").source_sha256
    helper.write_text("SCALE = 2.0\n")
    with pytest.raises(ContractError, match=r"in_place changed since .* start Python anew"):
        registry.load("method", "mine")


TASK = """
import torch
from cwbench import JointSamples, Task, TaskInfo, vector_presets
class Shift(Task):
    info = TaskInfo(
        name="shift", version=1, title="shift", main_metric="ew2sq", licence="MIT",
        citation="none", presets={presets},
    )
    x_shape = y_shape = (2,)
    def sample_joint(self, n, generator):
        y = torch.randn(n, 2, generator=generator)
        return JointSamples(self.sample_posterior(y, 1, generator)[:, 0], y)
    def sample_posterior(self, y, n, generator):
        return y[:, None] + torch.randn(len(y), n, 2, generator=generator)
"""


def test_a_task_in_a_file(tmp_path: Path, run: Callable) -> None:
    (tmp_path / "shift.py").write_text(TASK.format(presets="vector_presets()"))
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
    (tmp_path / "shift.py").write_text(TASK.format(presets=presets))
    with pytest.raises(ContractError, match="have to match"):
        registry.load("task", f"{tmp_path}/shift.py:Shift")


def test_a_task_that_cannot_be_made_is_told(tmp_path: Path, run: Callable) -> None:
    broken = "    def __init__(self, params=None): raise KeyError('data')\n"
    (tmp_path / "shift.py").write_text(TASK.format(presets="vector_presets()") + broken)
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
    (tmp_path / "shift.py").write_text(TASK.format(presets="vector_presets()") + changed)
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
    (tmp_path / "shift.py").write_text(TASK.format(presets="vector_presets()") + f"    {body}\n")
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


@pytest.mark.parametrize("plugin", SHIPPED, ids=IDS)
def test_everything_shipped_is_declared_in_full(plugin: registry.Plugin) -> None:
    cls = plugin.load()
    info = cls.info
    assert info.version >= 1
    assert info.contract == 1
    assert len(info.title) > 3
    assert cls.__doc__
    if plugin.kind == "metric":
        assert issubclass(cls, Metric)
        assert info.needs <= set(get_args(Need))
        return
    assert all(field.description for field in cls.Params.model_fields.values())
    with pytest.raises(ValidationError, match="extra"):
        cls.Params(no_such_setting=1)


@pytest.mark.parametrize("plugin", [p for p in SHIPPED if p.kind == "task"], ids=lambda p: p.name)
def test_every_task_declares_licence_metric_and_presets(plugin: registry.Plugin) -> None:
    info = plugin.load().info
    assert info.licence
    assert info.main_metric in {p.name for p in SHIPPED if p.kind == "metric"}
    assert {"smoke", "quick", "standard"} <= set(info.presets)


@pytest.mark.parametrize("plugin", SHIPPED, ids=IDS)
def test_everything_shipped_can_be_described(plugin: registry.Plugin) -> None:
    text = description(plugin.name)
    cls = plugin.load()
    assert text.startswith(f"{plugin.kind} {plugin.name}: {cls.info.title}")
    for field in getattr(cls, "Params", type("None", (), {"model_fields": {}})).model_fields:
        assert f"  {field} = " in text
    for preset in getattr(cls.info, "presets", {}):
        assert f"  {preset}: " in text
    assert text.endswith("\n\n".join(entries_of(cls)))


def test_a_setting_is_described_with_its_range() -> None:
    text = description("gaussian-mixture")
    assert "noise = 0.1  (number, >= 0.0001, <= 10)  standard deviation" in text
    assert "(string, one of partial, full)" in description("cwgan")
    assert "neighbours = auto  (integer, > 0, or auto)" in description("knn")


def test_a_second_copy_further_down_the_path_is_no_clash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, target in (("near", "one:Outside"), ("far", "two:Outside")):
        info = tmp_path / place / "out_there-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: out-there\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[cwbench.methods]\nmine = {target}\n")
    near, far = str(tmp_path / "near"), str(tmp_path / "far")
    monkeypatch.setattr(sys, "path", [near, *sys.path, far])
    registry.plugins.cache_clear()
    try:
        assert registry.find("method", "mine").target == "one:Outside"
    finally:
        registry.plugins.cache_clear()


def test_describe_suggests_near_names() -> None:
    with pytest.raises(CwbenchError, match=r"unknown name 'cotfm'.*'cot-fm'"):
        description("cotfm")
