"""The README tells the truth: its Python runs, its commands, files and names exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from cwbench import registry
from cwbench.cli import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("code", BLOCKS, ids=range(len(BLOCKS)))
def test_python_blocks_run(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CWBENCH_RESULTS", raising=False)
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})  # noqa: S102 - our own text
    assert capsys.readouterr().out


def test_commands_parse() -> None:
    commands = re.findall(r"^    cwbench (.*?)(?:\s+#.*)?$", README, re.MULTILINE)
    assert len(commands) >= 6
    for command in commands:
        name = command.split()[0]
        done = CliRunner().invoke(main, [name, "--help"])
        assert done.exit_code == 0, command
        for option in re.findall(r"--[a-z-]+", command):
            assert option in done.output, command


def test_linked_files_exist() -> None:
    linked = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert linked
    for path in linked:
        assert (ROOT / path).is_file(), path


@pytest.mark.parametrize("kind", ["task", "method"])
def test_tables_name_everything_that_ships(kind: str) -> None:
    shipped = [p.name for p in registry.plugins() if p.kind == kind and p.distribution == "cwbench"]
    assert all(f"`{name}`" in README for name in shipped)


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"make ([a-z-]+)", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
