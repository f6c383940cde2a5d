"""`cwbench.evaluate`: any callable, judged as the methods are."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file
from torch import Generator, Tensor

import cwbench
from cwbench.cli.main import main
from cwbench.errors import UsageError
from cwbench.records.runs import iterate

TASK = cwbench.load_task("gaussian-linear")


def exact(y: Tensor, n: int, generator: Generator) -> Tensor:
    return TASK.sample_posterior(y, n, generator)


def evaluate(sampler: Callable[..., Any], **options: Any) -> cwbench.Record:
    options = {"quiet": True, "figures": False} | options
    return cwbench.evaluate(sampler, "gaussian-linear", "smoke", **options)


def standard_error(entry: dict[str, Any]) -> float:
    return (entry["high"] - entry["low"]) / 2 / 2.3646  # t with 7 degrees of freedom


def test_the_exact_posterior_scores_zero_and_is_external(results: Path) -> None:
    record = evaluate(exact, figures=True)
    assert [path.name for path in record.figures] == [f"posterior-{k}.png" for k in (1, 2, 3)]
    assert (record.status, record.track) == ("ok", "external")
    assert record.method["name"] == "exact"
    entry = record.metrics["ew2sq"]
    assert abs(entry["value"]) < 4 * standard_error(entry)
    assert entry["plug_in"] == pytest.approx(entry["floor"], rel=0.1)
    assert cwbench.load_records(results).track.unique().tolist() == ["external"]


def test_it_sees_what_methods_are_judged_on(results: Path, run: Callable) -> None:
    seen = []

    def spy(y: Tensor, n: int, generator: Generator) -> Tensor:
        seen.append(y)
        return exact(y, n, generator)

    assert evaluate(spy).value("ew2sq") == run("oracle").value("ew2sq")
    assert seen[0].shape == (8, 5)
    assert seen[0].dtype == torch.float32


def test_a_shift_is_seen_at_its_size(results: Path) -> None:
    record = evaluate(lambda y, n, g: exact(y, n, g) + 0.5, name="shifted")
    entry = record.metrics["ew2sq"]
    assert abs(entry["value"] - 5 * 0.5**2) < 4 * standard_error(entry)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_numpy_is_accepted(results: Path, dtype: type) -> None:
    def numpy_sampler(y: Tensor, n: int, generator: Generator) -> np.ndarray:
        array = exact(y, n, generator).numpy().astype(dtype)[::-1][::-1]
        array.flags.writeable = False
        return array

    tolerance = {"rel": 0, "abs": 1e-2 if dtype is np.float16 else 1e-6}
    assert evaluate(numpy_sampler).value("ew2sq") == pytest.approx(
        evaluate(exact).value("ew2sq"), **tolerance
    )


def test_negative_strides_are_accepted(results: Path) -> None:
    record = evaluate(lambda y, n, g: exact(y, n, g).numpy()[:, ::-1], name="reversed")
    assert record.status == "ok"


def test_a_wrong_shape_is_a_clear_failure(results: Path) -> None:
    record = evaluate(lambda y, n, g: exact(y, n, g)[:, 1:], name="short")
    assert record.status == "failed"
    assert "returned shape (8, 199, 5)" in record.error
    assert "(observations, samples, *x_shape) = (8, 200, 5) is needed" in record.error
    assert record.metrics == {}


def test_nan_is_diverged_with_null(results: Path) -> None:
    record = evaluate(lambda y, n, g: exact(y, n, g) * math.nan, name="nan")
    assert record.status == "diverged"
    assert record.value("ew2sq") is None


def test_a_callable_without_a_usable_name_has_to_be_named(results: Path) -> None:
    with pytest.raises(UsageError, match=r"does not match .*name='mine'"):
        evaluate(type("", (), {"__call__": lambda self, *a: exact(*a)})())
    with pytest.raises(UsageError, match=r"'../up' does not match"):
        evaluate(exact, name="../up")
    with pytest.raises(UsageError, match="'fm' is a registered name"):
        evaluate(exact, name="fm")
    assert not results.exists()


def test_a_lambda_has_to_be_named(results: Path) -> None:
    with pytest.raises(UsageError, match="a lambda has no name of its own; give name='mine'"):
        evaluate(lambda *a: exact(*a))
    assert not results.exists()
    assert evaluate(lambda *a: exact(*a), name="mine").method["name"] == "mine"


def shifted_by(shift: float) -> Callable[..., Any]:
    """One source, and weights in a closure."""

    def sampler(y: Tensor, n: int, generator: Generator) -> Tensor:
        return exact(y, n, generator) + shift

    return sampler


def test_two_samplers_of_one_name_and_source_do_not_replace_each_other(results: Path) -> None:
    first, second = evaluate(shifted_by(0.0)), evaluate(shifted_by(0.5))
    assert first.method["name"] == second.method["name"] == "sampler"
    assert first.run_id != second.run_id
    assert {r.run_id: r.value("ew2sq") for r in iterate(results)} == {
        r.run_id: r.value("ew2sq") for r in (first, second)
    }
    board = cwbench.leaderboard(results, metric="ew2sq")
    assert sorted(board.method.str.replace(r"\[.*", "[", regex=True)) == ["sampler [", "sampler ["]


def test_the_same_sampler_replaces_its_own_record_and_its_seeds_share_a_row(results: Path) -> None:
    first, again = evaluate(shifted_by(0.5)), evaluate(shifted_by(0.5))
    assert first.run_id == again.run_id
    other = evaluate(shifted_by(0.5), seed=1)
    assert other.fit_key == first.fit_key
    assert other.value("ew2sq") != first.value("ew2sq")
    assert sorted(record.seed for record in iterate(results)) == [0, 1]


def test_what_was_drawn_to_name_it_is_what_is_judged(results: Path) -> None:
    """One that never draws the same twice is drawn from once, and its hash is of those samples."""
    calls = iter(range(9))
    record = evaluate(lambda y, n, g: exact(y, n, g) + next(calls), name="odd")
    assert abs(record.value("ew2sq")) < 0.5
    assert next(calls) == 1
    samples = load_file(record.directory / "samples.safetensors")["samples"]
    digest = hashlib.sha256(f"None {tuple(samples.shape)}\n".encode() + samples.numpy().tobytes())
    assert record.method["source_sha256"] == digest.hexdigest()


def test_one_that_fails_replaces_no_other(results: Path) -> None:
    def fail(y: Tensor, n: int, generator: Generator) -> Tensor:
        raise SystemExit("no weights")

    good, bad = evaluate(exact, name="mine"), evaluate(fail, name="mine")
    assert (bad.status, bad.error) == ("failed", "SystemExit: no weights")
    assert evaluate(fail, name="mine").run_id == bad.run_id
    assert {record.run_id for record in iterate(results)} == {good.run_id, bad.run_id}


def test_an_nfe_grid_is_passed_on(results: Path) -> None:
    seen = []

    def flow(y: Tensor, n: int, generator: Generator, nfe: int | str) -> Tensor:
        seen.append(nfe)
        return exact(y, n, generator) + (1.0 if nfe == 1 else 0.0)

    record = evaluate(flow, nfe=[1, "10", "adaptive"])
    assert seen == [1, 10, "adaptive"]
    assert record.value("ew2sq", 1) > 3
    assert abs(record.value("ew2sq", 10)) < 0.5
    assert record.value("ew2sq", 10) == record.value("ew2sq", "adaptive")


def test_a_sampler_may_return_the_same_tensor_at_every_nfe(results: Path) -> None:
    kept: dict[str, Tensor] = {}

    def cached(y: Tensor, n: int, generator: Generator, nfe: int) -> Tensor:
        return kept.setdefault("x", exact(y, n, generator))

    assert evaluate(cached, nfe=[1, 3]).status == "ok"


def test_unknown_names_write_nothing(results: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown preset of gaussian-linear 'smok'.*'smoke'"):
        cwbench.evaluate(exact, "gaussian-linear", "smok")
    with pytest.raises(UsageError, match="unknown setting 'beta'"):
        evaluate(exact, settings={"beta": 1})
    assert not results.exists()


def test_samples_made_elsewhere_score_as_if_made_here(tmp_path: Path) -> None:
    """Export, draw the exact posterior outside, evaluate the file: the numbers of the callable."""
    runner = CliRunner()
    exported = tmp_path / "task.safetensors"
    done = runner.invoke(
        main, ["export", "two-moons", "--preset", "smoke", "--output", str(exported)]
    )
    assert done.exit_code == 0, done.output
    tensors = load_file(exported)
    task = cwbench.load_task("two-moons")
    samples = task.sample_posterior(tensors["y"], 200, torch.Generator().manual_seed(1))
    np.save(tmp_path / "elsewhere.npy", samples.numpy().astype(">f4"))  # of another machine
    save_file({"samples": samples}, tmp_path / "elsewhere.safetensors")
    expected = cwbench.evaluate(
        lambda y, n, generator: samples, "two-moons", "smoke", name="inline",
        results=tmp_path / "r", figures=False, quiet=True,
    )  # fmt: skip
    for file in ("elsewhere.npy", "elsewhere.safetensors"):
        arguments = ["--samples", str(tmp_path / file), "--task", "two-moons", "--preset", "smoke"]
        done = runner.invoke(
            main, ["evaluate", *arguments, "--results", str(tmp_path / "r"), "--json"]
        )
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout)["metrics"] == expected.metrics


@pytest.mark.parametrize("content", ["pickle", "shape", "text", "absent"])
def test_a_file_that_holds_no_such_samples_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.npy"
    if content == "pickle":
        np.save(path, np.array([{}], dtype=object))
    elif content == "shape":
        np.save(path, np.zeros((8, 100, 2)))
    elif content == "text":
        path.write_text("no array")
    with pytest.raises(UsageError, match=r"mine\.npy"):
        cwbench.evaluate(path, "two-moons", "smoke", results=tmp_path / "r", quiet=True)
    assert not (tmp_path / "r").exists()


SMOKE = ("evaluate", "--task", "gaussian-linear", "--preset", "smoke", "--samples")


@pytest.mark.parametrize("kind", ["int16", "int64", "bool", "complex64"])
@pytest.mark.parametrize("ending", ["npy", "safetensors"])
def test_samples_of_another_type_are_refused_before_anything_is_written(
    kind: str, ending: str, tmp_path: Path, results: Path, cli: Callable
) -> None:
    """As a wrong shape is; what is to be typed makes a file that is taken."""
    path, x = tmp_path / f"mine.{ending}", np.zeros((8, 200, 5), dtype=kind)
    if ending == "npy":
        np.save(path, x)
    else:
        save_file({"samples": torch.from_numpy(x)}, path)
    done = cli(*SMOKE, path)
    assert done.exit_code == 2
    assert "Traceback" not in done.stderr
    assert f"holds {kind}; real floating numbers are needed" in done.stderr
    assert not results.exists()
    typed = done.stderr.partition("Save float32: ")[2].strip()
    given = x if ending == "npy" else torch.from_numpy(x)
    names = {"numpy": np, "save_file": save_file, "path": path, "x": given}
    eval(typed, names)  # noqa: S307 - the words of the error
    assert cli(*SMOKE, path, "--no-figures").exit_code == 0


def test_finite_numbers_beyond_float32_are_told_as_that(
    tmp_path: Path, results: Path, cli: Callable
) -> None:
    """`numpy.isfinite` of the file is true; float32 ends at 2**128 (1 - 2**-24)."""
    x = np.zeros((8, 200, 5))
    x[0], x[1, 0] = 1e300, -(2.0**128)
    x[2, 0] = 2.0**128 - 2.0**104
    for name, text in (
        ("far", "1,005 of 8,000 numbers lie beyond its largest, 3.4e+38;"),
        ("mixed", "1,005 of 8,000 numbers lie beyond its largest, 3.4e+38, 2 are NaN or infinite;"),
    ):
        np.save(tmp_path / f"{name}.npy", x)
        done = cli(*SMOKE, tmp_path / f"{name}.npy")
        assert done.exit_code == 1
        told = f"diverged: samples are not finite in float32: {text} the main metric has no value"
        assert told in done.stderr
        x[7, 0, :2] = np.nan, np.inf
    x[:2] = np.nan
    np.save(tmp_path / "nan.npy", x)
    assert "samples are not finite: 2,002 of 8,000 numbers;" in cli(
        *SMOKE, tmp_path / "nan.npy"
    ).stderr  # fmt: skip


def test_each_nfe_says_what_is_wrong_with_its_own_samples(results: Path) -> None:
    def flow(y: Tensor, n: int, generator: Generator, nfe: int) -> Tensor:
        x = exact(y, n, generator).double()
        x[0, 0, :nfe] = math.nan if nfe == 1 else 1e39
        return x

    record = evaluate(flow, nfe=[1, 3], settings={"preset.observations": 3})
    assert record.status == "diverged"
    assert "not finite: 1 of 3,000 numbers" in str(record.error)
