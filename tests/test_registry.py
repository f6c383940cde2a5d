"""Names to classes: listed from metadata, loaded one by one, isolated from each other."""

from __future__ import annotations

import functools
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
from outside import OUTSIDE
from pydantic import ValidationError

import cwbench
from cwbench import registry
from cwbench.citations import entries_of
from cwbench.errors import ContractError, CwbenchError, UsageError
from cwbench.metric import Metric, Need
from cwbench.reporting.description import description

SHIPPED = [p for p in registry.plugins() if p.distribution == "cwbench"]
IDS = [f"{p.kind}-{p.name}" for p in SHIPPED]


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
    distribution("out-there", OUTSIDE.format(name="mine"), methods={"mine": "out_there:Outside"})
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
    distribution("out-there", OUTSIDE.format(name="mine"), **outside)
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
        (OUTSIDE.format(name="other"), "registered as 'mine' but calls itself 'other'"),
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


def test_a_file_that_misses_the_module_beside_it_says_what_to_type(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import helper_of_mine.parts\n")
    with pytest.raises(ContractError) as told:
        registry.load("method", f"{tmp_path}/mine.py:Mine")
    assert "PYTHONPATH" not in str(told.value)
    (tmp_path / "helper_of_mine").mkdir()
    with pytest.raises(ContractError, match=f"put PYTHONPATH={tmp_path} before the command"):
        registry.load("method", f"{tmp_path}/mine.py:Mine")
