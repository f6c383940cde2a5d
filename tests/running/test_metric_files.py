"""A metric from a file is measured, recorded, scored and swept like one that is registered."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

import cwbench
from cwbench.errors import ContractError, UsageError
from cwbench.judging.choice import chosen_metrics
from cwbench.running.request import configured_task, resolve

SOURCE = '''
from cwbench.metric import MetricInfo, ReferenceMetric


class Three(ReferenceMetric):
    """Three, whatever the samples."""

    info = MetricInfo(
        name="NAME", version=1, title="three", direction="lower", debiased=False,
        needs=frozenset({"NEED"}), citation="ours",
    )

    def distance(self, a, b):
        return a.flatten(1).sum(1) * 0 + 3
'''


@pytest.fixture
def metric_file(tmp_path: Path) -> Callable[..., str]:
    def write(name: str = "three", need: str = "reference", file: str = "three.py") -> str:
        path = tmp_path / file
        path.write_text(SOURCE.replace("NAME", name).replace("NEED", need))
        return f"{path}:Three"

    return write


def test_its_value_is_on_record_and_its_hash_in_the_request(
    run: Callable, metric_file: Callable
) -> None:
    typed = metric_file()
    record = run("prior", metrics=[typed])
    assert record.value("three") == 3
    request = resolve("gaussian-linear", "prior", preset="smoke", metrics=[typed])
    source = Path(typed.rpartition(":")[0]).read_bytes()
    assert request.metric_hashes["three"] == hashlib.sha256(source).hexdigest()
    assert request.metric_hashes["ew2sq"] is None
    assert request.metric_hashes.keys() == request.metrics.keys()


def test_score_adds_it_and_a_later_score_without_it_keeps_it(
    run: Callable, cli: Callable, metric_file: Callable
) -> None:
    record = run("prior")
    done = cli("score", record.directory, "--metrics", metric_file())
    assert done.exit_code == 0, done.stderr
    assert "three" in done.stdout
    assert cli("score", record.directory).exit_code == 0
    kept = json.loads((record.directory / "record.json").read_text())["metrics"]
    assert kept["three"]["value"] == 3


def test_a_sweep_carries_it_to_its_processes(
    results: Path, metric_file: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = metric_file()
    monkeypatch.chdir(Path(typed).parent)
    records = cwbench.sweep(
        task="gaussian-linear", method=["prior"], preset="smoke", seeds="0", quiet=True,
        metrics=["./three.py:Three"], results=results,
    )  # fmt: skip
    assert [record.value("three") for record in records] == [3]


def test_evaluate_takes_it(results: Path, metric_file: Callable) -> None:
    def sampler(y, n, generator):
        return cwbench.load_task("gaussian-linear").sample_posterior(y, n, generator)

    record = cwbench.evaluate(
        sampler, task="gaussian-linear", preset="smoke", results=results, metrics=[metric_file()],
        quiet=True, figures=False,
    )  # fmt: skip
    assert record.value("three") == 3


def test_describe_says_what_it_is(cli: Callable, metric_file: Callable) -> None:
    done = cli("describe", metric_file())
    assert done.exit_code == 0
    assert done.stdout.startswith("metric three: three\nthree.py\n\nThree, whatever the samples.")


@pytest.mark.parametrize("taken", ["ew2sq", "cot-fm"])
def test_a_name_that_is_registered_is_refused(metric_file: Callable, taken: str) -> None:
    with pytest.raises(UsageError, match=f"calls itself '{taken}', as does the .* of cwbench"):
        resolve("gaussian-linear", "prior", metrics=[metric_file(taken)])


def test_two_files_of_one_name_are_refused(metric_file: Callable) -> None:
    files = [metric_file(), metric_file(file="other.py")]
    with pytest.raises(UsageError, match=r"calls itself 'three', as does the metric of .*three.py"):
        resolve("gaussian-linear", "prior", metrics=files)


def test_one_that_needs_more_than_the_task_has_is_refused(metric_file: Callable) -> None:
    with pytest.raises(UsageError, match="three needs image, which gaussian-linear does not offer"):
        resolve("gaussian-linear", "prior", metrics=[metric_file(need="image")])


def test_a_file_in_a_preset_is_not_imported(metric_file: Callable) -> None:
    """A record holds the values of its preset, and nothing that a record names is imported."""
    typed = metric_file()
    Path(typed.rpartition(":")[0]).write_text("raise SystemExit('imported')")
    task, _ = configured_task("gaussian-linear", {})
    with pytest.raises(UsageError, match=r"a preset lists registered metrics; .* --metrics"):
        chosen_metrics(task, [typed])


def test_a_task_whose_latents_have_another_shape_is_refused(results: Path) -> None:
    bad = f"{Path(__file__).parents[1] / 'check_task_plugins.py'}:OtherLatents"
    message = r"sample_latent\(2, ...\) of task 'good-task' returns shape \(2, 7\), not \(2, 2\)"
    with pytest.raises(ContractError, match=message):
        cwbench.run(bad, "fm", preset="smoke", results=results, quiet=True)
    assert not list(results.rglob("record.json"))
