"""`cwbench new` writes a package that installs, passes the checks and runs as written."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import cwbench
from cwbench import registry
from cwbench.declared import NAME
from cwbench.errors import UsageError
from cwbench.templates.scaffold import class_name, create

ROOT = Path(__file__).parents[2]


def shell(directory: Path, *command: str | Path) -> str:
    site = directory / "site"
    path = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])
    variables = {
        "PYTHONPATH": path,
        "MYPYPATH": str(ROOT),  # mypy does not see what is installed in editable mode
        "OMP_NUM_THREADS": "1",
        "CWBENCH_RESULTS": "results",
    }
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=directory, capture_output=True, text=True,
        env=os.environ | variables, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("kind", registry.KINDS)
def test_it_passes_its_checks_and_runs_in_this_process(
    kind: str,
    tmp_path: Path,
    cli: Callable,
    installed_here: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli("new", kind, "mine-too").exit_code == 0
    installed_here(tmp_path / "mine-too")
    checked = cli("check", "mine-too")
    assert checked.exit_code == 0
    assert "FAILED" not in checked.stdout
    ran = cli("run", *ASKED[kind], "--preset", "smoke")
    assert "smoke / seed 0: ok" in ran.stdout, ran.output


def test_a_method_that_sees_the_operator_is_exact_where_it_claims_to_be(
    tmp_path: Path, cli: Callable, installed_here: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its Gaussian prior is that of gaussian-linear: it scores like the oracle, up to moments."""
    monkeypatch.chdir(tmp_path)
    assert cli("new", "method", "mine-too", "--sees", "operator").exit_code == 0
    installed_here(tmp_path / "mine-too")
    checked = cli("check", "mine-too")
    assert checked.exit_code == 0, checked.stdout
    ran = cwbench.run(
        "gaussian-linear", "mine-too", "smoke", results=tmp_path / "r", quiet=True, figures=False
    )
    assert ran.method["needs"] == ["operator"]
    entry = ran.metrics["ew2sq"]
    assert entry.low is not None and entry.low < 0.02
    skipped = cli("run", "--method", "mine-too", "--task", "two-moons", "--preset", "smoke")
    assert "skipped: needs a linear operator with Gaussian noise" in skipped.stdout


def test_a_task_sees_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--sees is for a new method"):
        create("task", "mine-too", tmp_path / "x", "operator")
    assert not (tmp_path / "x").exists()


ASKED = {
    "method": ("--method", "mine-too", "--task", "gaussian-mixture"),
    "task": ("--method", "linear-gaussian", "--task", "mine-too"),
    "metric": ("--method", "prior", "--task", "two-moons", "--metrics", "mine-too"),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", registry.KINDS)
def test_it_installs_passes_its_checks_and_runs(kind: str, tmp_path: Path) -> None:
    """The four commands of the README, offline and into a directory of its own."""
    shell(tmp_path, "cwbench", "new", kind, "mine-too")
    pip = ("pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps", "--no-index")
    shell(tmp_path, *pip, "--no-build-isolation", "--target", "site", "./mine-too")
    assert "FAILED" not in shell(tmp_path, "cwbench", "check", "mine-too")
    ran = shell(tmp_path, "cwbench", "run", *ASKED[kind], "--preset", "smoke")
    assert "smoke / seed 0: ok" in ran


@pytest.mark.slow
@pytest.mark.parametrize("kind", registry.KINDS)
def test_its_own_tests_pass(kind: str, tmp_path: Path) -> None:
    directory = create(kind, "mine-too", tmp_path / "package")
    pip = ("pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation")
    shell(tmp_path, *pip, "--target", directory / "site", directory)
    assert " failed" not in shell(directory, "pytest", "-q", "-W", "error")


@pytest.mark.slow
def test_its_own_types_pass(tmp_path: Path) -> None:
    """All kinds in turn: what mypy knows of torch it need not learn again."""
    for kind in registry.KINDS:
        directory = create(kind, "mine-too", tmp_path / kind)
        cache = ("--cache-dir", tmp_path / "cache")
        assert "no issues found in 2 source files" in shell(
            directory, "mypy", "--follow-imports", "silent", *cache
        )


def test_nothing_of_the_template_is_left(tmp_path: Path) -> None:
    for kind in registry.KINDS:
        directory = create(kind, "two-words", tmp_path / kind)
        files = {p.relative_to(directory).as_posix() for p in directory.rglob("*") if p.is_file()}
        assert files == {
            "pyproject.toml", "README.md", ".gitignore", ".github/workflows/ci.yml",
            "src/cwbench_two_words/__init__.py", "src/cwbench_two_words/py.typed",
            f"src/cwbench_two_words/{kind}.py", f"tests/test_{kind}.py",
        }  # fmt: skip
        for path in directory.rglob("*"):
            if path.is_file():
                assert "plugin-" not in path.read_text(), path
                assert "plugin_" not in path.read_text(), path
                assert "PluginClass" not in path.read_text(), path
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(registry.KINDS)


@pytest.mark.parametrize("name", ["Mine", "my_method", "../up", "", "-x", "x" * 64])
def test_a_malformed_name_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="does not match"):
        create("method", name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["cot-fm", "gaussian-linear", "ew2sq"])
def test_a_registered_name_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=rf"'{name}' is a .* of cwbench; name another"):
        create("method", name, tmp_path / "x")


def test_a_name_whose_module_exists_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs a module cwbench_tasks, and there is one"):
        create("task", "tasks", tmp_path / "x")


def test_an_existing_directory_is_left_alone(tmp_path: Path, cli: Callable) -> None:
    (tmp_path / "mine").mkdir()
    done = cli("new", "method", "mine", "--output", tmp_path / "mine")
    assert done.exit_code == 2
    assert "exists; name another directory with --output DIR" in done.stderr
    assert list((tmp_path / "mine").iterdir()) == []


def test_nothing_half_written_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, *_: object, **__: object) -> None:
        if self.name == "README.md":
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(UsageError, match="cannot be written: No space left on device"):
        create("method", "mine", tmp_path / "deep" / "mine")
    assert list((tmp_path / "deep").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [("two-moons", "TwoMoonsTask"), ("8-gaussians", "Task8Gaussians"), ("none", "NoneTask")],
)
def test_classes_are_named_after_the_plugin(name: str, expected: str) -> None:
    assert class_name("task", name) == expected
    assert expected.isidentifier()
    assert NAME.fullmatch(name)
