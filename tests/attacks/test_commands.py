"""Hostile plugins in every command that runs their code, and no code of theirs in any other.

The plugins are a task, a method and a metric of one file, which misbehave where a variable says so;
so their source, and the answer of every command, is to be the one of the same plugins that behave.
"""

from __future__ import annotations

import itertools
import os
import random
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from attacks.counts import Attack, Counts
from attacks.test_hostile_plugins import MARK, living

import cwbench
from cwbench.cli.main import main
from cwbench.errors import CorruptFileError
from cwbench.records import runs

ASKED = "CWBENCH_DEED"
"""`HOOK DEED`; any hook where it is `*`."""
PATIENCE = 240.0

PLUGINS = '''
import os, random, subprocess, sys, threading, time
import numpy, torch
from cwbench import JointSamples, Method, MethodInfo, Task, TaskInfo, vector_presets
from cwbench.metric import MetricInfo, ReferenceMetric

class Odd(BaseException):
    """No exception."""

def noise():
    os.write(1, b"noise\\n")
    print("noise")
    print("noise", file=sys.__stdout__, flush=True)
    subprocess.run(["echo", "noise"])
    os.chdir("/")
    torch.manual_seed(0)
    random.seed(0)
    numpy.random.seed(0)

def ended():
    os._exit(0)

def left():
    sys.exit(0)

def odd():
    raise Odd("odd")

def error():
    raise ZeroDivisionError("theirs")

def thread():
    threading.Thread(target=time.sleep, args=(900,)).start()
    subprocess.Popen(["sleep", "900"])

def fork():
    os.fork()

def do(hook):
    asked, _, deed = os.environ.get("CWBENCH_DEED", "- -").partition(" ")
    if asked in ("*", hook):
        with open(os.path.join(os.path.dirname(__file__), "was-run"), "w"):
            globals()[deed]()

do("module")

class Guests(Task):
    info = TaskInfo(name="guests", version=1, title="guests", main_metric="ew2sq", licence="MIT",
                    citation="none", presets=vector_presets())
    x_shape = y_shape = (2,)
    def __init__(self, params):
        do("task.__init__")
        super().__init__(params)
    def sample_joint(self, n, generator):
        do("sample_joint")
        y = torch.randn(n, 2, generator=generator)
        return JointSamples(self.draw(y, 1, generator)[:, 0], y)
    def draw(self, y, n, generator):
        return y[:, None] + torch.randn(len(y), n, 2, generator=generator)
    def sample_posterior(self, y, n, generator):
        do("sample_posterior")
        return self.draw(y, n, generator)

class Guest(Method):
    info = MethodInfo(name="guest", version=1, title="guest", citation="none")
    def __init__(self, params, spec):
        do("method.__init__")
        super().__init__(params, spec)
    @classmethod
    def unsupported(cls, spec):
        do("unsupported")
    def fit(self, data, context):
        do("fit")
    def sample(self, y, n, generator, nfe=None):
        do("sample")
        return torch.randn(len(y), n, *self.spec.x_shape, generator=generator)
    def state_dict(self):
        do("state_dict")
        return {}
    def load_state_dict(self, state):
        do("load_state_dict")

class Guested(ReferenceMetric):
    info = MetricInfo(name="guested", version=1, title="guested", direction="lower",
                      debiased=False, needs=frozenset({"reference"}), citation="none")
    def distance(self, a, b):
        do("distance")
        return a.flatten(1).sum(1) * 0 + 3

class Another(Guested):
    info = MetricInfo(name="another", version=1, title="another", direction="lower",
                      debiased=False, needs=frozenset({"reference"}), citation="none")
'''
HOOKS = re.findall(r'do\("(.+?)"\)', PLUGINS)
HARMLESS = ("noise", "thread", "fork")
DEEDS = (*HARMLESS, "ended", "left", "odd", "error")

SIZE = ["--preset", "smoke", "--set=preset.training_pairs=50", "--set=preset.observations=3",
        "--set=preset.samples=6"]  # fmt: skip
RESULTS, NAMED = ["--results", "results"], ["--task", "plugins.py:Guests"]
BOTH = [*NAMED, "--method", "plugins.py:Guest"]
COMMANDS = {
    "run": ["run", *BOTH, "--metrics", "plugins.py:Guested", "--force", "--quiet", "--json", *SIZE,
            *RESULTS],
    "sweep": ["sweep", *BOTH, "--dry-run", "--json", *SIZE, *RESULTS],
    "evaluate": ["evaluate", *NAMED, "--samples", "samples.npy", "--quiet", "--json", *SIZE,
                 *RESULTS],
    "export": ["export", "plugins.py:Guests", "--output", "out.safetensors", *SIZE],
    "check": ["check", "plugins.py:Guested"],
    "describe": ["describe", "plugins.py:Guest"],
    "plot": ["plot", "RUN", *BOTH, "--output", "figures"],
    "score": ["score", "RUN", *BOTH, "--metrics", "plugins.py:Another", "--quiet"],
    "verify": ["verify", "results", *BOTH, "--metrics", "plugins.py:Guested", "--fresh-seed", "1"],
    "prune": ["prune", "--dry-run", "--outdated", *RESULTS],
}  # fmt: skip
"""The commands that run code of plugins; RUN is the run's directory."""
OTHERS = {
    "list": ["list"],
    "status": ["status", *RESULTS],
    "logs": ["logs", "RUN"],
    "why": ["why", "RUN"],
    "seal": ["seal", "RUN"],
    "doctor": ["doctor", *RESULTS],
    "leaderboard": ["leaderboard", *RESULTS],
    "compare": ["compare", "guest", "prior", *RESULTS],
    "theory": ["theory", "--help"],
    "new": ["new", "method", "newest", "--output", "newest"],
}
"""Those that run none."""


class Told(NamedTuple):
    """What a command said."""

    code: int
    out: str
    err: str


def shop(place: Path) -> Path:
    """The plugins, a run of them and one of a built-in, samples for `evaluate`; its directory."""
    from numpy import save, zeros

    (place / "plugins.py").write_text(PLUGINS)
    save(place / "samples.npy", zeros((3, 12, 2), "float32"))
    for method in ("prior", f"{place}/plugins.py:Guest"):
        record = cwbench.run(
            f"{place}/plugins.py:Guests", method, "smoke", quiet=True,
            figures=False, results=place / "results", metrics=[f"{place}/plugins.py:Guested"],
            settings={"preset.training_pairs": 50, "preset.observations": 3, "preset.samples": 6},
        )  # fmt: skip
    (place / "was-run").unlink(missing_ok=True)
    assert record.directory
    return record.directory.relative_to(place)


def here(words: list[str], run: Path) -> list[str]:
    """What is typed for that run."""
    return [str(run) if word == "RUN" else word for word in words]


def plain(text: str) -> str:
    """Without numbers, hashes and dates: times differ from run to run."""
    return re.sub(r"[0-9a-f]{6,}|[-+:.\w]*\d[-+:.\w]*", "#", text)


def process(place: Path, words: list[str], asked: str) -> Told | None:
    """The program in a process of its own; None where it does not end."""
    mark = uuid.uuid4().hex
    variables = os.environ | {MARK: mark, "OMP_NUM_THREADS": "1", ASKED: asked}
    with subprocess.Popen(
        [sys.executable, "-m", "cwbench", *words], cwd=place, env=variables, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as program:  # fmt: skip
        try:
            out, err = program.communicate(timeout=PATIENCE)
            return Told(program.returncode, out, err)
        except subprocess.TimeoutExpired:
            return None
        finally:
            for left in living(mark):
                left.kill()


def judged(place: Path, run: Path, deed: str, told: Told | None, honest: Told) -> Counts:
    """What came of an attack; a plugin that fails may cost the answer, and says so."""
    if told is None:
        return Counts(1, hung=1)
    crashed = "Traceback" in told.err
    if deed in HARMLESS:
        wrong = (told.code, plain(told.out)) != (honest.code, plain(honest.out))
    else:
        wrong = "noise" in told.out or (told.code == 0 and not told.out)
    try:
        lost = runs.read(place / run) is None
    except CorruptFileError:
        lost = True
    return Counts(1, lost=int(lost), wrong=int(wrong), crashed=int(crashed))


def in_commands(place: Path, n: int) -> Counts:
    """n combinations of command, hook and deed, each in a copy of one shop."""
    (place / "shop").mkdir()
    run, honest, counts = shop(place / "shop"), {}, Counts()
    every = list(itertools.product(COMMANDS, HOOKS, DEEDS))
    random.Random(19).shuffle(every)  # noqa: S311
    for command, hook, deed in every[:n]:
        words = here(COMMANDS[command], run)
        if command not in honest:
            honest[command] = _visited(place, run, words, "- -")[0]
        told, copy = _visited(place, run, words, f"{hook} {deed}")
        expected = honest[command]
        assert expected is not None, command
        counts += judged(copy, run, deed, told, expected)
    return counts


def _visited(place: Path, run: Path, words: list[str], asked: str) -> tuple[Told | None, Path]:
    """What a command says in a new copy of the shop."""
    copy = place / "visited"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(place / "shop", copy)
    return process(copy, words, asked), copy


ATTACKS = [Attack("hostile plugins in every command", in_commands, 40)]


@pytest.mark.attacks
def test_in_full(tmp_path: Path) -> None:
    (attack,) = ATTACKS
    assert attack.counts(tmp_path, attack.full) == Counts(attack.full)


def test_every_command_is_listed() -> None:
    assert {*COMMANDS} | {*OTHERS} == {*main.commands}
    assert not {*COMMANDS} & {*OTHERS}


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A shop, and the run in it."""
    place = tmp_path_factory.mktemp("shop")
    run = shop(place)
    shutil.copytree(place / "results", place / "as-it-was")
    return place, run


@pytest.fixture
def visit(
    stocked: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[[list[str], str], Told]:
    """A command in this process, with the deed that is asked for."""
    place, run = stocked
    monkeypatch.setattr(cwbench.api, "_draw_figures", lambda *_: None)  # as `plot` does

    def told(words: list[str], asked: str) -> Told:
        monkeypatch.chdir(place)
        monkeypatch.setenv(ASKED, asked)
        (place / "was-run").unlink(missing_ok=True)
        shutil.rmtree(place / "results")
        shutil.copytree(place / "as-it-was", place / "results")
        capfd.readouterr()
        try:
            code = main.main(here(words, run), standalone_mode=False) or 0
        except SystemExit as ended:
            code = ended.code
        assert Path.cwd() == place
        return Told(code, *capfd.readouterr())

    return told


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in ("check", "sweep")])
def test_what_a_plugin_writes_or_changes_is_no_part_of_an_answer(
    visit: Callable, stocked: tuple[Path, Path], command: str
) -> None:
    """Both others have tests of their own, and take seconds."""
    honest, told = (visit(COMMANDS[command], asked) for asked in ("- -", "* noise"))
    assert command == "prune" or (stocked[0] / "was-run").exists()
    assert (told.code, plain(told.out)) == (honest.code, plain(honest.out))
    assert honest.code == 0
    assert honest.out
    assert "noise" not in told.out
    assert command == "prune" or "noise" in told.err


@pytest.mark.parametrize("deed", ["ended", "left", "odd", "error"])
@pytest.mark.parametrize("command", ["describe", "export", "plot", "score", "verify"])
def test_a_plugin_that_ends_or_raises_is_a_line(visit: Callable, command: str, deed: str) -> None:
    """Where a run has a record of it, others have an exit status and a line."""
    told = visit(COMMANDS[command], f"* {deed}")
    assert told.code != 0
    assert "Traceback" not in told.err
    assert "plugins.py" in told.err + told.out


@pytest.mark.parametrize("command", [n for n in OTHERS if n not in ("doctor", "new", "theory")])
def test_other_commands_run_no_code_of_plugins(
    visit: Callable, stocked: tuple[Path, Path], command: str
) -> None:
    """`doctor` imports them in processes of their own."""
    assert visit(OTHERS[command], "* noise").out
    assert not (stocked[0] / "was-run").exists()
