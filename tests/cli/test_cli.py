"""The program: exit codes, one JSON document, nothing computed twice, errors that help."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.shell_completion import ShellComplete

import cwbench
from cwbench import registry
from cwbench.cli.main import main
from cwbench.records.frame import load_records
from cwbench.records.runs import single_writer
from cwbench.reporting import run_figures

RUN = ("run", "--task", "gaussian-linear", "--preset", "smoke")
FM = (*RUN, "--method", "fm", "--set", "preset.steps=20")


def files(results: Path) -> dict[Path, tuple[int, bytes]]:
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes())
        for path in results.rglob("*")
        if path.is_file()
    }


def only(results: Path, name: str) -> Path:
    (path,) = results.rglob(name)
    return path


@pytest.mark.parametrize(("words", "drawn"), [([], 1), (["--no-figures"], 0)])
def test_figures_are_drawn_unless_asked_otherwise(
    cli: Callable, results: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], drawn: int
) -> None:
    calls: list[object] = []
    monkeypatch.setattr(run_figures, "draw", lambda *given: calls.append(given) or [])
    assert cli(*RUN, "--method", "prior", *words).exit_code == 0
    assert len(calls) == drawn


def test_a_run_prints_its_table_and_where_it_is(cli: Callable, results: Path) -> None:
    result = cli(*RUN, "--method", "prior")
    assert result.exit_code == 0
    assert "gaussian-linear / prior / smoke / seed 0: ok" in result.stdout
    assert "ew2sq" in result.stdout
    assert str(only(results, "record.json")) in result.stdout
    assert "ok" in only(results, "log.txt").read_text()


def test_json_is_the_record_and_nothing_else(
    cli: Callable, results: Path, method_file: Callable
) -> None:
    noisy = method_file("def fit(self, data, context): print('fitting!')", "print('imported!')")
    result = cli(*RUN, "--method", noisy, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["method"]["name"] == "mine"
    assert result.stdout == only(results, "record.json").read_text()
    assert "imported!" in result.stderr
    assert "fitting!" in result.stderr


def test_json_of_a_failure_is_its_record(cli: Callable, method_file: Callable) -> None:
    result = cli(*RUN, "--method", method_file("def fit(self, data, context): 1 / 0"), "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["status"] == "failed"
    assert "ZeroDivisionError" in result.stderr


def test_the_same_command_again_computes_nothing(cli: Callable, results: Path) -> None:
    first = cli(*FM, "--json")
    before = files(results)
    second = cli(*FM, "--json")
    assert files(results) == before
    assert first.stdout == second.stdout


def test_a_new_nfe_is_added_without_a_fit(cli: Callable, results: Path) -> None:
    old = json.loads(cli(*FM, "--json").stdout)
    model = only(results, "model.safetensors")
    stamp = model.stat().st_mtime_ns
    new = json.loads(cli(*FM, "--nfe", "5", "--json").stdout)
    assert model.stat().st_mtime_ns == stamp
    assert "fitted before" in only(results, "log.txt").read_text()
    added = set(new["metrics"]) - set(old["metrics"])
    assert {i.partition("@")[2] for i in added} == {"nfe=5"}
    assert {i: new["metrics"][i] for i in old["metrics"]} == old["metrics"]
    assert set(new["cost"]["sampling"]) == {"1", "3", "5", "adaptive"}
    assert new["cost"]["sampling"]["3"] == old["cost"]["sampling"]["3"]
    assert new["cost"]["sampling"]["5"]["evaluations"] == 5
    assert new["cost"]["fit_seconds"] == old["cost"]["fit_seconds"]


def test_what_is_added_is_what_a_fresh_run_gets(cli: Callable, tmp_path: Path) -> None:
    cli(*FM, "--nfe", "1", "--results", tmp_path / "a")
    added = json.loads(cli(*FM, "--nfe", "1,5", "--results", tmp_path / "a", "--json").stdout)
    fresh = json.loads(cli(*FM, "--nfe", "1,5", "--results", tmp_path / "b", "--json").stdout)
    assert added["metrics"] == fresh["metrics"]


def test_force_fits_again_with_the_same_numbers(cli: Callable, results: Path) -> None:
    old = json.loads(cli(*FM, "--json").stdout)
    model = only(results, "model.safetensors")
    inode = model.stat().st_ino, model.stat().st_mtime_ns
    new = json.loads(cli(*FM, "--force", "--json").stdout)
    assert (model.stat().st_ino, model.stat().st_mtime_ns) != inode
    assert new["metrics"] == old["metrics"]


def test_a_failed_run_is_tried_again(cli: Callable, results: Path, tmp_path: Path) -> None:
    switch = tmp_path / "switch"
    source = f"""
    def fit(self, data, context):
        import pathlib
        if not pathlib.Path({str(switch)!r}).exists(): raise RuntimeError("not yet")
    """
    method = _write(tmp_path, source)
    assert cli(*RUN, "--method", method).exit_code == 1
    switch.touch()
    assert cli(*RUN, "--method", method).exit_code == 0
    assert load_records(results).status.unique().tolist() == ["ok"]


def _write(tmp_path: Path, body: str) -> str:
    path = tmp_path / "late.py"
    path.write_text(
        "import torch\nfrom cwbench_baselines.controls import Prior\n"
        "from cwbench import MethodInfo\nclass Late(Prior):\n"
        "    info = MethodInfo('late', 1, 'late', '', needs=frozenset({'simulator'}))\n" + body
    )
    return f"{path}:Late"


WRONG = {
    "task": (["--task", "gausian-linear"], "unknown task 'gausian-linear'.*gaussian-linear"),
    "method": (["--method", "fn"], "unknown method 'fn'.*'fm'"),
    "preset": (["--preset", "smok"], "unknown preset of gaussian-linear 'smok'.*'smoke'"),
    "metric": (["--metrics", "c2tt"], "unknown metric 'c2tt'.*'c2st'"),
    "key": (["--set", "task.nois=1"], r"unknown setting 'task\.nois'.*'task\.noise'"),
    "no value": (["--set", "noise"], "KEY=VALUE"),
    "value": (["--set", "noise=-3"], r"task\.noise = '-3'.*greater than"),
    "slash": (["--method", "a/b"], "unknown method 'a/b'"),
    "up": (["--task", "../../etc"], "unknown task"),
    "preset up": (["--preset", "../.."], "unknown preset"),
    "seed": (["--seed", "-1"], r"from 0 to 2\^63 - 1, got -1"),
    "seed text": (["--seed", "x"], "'x' is not a valid integer"),
    "nfe 0": (["--nfe", "0"], "NFE '0' is not a positive integer"),
    "nfe x": (["--nfe", "1,x"], "NFE 'x' is not"),
    "nfe nothing": (["--nfe", ""], "NFE '' is not"),
    "device": (["--device", "tpu"], "unknown device 'tpu'; choose auto, cpu, cuda or mps"),
    "file": (["--method", "./none.py:Mine"], r"no such file: '\./none\.py'"),
    "option": (["--sed", "1"], "No such option"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_usage_exits_2_and_writes_nothing(cli: Callable, results: Path, case: str) -> None:
    arguments, told = WRONG[case]
    result = cli(*RUN, "--method", "prior", *arguments)
    assert result.exit_code == 2
    assert not result.stdout
    assert re.search(told, result.stderr)
    assert "Traceback" not in result.stderr
    assert not results.exists()


def test_cuda_that_is_absent_is_refused(
    cli: Callable, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    result = cli(*RUN, "--method", "prior", "--device", "cuda")
    assert result.exit_code == 2
    assert "'cuda' is not available here" in result.stderr
    assert "--device cpu" in result.stderr
    assert not results.exists()


@pytest.mark.parametrize("inner", ["", "deeper"])
def test_a_results_directory_that_cannot_be_written(
    cli: Callable, tmp_path: Path, inner: str
) -> None:
    (tmp_path / "file").write_text("mine")
    result = cli(*RUN, "--method", "prior", "--results", tmp_path / "file" / inner)
    assert result.exit_code == 2
    assert "cannot be written" in result.stderr
    assert "--results DIR" in result.stderr
    assert (tmp_path / "file").read_text() == "mine"


def test_checkpoint_seconds_that_are_no_number(
    cli: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CWBENCH_CHECKPOINT_SECONDS", "often")
    result = cli(*RUN, "--method", "prior")
    assert result.exit_code == 2
    assert "$CWBENCH_CHECKPOINT_SECONDS is 'often'" in result.stderr


@pytest.mark.parametrize("name", ["record.json", "model.safetensors", "samples.safetensors"])
def test_a_full_disk_is_told_and_the_same_command_resumes(
    cli: Callable, results: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    original = Path.replace

    def full(self: Path, target: Path) -> Path:
        if Path(target).name.startswith(name):  # samples have digits behind it at first
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return original(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        result = cli(*RUN, "--method", "prior")
    assert result.exit_code == 2
    assert "is full; free some room and type the same command again" in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(results.rglob("record.json"))
    assert not list(results.rglob(f".{name}*"))
    assert cli(*RUN, "--method", "prior").exit_code == 0


def test_two_writers_of_one_run(cli: Callable, results: Path) -> None:
    cli(*RUN, "--method", "prior")
    before = files(results)
    with single_writer(only(results, "record.json").parent):
        result = cli(*RUN, "--method", "prior", "--force")
    assert result.exit_code == 2
    assert "another process computes the run in" in result.stderr
    assert files(results) == before


def test_list_shows_everything_as_json(cli: Callable) -> None:
    rows = json.loads(cli("list", "--json").stdout)
    assert {(r["kind"], r["name"]) for r in rows} == {(p.kind, p.name) for p in registry.plugins()}
    assert {r["distribution"] for r in rows if r["name"] == "fm"} == {"cwbench"}
    tasks = json.loads(cli("list", "tasks", "--json").stdout)
    assert {r["kind"] for r in tasks} == {"task"}
    assert "cot-fm" in cli("list").stdout
    assert "cot-fm" not in cli("list", "tasks").stdout
    assert cli("list", "things").exit_code == 2


def test_describe(cli: Callable) -> None:
    result = cli("describe", "cot-fm")
    assert result.exit_code == 0
    assert "beta = auto" in result.stdout
    assert cli("describe", "cot-fm", "--bibtex").stdout.startswith("@article{")
    assert "\n  needs: operator\n  sees: + operator\n" in cli("describe", "dps").stdout
    exact = cli("describe", "dps", "--set", "denoiser=exact").stdout
    assert "\n  needs: denoiser, operator\n  sees: + exact prior\n" in exact
    assert "denoiser = exact " in exact and "[set; default learned]" in exact
    assert "clip = null " in cli("describe", "npe", "--set", "clip=null").stdout
    unknown = cli("describe", "cotfm")
    assert unknown.exit_code == 2
    assert "'cot-fm'" in unknown.stderr


def test_describe_measures_how_far_a_task_is_from_gaussian(cli: Callable) -> None:
    plain = cli("describe", "gaussian-linear", "--set", "dimension=1").stdout
    gap = re.search(r"Gaussian gap (\S+) ± (\S+) ", plain)
    resolution = re.search(r"resolution +(\S+):", plain)
    assert abs(float(gap[1])) < 4 * float(gap[2]) + 0.001
    assert 0.9 < float(resolution[1]) <= 1
    assert "with dimension=1" in plain
    assert "Gaussian gap" not in cli("describe", "gaussian-linear", "--bibtex").stdout
    assert "Gaussian gap" not in cli("describe", "fm").stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("gaussian-linear", "--set", "nois=1"), r"unknown setting 'nois'.*'task\.noise'"),
        (("gaussian-linear", "--set", "noise=-1"), r"task\.noise = '-1'.*greater than"),
        (("ew2sq", "--set", "noise=1"), "'ew2sq' is a metric and has no settings"),
        (("fm", "--set", "noise=1"), r"unknown setting 'noise'.*method\.learning_rate"),
    ],
)
def test_describe_with_wrong_settings(cli: Callable, arguments: tuple, told: str) -> None:
    result = cli("describe", *arguments)
    assert result.exit_code == 2
    assert not result.stdout
    assert re.search(told, result.stderr)


def test_metrics_that_came_later_are_added_from_the_stored_samples(
    cli: Callable, results: Path, method_file: Callable, tmp_path: Path
) -> None:
    calls = tmp_path / "calls"
    method = method_file(
        f"""
        def sample(self, y, n, generator, nfe=None):
            with open({str(calls)!r}, "a") as file:
                file.write("drawn ")
            return super().sample(y, n, generator, nfe)
        """
    )
    arguments = ("run", "--task", "gaussian-mixture", "--preset", "smoke", "--method", method)
    new = json.loads(cli(*arguments, "--json").stdout)
    later = {"crps", "energy-score", "esw2sq-exact", "data-misfit", "sbc", "tarp"}
    assert later < set(new["metrics"])

    old = new | {"metrics": {k: v for k, v in new["metrics"].items() if k not in later}}
    path = only(results, "record.json")
    del old["seal"]
    path.write_text(json.dumps(old))
    samples = only(results, "samples.safetensors").read_bytes()
    again = json.loads(cli(*arguments, "--json").stdout)
    assert again["status"] == "ok"
    assert again["metrics"] == new["metrics"]
    assert again["cost"]["sampling"] == new["cost"]["sampling"]
    assert only(results, "samples.safetensors").read_bytes() == samples
    assert calls.read_text() == "drawn "


def test_plot_of_what_is_no_run(cli: Callable, tmp_path: Path) -> None:
    result = cli("plot", tmp_path)
    assert result.exit_code == 2
    assert "no record.json" in result.stderr
    (tmp_path / "record.json").write_text("{}")
    result = cli("plot", tmp_path / "record.json")
    assert result.exit_code == 2
    assert "is not a record" in result.stderr


@pytest.mark.parametrize(
    ("words", "typed", "wanted"),
    [
        (["run", "--task"], "gaussian-m", {"gaussian-mixture", "gaussian-mixture-informative"}),
        (["run", "--method"], "cw", {"cwgan", "cwgan-full", "cwgan-pair"}),
        (["describe"], "ew1", {"ew1"}),
        ([], "des", {"describe"}),
    ],
)
def test_tab_completes_names(words: list[str], typed: str, wanted: set[str]) -> None:
    shell = ShellComplete(main, {}, "cwbench", "_CWBENCH_COMPLETE")
    found = {item.value for item in shell.get_completions(words, typed)}
    shipped = {p.name for p in registry.plugins() if p.distribution == "cwbench"}
    assert wanted <= found
    assert found & (shipped | {"describe"}) == wanted


def test_python_m_is_the_same_program(python: Callable) -> None:
    assert python("-m", "cwbench", "--version").stdout.strip() == (
        f"cwbench, version {cwbench.__version__}"
    )
    done = python("-m", "cwbench", "describe", "nothing-like-it", check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("cwbench: unknown name 'nothing-like-it'")


def test_version(cli: Callable) -> None:
    assert cwbench.__version__ in cli("--version").stdout
