"""What a bad method, model or file gets: no good score, no crash, no wrong number."""

from __future__ import annotations

import hashlib
import json
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import cwbench
from cwbench.errors import AnotherFitError, CorruptFileError
from cwbench.training import checkpoint

SAMPLE = "def sample(self, y, n, generator, nfe=None):\n    "
SHAPE = "len(y), n, *self.spec.x_shape"


def only(results: Path, name: str) -> Path:
    (path,) = results.rglob(name)
    return path


@pytest.mark.parametrize(
    "code",
    [
        f"return torch.full(({SHAPE}), torch.nan)",
        f"x = torch.zeros({SHAPE}); x[3, 5, 1] = torch.nan; return x",
        f"x = torch.zeros({SHAPE}); x[0, 0, 0] = -torch.inf; return x",
        f"return torch.full(({SHAPE}), 1e300, dtype=torch.float64)",
    ],
)
def test_samples_that_are_not_finite_have_no_score(
    run: Callable, method_file: Callable, code: str
) -> None:
    record = run(method_file(SAMPLE + code))
    assert record.status == "diverged"
    assert "not finite" in record.error
    values = {k: v for entry in record.metrics.values() for k, v in entry.items()
              if k in ("value", "low", "high", "plug_in", "p90")}  # fmt: skip
    assert set(values.values()) == {None}
    assert "NaN" not in only(record.directory, "record.json").read_text()


REFUSED = {
    "short": (f"return torch.zeros({SHAPE})[:, 1:]", r"returned shape \(8, 199, 5\)"),
    "turned": (f"return torch.zeros({SHAPE}).transpose(0, 1)", r"returned shape \(200, 8, 5\)"),
    "flat": ("return torch.zeros(len(y) * n, 5)", r"shape \(1600, 5\).*\(8, 200, 5\) is needed"),
    "integer": (f"return torch.zeros(({SHAPE}), dtype=torch.int64)", "returned torch.int64; real"),
    "bool": (f"return torch.zeros(({SHAPE}), dtype=torch.bool)", "returned torch.bool; real"),
    "complex": (
        f"return torch.zeros(({SHAPE}), dtype=torch.complex64)",
        "returned torch.complex64",
    ),
    "text": ("return ['a', 'b']", "sample of mine returned list"),
    "nothing": ("return None", "sample of mine returned NoneType"),
    "objects": ("import numpy as np; return np.array([{}], dtype=object)", "returned ndarray"),
    "raises": ("raise KeyError('gone')", "KeyError: 'gone'"),
    "exits": ("raise SystemExit(0)", "SystemExit: 0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_sample_is_a_clear_failure(
    run: Callable, method_file: Callable, case: str
) -> None:
    code, told = REFUSED[case]
    record = run(method_file(SAMPLE + code))
    assert (record.status, record.metrics) == ("failed", {})
    assert re.search(told, record.error)


def test_an_exception_in_fit_is_told_with_its_type(
    cli: Callable, results: Path, method_file: Callable
) -> None:
    method = method_file("def fit(self, data, context):\n    raise ZeroDivisionError('by me')")
    result = cli("run", "--task", "gaussian-linear", "--method", method, "--preset", "smoke")
    assert result.exit_code == 1
    assert "ZeroDivisionError: by me" in result.stderr
    assert "Traceback" in only(results, "log.txt").read_text()
    assert cwbench.load_records(results).status.tolist() == ["failed"]


@pytest.mark.parametrize("where", ["__init__", "unsupported", "state_dict", "diagnostics"])
def test_an_exception_elsewhere_is_a_failed_run(
    run: Callable, method_file: Callable, where: str
) -> None:
    method = method_file(f"def {where}(*_):\n    raise RuntimeError('boom')")
    record = run(method)
    assert (record.status, record.error.splitlines()[0]) == ("failed", "RuntimeError: boom")


def test_ignoring_y_is_a_visible_bad_score(run: Callable, method_file: Callable) -> None:
    bad, prior, oracle = (run(m) for m in (method_file(), "prior", "oracle"))
    assert bad.status == "ok"
    assert bad.value("ew2sq") == pytest.approx(prior.value("ew2sq"), rel=0.2)
    assert bad.metrics["ew2sq"]["low"] > oracle.metrics["ew2sq"]["high"]


def test_ignoring_the_seed_breaks_nothing_and_stays_reproducible(
    run: Callable, method_file: Callable, tmp_path: Path
) -> None:
    method = method_file(SAMPLE + f"return torch.randn({SHAPE})")
    one, two = (run(method, results=tmp_path / name) for name in "ab")
    assert one.status == "ok"
    assert one.metrics == two.metrics
    assert run(method, seed=1).metrics != one.metrics


def global_states() -> tuple[object, ...]:
    legacy = np.random.get_state()  # noqa: NPY002 - the global state is the point
    return random.getstate(), legacy[1].tolist(), torch.get_rng_state().tolist()


@pytest.mark.parametrize("seeding", ["torch.manual_seed(7)", "np.random.seed(7); random.seed(7)"])
def test_the_callers_random_state_is_left_alone(
    run: Callable, method_file: Callable, seeding: str
) -> None:
    head = "import numpy as np, random"
    draw = "torch.rand(3); np.random.rand(); random.random()"
    method = method_file(
        f"def fit(self, data, context): {seeding}; {draw}\n"
        f"{SAMPLE}{seeding}; return torch.randn({SHAPE})",
        head,
    )
    before = global_states()
    assert run(method).status == "ok"
    for options in ({}, {"nfe": [2]}):  # the second takes the model from disk
        assert run("fm", settings={"preset.steps": 3}, **options).status == "ok"
    assert global_states() == before


TRAINED = """
def fit(self, data, context):
    network = context.network(5, 5)
    trainer = Trainer(network, context, learning_rate=1e-3)
    context.save({"trainer": trainer})
    for x, y in context.batches():
        trainer.step((network(y) - x).square().mean() * float(FACTOR))
        context.log(step=context.step)
"""


def test_a_nan_loss_diverges_after_patience(run: Callable, method_file: Callable) -> None:
    record = run(method_file(TRAINED.replace("FACTOR", "'nan'")))
    assert record.status == "diverged"
    assert record.error == "the loss was not finite 10 times in a row"
    assert record.metrics == {}
    assert not (record.directory / "model.safetensors").exists()


def test_a_few_nan_losses_are_skipped(run: Callable, method_file: Callable) -> None:
    factor = "'nan' if context.step % 10 else 1"
    assert run(method_file(TRAINED.replace("FACTOR", factor))).status == "ok"


@pytest.mark.parametrize(
    "code",
    ["raise MemoryError('no room')", "torch.empty(10**15)", "import numpy as np; np.empty(10**16)"],
)
def test_out_of_memory_is_oom(run: Callable, method_file: Callable, code: str) -> None:
    record = run(method_file(f"def fit(self, data, context):\n    {code}"))
    assert record.status == "oom"


def test_unsupported_is_skipped_and_exits_0(
    cli: Callable, results: Path, method_file: Callable
) -> None:
    method = method_file("@classmethod\ndef unsupported(cls, spec): return 'needs images'")
    result = cli("run", "--task", "gaussian-linear", "--method", method, "--preset", "smoke")
    assert result.exit_code == 0
    assert "skipped: needs images" in result.stdout
    record = json.loads(only(results, "record.json").read_text())
    assert (record["status"], record["error"], record["metrics"]) == ("skipped", "needs images", {})


STATE = """
def fit(self, data, context):
    w = torch.arange(6.0).view(2, 3)
    self.state = {"w": w, "tied": w, "turned": w.T, "one": torch.tensor(3)}
    self.state |= {"raw": b"\\x00\\xff!", "none": b""}
def state_dict(self): return self.state
def load_state_dict(self, state): self.state = dict(state)
def sample(self, y, n, generator, nfe=None):
    w = torch.arange(6.0).view(2, 3)
    s = self.state
    assert torch.equal(s["w"], w) and torch.equal(s["tied"], w) and torch.equal(s["turned"], w.T)
    assert s["one"].item() == 3 and s["one"].shape == ()
    assert s["raw"] == b"\\x00\\xff!" and s["none"] == b"" and len(s) == 6
    return torch.randn(len(y), n, *self.spec.x_shape, generator=generator)
"""


def test_a_state_of_tensors_and_bytes_comes_back(run: Callable, method_file: Callable) -> None:
    method = method_file(STATE)
    assert run(method).error is None
    again = run(method, metrics=["mmd-sbibm"])  # sampled once more, from the stored state
    assert again.error is None
    assert "mmd-sbibm" in again.metrics


def test_a_state_that_cannot_be_stored_is_told(run: Callable, method_file: Callable) -> None:
    record = run(method_file("def state_dict(self): return {'net': {'a': 1}}"))
    assert record.status == "failed"
    assert record.error == "state_dict holds a dict at 'net'"


def quick_fm(run: Callable, **options: object) -> cwbench.Record:
    return run("fm", settings={"preset.steps": 5}, **options)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 0x40
    path.write_bytes(content)


def _foreign(path: Path) -> None:
    save_file(load_file(path), path, {"fit": "another", "bytes": "[]", "facts": "{}"})


@pytest.mark.parametrize("damage", [_truncate, _flip, _foreign])
def test_a_damaged_model_is_never_used_and_nothing_is_lost(
    run: Callable, results: Path, damage: Callable
) -> None:
    good = quick_fm(run)
    damage(only(results, "model.safetensors"))
    with pytest.raises(CorruptFileError, match=r"model\.safetensors.*--force"):
        quick_fm(run, nfe=[2])
    assert cwbench.load_records(results).status.unique().tolist() == ["ok"]
    assert quick_fm(run).metrics == good.metrics
    again = quick_fm(run, nfe=[1, 2], force=True)
    assert again.value("ew2sq", 1) == good.value("ew2sq", 1)


@pytest.mark.parametrize("damage", [_truncate, _foreign])
def test_a_damaged_model_without_a_record_is_never_used(
    run: Callable, results: Path, damage: Callable
) -> None:
    quick_fm(run)
    only(results, "record.json").unlink()
    damage(only(results, "model.safetensors"))
    with pytest.raises(CorruptFileError, match=r"model\.safetensors.*--force"):
        quick_fm(run)


def test_a_model_of_another_seed_is_refused_where_only_the_folder_says_so(
    run: Callable, results: Path
) -> None:
    """The data and the starting weights of both seeds differ, and nothing else of the run does."""
    quick_fm(run)
    folder = only(results, "model.safetensors").parent
    other = folder.with_name("seed-1")
    shutil.copytree(folder, other)
    (other / "record.json").unlink()
    with pytest.raises(AnotherFitError, match=r"seed 0, not gaussian-linear \w+ seed 1.*--force"):
        quick_fm(run, seed=1)


def test_a_checkpoint_of_another_fit_is_refused(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 10, {"step": 10, "fit": "gaussian-linear 1f seed 0"})
    assert checkpoint.load(tmp_path, "gaussian-linear 1f seed 0")
    with pytest.raises(AnotherFitError, match=r"1f seed 0, not gaussian-linear 1f seed 1"):
        checkpoint.load(tmp_path, "gaussian-linear 1f seed 1")


@pytest.mark.parametrize("name", ["samples.safetensors", "observations.parquet"])
@pytest.mark.parametrize("damage", [_truncate, Path.unlink])
def test_damaged_results_are_measured_anew(
    run: Callable, results: Path, name: str, damage: Callable
) -> None:
    good = quick_fm(run, nfe=[1])
    damage(only(results, name))
    new = quick_fm(run, nfe=[1, 2])
    assert new.status == "ok"
    assert new.value("ew2sq", 1) == good.value("ew2sq", 1)
    assert new.files[name] == hashlib.sha256(only(results, name).read_bytes()).hexdigest()


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"schema": 0}'])
def test_a_damaged_record_is_computed_again(run: Callable, results: Path, content: str) -> None:
    good = quick_fm(run)
    path = only(results, "record.json")
    path.write_text(content)
    assert quick_fm(run).metrics == good.metrics
    assert cwbench.load_records(results).status.unique().tolist() == ["ok"]
    assert f"ignored: {path}" in only(results, "log.txt").read_text()


def test_the_record_of_another_run_is_not_served(run: Callable, results: Path) -> None:
    good, other = quick_fm(run), quick_fm(run, seed=1)
    target = good.directory / "record.json"
    target.write_text((other.directory / "record.json").read_text())
    assert quick_fm(run).metrics == good.metrics != other.metrics


def test_a_damaged_floor_is_computed_again(run: Callable, results: Path) -> None:
    good = run("prior")
    for path in (results / ".cache").iterdir():
        path.write_bytes(path.read_bytes()[:-8])
    assert run("oracle").metrics["ew2sq"]["floor"] == good.metrics["ew2sq"]["floor"]


def _generations(directory: Path) -> list[Path]:
    return sorted(directory.glob("step-*.pt"))


def test_two_generations_are_kept_and_the_newest_is_loaded(tmp_path: Path) -> None:
    assert checkpoint.load(tmp_path / "none") is None
    for step in (1, 2, 30):
        checkpoint.save(tmp_path, step, {"step": step})
    assert [int(p.name[5:14]) for p in _generations(tmp_path)] == [2, 30]
    assert checkpoint.load(tmp_path) == {"step": 30}


@pytest.mark.parametrize("damage", [_truncate, _flip])
def test_a_damaged_generation_falls_back_to_the_older(tmp_path: Path, damage: Callable) -> None:
    for step in (1, 2):
        checkpoint.save(tmp_path, step, {"step": step, "state": torch.zeros(100)})
    damage(_generations(tmp_path)[1])
    assert checkpoint.load(tmp_path)["step"] == 1
    damage(_generations(tmp_path)[0])
    assert checkpoint.load(tmp_path) is None


def test_a_foreign_checkpoint_is_neither_used_nor_unpickled(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Callable, tuple[str]]:
            return Path.touch, (tmp_path / "executed",)

    checkpoint.save(tmp_path, 1, {"step": 1})
    torch.save(Evil(), tmp_path / "evil")
    content = (tmp_path / "evil").read_bytes()
    digest = hashlib.sha256(content).hexdigest()[:16]
    (tmp_path / f"step-000000002-{digest}.pt").write_bytes(content)
    garbage = hashlib.sha256(b"garbage").hexdigest()[:16]
    (tmp_path / f"step-000000003-{garbage}.pt").write_bytes(b"garbage")
    (tmp_path / "step-last.pt").write_bytes(b"somebody else's")
    assert checkpoint.load(tmp_path) == {"step": 1}
    assert not (tmp_path / "executed").exists()
