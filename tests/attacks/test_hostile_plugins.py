"""Plugins that exit, loop, fork, print, leave threads behind or return rubbish, in each hook.

`run` may be ended by one, `sweep` may not; neither hangs, loses a record, or answers anything but
one JSON document; what a deed has no business to change stays equal to a run without it.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import subprocess
import sys
import textwrap
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
from attacks.counts import Attack, Counts, Hung, limited

import cwbench
from cwbench.errors import CorruptFileError, CwbenchError
from cwbench.records import runs

TINY = {
    "preset.training_pairs": 200, "preset.observations": 3, "preset.samples": 12,
    "preset.steps": 20, "preset.width": 8, "preset.nfe": "1",
}  # fmt: skip
LIMIT = 20.0
"""Seconds of a run in a sweep."""
PATIENCE = 240.0
"""Seconds until a command counts as hung; a busy machine takes its time, and a sweep more."""
MARK = "CWBENCH_ATTACK"

DEEDS = {
    "nothing": "pass",
    "exit": "os._exit(7)",
    "raise": "raise Odd('\\ud800')",
    "loop": "while True: time.sleep(0.01)",
    "thread": "threading.Thread(target=time.sleep, args=(900,)).start()",
    "fork": "os.fork(); daemon()",
    "chdir": "os.chdir('/')",
    "descriptor": "os.write(1, b'noise'); print('noise', file=sys.__stdout__)",
    "memory": "bytearray(10**15)",
    "in-place": "[part.fill_(7) for part in given if isinstance(part, torch.Tensor)]",
    "shape": "return torch.zeros(3)",
    "type": "return {'odd': {1, 2}}",
    "seed": "torch.manual_seed(0); random.seed(0); numpy.random.seed(0)",
}
HARMLESS = ("nothing", "thread", "fork", "chdir", "descriptor", "in-place", "seed")
"""After these a run is ok, with the numbers of a run without them."""
HOOKS = ("module", "__init__", "unsupported", "fit", "sample", "state_dict", "diagnostics")
ANSWERS = ("unsupported", "sample", "state_dict", "diagnostics")
"""Hooks whose result can be of the wrong shape or type."""

PLUGIN = '''
import os, random, subprocess, sys, threading, time
import numpy, torch
from cwbench import Method, MethodInfo

class Odd(BaseException):
    pass

def daemon():
    """One that left its group and its parent, and one that did not."""
    child = os.fork()
    if not child:
        os.setsid()
        if not os.fork():
            time.sleep(900)
        os._exit(0)
    os.waitpid(child, 0)
    subprocess.Popen(["sleep", "900"])

class Base(Method):
    def fit(self, data, context):
        pass

    def sample(self, y, n, generator, nfe=None):
        return torch.randn(len(y), n, *self.spec.x_shape, generator=generator)

    def state_dict(self):
        return {{}}

    def load_state_dict(self, state):
        pass

class Hostile(Base):
    info = MethodInfo(name="hostile", version=1, title="hostile", citation="none")
{hook}
'''
HOOK = """
def {name}(self, *given, **named):
    {deed}
    return super().{name}(*given, **named)
"""


class Hostile(NamedTuple):
    """What is done where."""

    hook: str
    deed: str

    def written(self, place: Path) -> str:
        """Its file, as it is named on the command line."""
        hook = HOOK.format(name=self.hook, deed=DEEDS[self.deed])
        if self.hook == "unsupported":
            hook = f"@classmethod{hook}"
        method = textwrap.indent(hook, "    ")
        text = PLUGIN.format(hook="" if self.hook == "module" else method)
        if self.hook == "module":
            text += f"given = ()\n{DEEDS[self.deed]}\n"
        path = place / f"{self.hook.strip('_')}-{self.deed}.py"
        path.write_text(text)
        return f"{path}:Hostile"


def hostiles() -> list[Hostile]:
    """All that make sense: first those of the twin, then shuffled."""
    first = [Hostile("fit", "fork"), Hostile("sample", "chdir"), Hostile("diagnostics", "type")]
    every = [
        Hostile(hook, deed)
        for hook, deed in itertools.product(HOOKS, DEEDS)
        if deed != "nothing" and (hook in ANSWERS or deed not in ("shape", "type"))
    ]
    random.Random(19).shuffle(every)  # noqa: S311
    return [*first, *(one for one in every if one not in first)]


class Told(NamedTuple):
    """What a command said; `None` where it had to be ended."""

    code: int | None
    out: str
    err: str


def told(place: Path, *arguments: str, patience: float = PATIENCE) -> Told:
    """What the program says, once standard output and error are closed by all that hold them."""
    mark = uuid.uuid4().hex
    settings = [f"--set={key}={value}" for key, value in TINY.items()]
    command = [
        sys.executable, "-m", "cwbench", *arguments, "--task", "gaussian-linear", "--preset",
        "smoke", "--results", "results", "--json", *settings,
    ]  # fmt: skip
    variables = os.environ | {MARK: mark, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, cwd=place, env=variables, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            out, err = process.communicate(timeout=patience)
            return Told(process.returncode, out, err)
        except subprocess.TimeoutExpired:
            return Told(None, "", "")
        finally:
            for left in living(mark):
                with suppress(psutil.NoSuchProcess):
                    left.kill()


def living(mark: str) -> Iterator[psutil.Process]:
    """The processes that a command left behind."""
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.pid != os.getpid():
                yield process
        except (psutil.Error, OSError):
            continue


def records_of(text: str) -> list[dict[str, Any]] | None:
    """The records in one JSON document, None if it is anything else."""
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, list) else [found]


def is_wrong(one: Hostile, record: dict[str, Any], honest: dict[str, Any]) -> bool:
    """Whether numbers moved that had no reason to, or rubbish has a number."""
    if one.deed in HARMLESS:
        return record["status"] != "ok" or record["metrics"] != honest["metrics"]
    return record["status"] == "ok"


def is_wrong_answer(one: Hostile, said: Told, honest: dict[str, Any]) -> bool:
    """Whether `run` says anything but one record of what happened, or a deed refused has an answer.

    A harmless deed is one record and exit code 0, any other no record and no 0 or one that failed.
    """
    records = records_of(said.out)
    if one.deed in HARMLESS and (said.code != 0 or records is None):
        return True
    if records is None:
        return said.code == 0 or said.out != ""
    return len(records) != 1 or is_wrong(one, records[0], honest)


def is_lost(place: Path, before: dict[Path, bytes]) -> bool:
    """Whether a record that was there is not what it was, one is damaged, or a lock is held."""
    if any(path.read_bytes() != content for path, content in before.items()):
        return True
    directories = runs.run_directories(place / "results")
    try:
        for directory in directories:
            runs.read(directory)
    except CorruptFileError:
        return True
    return any(map(runs.is_running, directories))


def attack_run(place: Path, one: Hostile, honest: dict[str, Any]) -> Counts:
    """`cwbench run` of one of them."""
    before = {p: p.read_bytes() for p in (place / "results").rglob("record.json")}
    said = told(place, "run", "--method", one.written(place))
    if said.code is None:
        return Counts(1, hung=1)
    silent = one.deed != "exit" and records_of(said.out) is None and said.code != 2
    crashed = "Traceback" in said.err or silent
    wrong, lost = is_wrong_answer(one, said, honest), is_lost(place, before)
    return Counts(1, lost=int(lost), wrong=int(wrong), crashed=int(crashed))


def attack_sweep(place: Path, some: list[Hostile], honest: dict[str, Any]) -> Counts:
    """One `cwbench sweep` of all of them."""
    before = {p: p.read_bytes() for p in (place / "results").rglob("record.json")}
    methods = ",".join(one.written(place) for one in some)
    said = told(
        place, "sweep", "--method", f"{methods},prior", "--timeout", f"{LIMIT:g}", "--grace", "1",
        "--retry", "failed,timeout,oom,diverged", patience=PATIENCE + 2 * LIMIT * len(some),
    )  # fmt: skip
    if said.code is None:
        return Counts(len(some), hung=1)
    records = records_of(said.out)
    if records is None or len(records) != len(some) + 1:
        return Counts(len(some), crashed=1)
    wrong = sum(is_wrong(one, r, honest) for one, r in zip(some, records, strict=False))
    wrong += records[-1]["status"] != "ok"
    return Counts(len(some), int(is_lost(place, before)), wrong, 0, 0, int("Traceback" in said.err))


def honest_record(place: Path) -> dict[str, Any]:
    """Of a run without any deed."""
    return ran(place, Hostile("fit", "nothing"))


def ran(place: Path, one: Hostile) -> dict[str, Any]:
    """The record of a run in this process."""
    record = cwbench.run(
        "gaussian-linear", one.written(place), "smoke", settings=TINY, results=place / "results",
        quiet=True, figures=False,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(record.to_json())
    return found


def in_process(place: Path, n: int) -> Counts:
    """n of them by `cwbench.run`, but for those that end or outlive a process."""
    honest, counts = honest_record(place), Counts()
    deadly = ("exit", "loop", "fork", "thread", "descriptor")
    for one in [one for one in hostiles() if one.deed not in deadly][:n]:
        before = {p: p.read_bytes() for p in (place / "results").rglob("record.json")}
        here = Path.cwd()
        try:
            with limited(int(PATIENCE)):
                wrong = is_wrong(one, ran(place, one), honest)
        except Hung:
            counts, wrong = counts + Counts(hung=1), False
        except CwbenchError:
            wrong = one.deed in HARMLESS
        except BaseException:  # noqa: BLE001 - counted
            counts, wrong = counts + Counts(crashed=1), False
        counts += Counts(1, int(is_lost(place, before)), int(wrong or Path.cwd() != here))
        os.chdir(here)
    return counts


def in_run(place: Path, n: int) -> Counts:
    """n of them by `run`, but for endless loops, which end by Ctrl-C only."""
    honest = honest_record(place)
    some = [one for one in hostiles() if one.deed != "loop"][:n]
    return sum((attack_run(place, one, honest) for one in some), Counts())


def in_sweep(place: Path, n: int) -> Counts:
    """n of them in sweeps of ten."""
    honest = honest_record(place)
    some = hostiles()[:n]
    tens = (some[k : k + 10] for k in range(0, n, 10))
    return sum((attack_sweep(place, ten, honest) for ten in tens), Counts())


ATTACKS = [
    Attack("hostile plugins in Python", in_process, 40),
    Attack("hostile plugins in `run`", in_run, 40),
    Attack("hostile plugins in `sweep`", in_sweep, 40),
]


def test_a_method_that_forks_and_leaves_daemons(tmp_path: Path) -> None:
    assert in_run(tmp_path, 1) == Counts(1)


def test_some_hostile_plugins(tmp_path: Path) -> None:
    assert in_process(tmp_path, 8) == Counts(8)


def test_an_answer_that_is_none_is_counted() -> None:
    """A harmless deed that is refused, answered twice or not at all, and one that is believed."""
    chdir, shape = Hostile("fit", "chdir"), Hostile("sample", "shape")
    ok, failed = {"status": "ok", "metrics": {"a": 1}}, {"status": "failed", "metrics": {}}
    for one, code, told in [
        (chdir, 2, ""), (chdir, 0, ""), (chdir, 0, "[]"), (chdir, 0, json.dumps([ok] * 2)),
        (chdir, 1, json.dumps(ok)), (chdir, 1, json.dumps(failed)),
        (shape, 0, ""), (shape, 0, json.dumps(ok)),
    ]:  # fmt: skip
        assert is_wrong_answer(one, Told(code, told, ""), ok), (one, code, told)
    assert not is_wrong_answer(chdir, Told(0, json.dumps(ok), ""), ok)
    assert not is_wrong_answer(shape, Told(2, "", ""), ok)
    assert not is_wrong_answer(shape, Told(1, json.dumps(failed), ""), ok)


@pytest.mark.attacks
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.title)
def test_in_full(tmp_path: Path, attack: Attack) -> None:
    began = time.monotonic()
    assert attack.counts(tmp_path, attack.full) == Counts(attack.full)
    assert time.monotonic() - began < attack.full * PATIENCE
