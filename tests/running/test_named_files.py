"""What came from a file is made again from the file that is named, and from no other."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from outside import SHIFT

from cwbench import registry
from cwbench.errors import CwbenchError, UsageError
from cwbench.records.record import Record
from cwbench.records.runs import read, seal_anew
from cwbench.reporting.run_figures import subject_of
from cwbench.running.score import score
from cwbench.templates.scaffold import create

TASK = SHIFT.format(presets="vector_presets()")
METRIC = '''
from cwbench.metric import MetricInfo, ReferenceMetric
class Three(ReferenceMetric):
    """Three."""
    info = MetricInfo(
        name="three", version=1, title="three", direction="lower", debiased=False,
        needs=frozenset({"reference"}), citation="ours",
    )
    def distance(self, a, b):
        return a.flatten(1).sum(1) * 0 + 3
'''
EDIT = "\nraise SystemExit('imported')\n"


@pytest.fixture
def of_files(run: Callable, tmp_path: Path, method_file: Callable) -> tuple[Record, dict[str, str]]:
    """A run whose task, method and one metric came from files."""
    (tmp_path / "shift.py").write_text(TASK)
    (tmp_path / "three.py").write_text(METRIC)
    named = {
        "--task": f"{tmp_path}/shift.py:Shift", "--method": method_file(),
        "--metrics": f"{tmp_path}/three.py:Three",
    }  # fmt: skip
    settings = {"preset.samples": 10, "preset.observations": 4}
    record = run(
        named["--method"], named["--task"], settings=settings, metrics=[named["--metrics"]]
    )
    assert record.status == "ok"
    return record, named


def typed(named: dict[str, str]) -> list[str]:
    return [word for pair in named.items() for word in pair]


def lacking(record: Record) -> Record:
    """The record without the metric that ranks."""
    assert record.directory is not None
    content = json.loads(record.to_json())
    del content["metrics"]["ew2sq"]
    (record.directory / "record.json").write_text(json.dumps(content))
    found = read(record.directory)
    assert found is not None
    return found


def test_score_and_verify_take_the_files(
    of_files: tuple[Record, dict[str, str]], cli: Callable, results: Path
) -> None:
    record, named = of_files
    done = cli("verify", results, *typed(named), "--json")
    (found,) = json.loads(done.stdout)
    assert (done.exit_code, found["problems"]) == (0, [])
    assert found["rescored"]
    directory = lacking(record).directory
    assert directory is not None
    (directory / "samples.safetensors").unlink()  # so that the method draws them again
    del named["--metrics"]
    done = cli("score", directory, *typed(named), "--quiet")
    assert done.exit_code == 0, done.stderr
    again = read(directory)
    assert again is not None
    assert again.metrics == record.metrics


def test_nothing_that_a_record_names_is_imported(
    of_files: tuple[Record, dict[str, str]], results: Path, monkeypatch: pytest.MonkeyPatch,
    cli: Callable, tmp_path: Path,
) -> None:  # fmt: skip
    """Not even from the directory where the files lie; the line says what to type."""
    record, _ = of_files
    for file in tmp_path.glob("*.py"):
        file.write_text(file.read_text() + EDIT)
    monkeypatch.chdir(tmp_path)
    done = cli("verify", results)
    assert "type --task ./shift.py:CLASS" in done.stdout
    done = cli("score", lacking(record).directory)
    assert done.exit_code == 1
    assert "task 'shift' came from the file shift.py, and nothing is imported" in done.stderr
    with pytest.raises(UsageError, match=r"type --task \./shift\.py:CLASS"):
        subject_of(record)
    with pytest.raises(UsageError, match=r"unknown method '\./mine\.py:Bad'"):
        registry.load_installed("method", "./mine.py:Bad")


@pytest.mark.parametrize("option", ["--task", "--method", "--metrics"])
def test_a_file_that_changed_is_told_by_verify_and_refused_by_score(
    of_files: tuple[Record, dict[str, str]], cli: Callable, results: Path, option: str
) -> None:
    record, named = of_files
    file = Path(named[option].rpartition(":")[0])
    file.write_text(file.read_text() + "\n# edited\n")
    cls = named[option].rpartition(":")[2]
    told = (
        rf"the source of its (task|method|metric) '\w+' is not that of .*{file.name}:{cls}.*"
        rf"name the file as it was, {option} ./as-it-was.py:{cls}"
    )
    done = cli("verify", results, *typed(named), "--json")
    (found,) = json.loads(done.stdout)
    assert (done.exit_code, found["problems"]) == (0, [])  # an edit contradicts nothing
    (said,) = [text for text in found["unchecked"] if re.search(told, text)]
    assert said.startswith(("not checked: ", "not rescored: ", "not redrawn: "))
    assert found["rescored"] == (option != "--task")
    assert not found["redrawn"] or option == "--metrics"
    if option != "--metrics":  # a metric that changed is measured again, under its new hash
        words = {k: v for k, v in named.items() if k != "--metrics"}
        before = (lacking(record).directory / "record.json").read_text()
        done = cli("score", record.directory, *typed(words), "--quiet")
        assert done.exit_code == 1
        assert re.search(told, done.stderr)
        assert (record.directory / "record.json").read_text() == before


def test_a_metric_that_changed_is_measured_again_and_told(
    of_files: tuple[Record, dict[str, str]], cli: Callable
) -> None:
    record, named = of_files
    file = Path(named["--metrics"].rpartition(":")[0])
    file.write_text(file.read_text().replace("* 0 + 3", "* 0 + 4"))
    done = cli("score", record.directory, *typed(named), "--quiet")
    assert done.exit_code == 0
    assert re.search(r": three was of source \w{8}, it is measured again by \w{8}", done.stderr)
    again = read(record.directory)
    assert again is not None
    assert (record.value("three"), again.value("three")) == (3, 4)


def test_what_no_record_is_of_is_refused(
    of_files: tuple[Record, dict[str, str]], cli: Callable, results: Path, method_file: Callable
) -> None:
    record, _ = of_files
    other = method_file("info = MethodInfo('other', 1, '', '')", name="other.py")
    for command in (["verify", results], ["score", record.directory]):
        done = cli(*command, "--method", other)
        assert done.exit_code == 2
        assert (
            "calls itself 'other'; no record has a method of that name from a file" in done.stderr
        )
        assert "on record: mine" in done.stderr
        done = cli(*command, "--method", "fm")
        assert (
            "--method fm: a method that is installed is found by the name on record" in done.stderr
        )


def test_a_file_method_called_like_an_installed_one_is_never_taken_for_it(
    run: Callable, method_file: Callable, results: Path
) -> None:
    typed_file = method_file("info = MethodInfo('prior', 1, '', '')")
    record = run(typed_file, settings={"preset.samples": 10, "preset.observations": 4})
    assert (record.directory / "samples.safetensors").is_file()
    bare = lacking(record)
    (bare.directory / "samples.safetensors").unlink()
    with pytest.raises(CwbenchError, match=r"came from the file mine\.py.* type --method"):
        score(bare, results, quiet=True)


def test_another_version_of_a_package_is_told(
    run: Callable, cli: Callable, results: Path, installed_here: Callable, tmp_path: Path
) -> None:
    """A package that is not editable: nothing but its version says that the code may be another."""
    create("method", "mine", tmp_path / "mine")
    installed_here(tmp_path / "mine")
    settings = {"preset.samples": 10, "preset.observations": 4, "preset.steps": 2}
    record = run("mine", settings=settings)
    assert record.method["distribution"] == "cwbench-mine 0.1.0"
    assert run("mine", settings=settings) == record  # no word, which would be an error here
    path = record.directory / "record.json"
    path.write_text(path.read_text().replace("cwbench-mine 0.1.0", "cwbench-mine 0.0.9"))
    seal_anew(record.directory)
    told = "method 'mine' was of cwbench-mine 0.0.9, cwbench-mine 0.1.0 is installed"
    (found,) = json.loads(cli("verify", results, "--json", "--no-fresh").stdout)
    assert any(told in note for note in found["notes"])
    old = read(record.directory)
    assert old is not None
    with pytest.warns(UserWarning, match=told):
        score(old, results, quiet=True)
    with pytest.warns(UserWarning, match=told):
        run("mine", settings=settings, metrics=["mmd-sbibm"])
