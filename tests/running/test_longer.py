"""Runs at four times their steps: same pairs, judged NFE, skipped where there are no steps."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from attacks.forging import content_of
from click.testing import Result

import cwbench
from cwbench.boards.convergence import convergence
from cwbench.boards.frames import selected
from cwbench.errors import UsageError
from cwbench.running.fitting import training_data
from cwbench.running.longer import longer
from cwbench.running.request import resolve
from cwbench.sweeping.matrix import Matrix
from cwbench.verifying.verify import verify

Cwbench = Callable[..., Result]

PROBE = '''
    import torch
    from cwbench import Method, MethodInfo
    from cwbench.method import tensors_of

    class Probe(Method):
        """Sees what it is given, and draws N(0, I)."""

        info = MethodInfo("probe", 1, "Probe", "none", nfe=True)

        def fit(self, data, context):
            x, y = tensors_of(data)
            self.pairs = float(x.double().sum() + 2 * y.double().sum()), len(x)
            self.batches = [float(x.double().sum()) for x, _ in context.batches()]

        def sample(self, y, n, generator, nfe=None):
            shape = (len(y), n, *self.spec.x_shape)
            return torch.randn(shape, generator=generator)

        def state_dict(self):
            return {"nothing": torch.zeros(1)}

        def load_state_dict(self, state):
            pass

        def diagnostics(self):
            first = float(sum(abs(b) for b in self.batches[:200]))
            return {"pairs": self.pairs[0], "count": float(self.pairs[1]), "first": first}
'''


def probe(tmp_path: Path) -> str:
    (tmp_path / "probe.py").write_text(textwrap.dedent(PROBE))
    return f"{tmp_path / 'probe.py'}:Probe"


def test_the_longer_run_sees_the_same_pairs_and_batches_four_times_the_steps(
    tmp_path: Path, results: Path
) -> None:
    """The first batches are those of the shorter run; only the judged NFE is measured."""
    method = probe(tmp_path)
    runs = [
        cwbench.run("gaussian-linear", method, "smoke", seed=3, results=results, quiet=True,
                    figures=False, longer=each)
        for each in (False, True)
    ]  # fmt: skip
    short, long = runs
    assert [run.status for run in runs] == ["ok", "ok"], [run.error for run in runs]
    assert short.diagnostics["count"] == 2000
    for name in ("pairs", "count", "first"):
        assert short.diagnostics[name] == long.diagnostics[name], name
    assert (short.cost["steps"], long.cost["steps"]) == (200, 800)
    assert {id_.partition("@")[2] for id_ in short.metrics} == {"nfe=1", "nfe=3", "nfe=adaptive"}
    assert {id_.partition("@")[2] for id_ in long.metrics} == {"nfe=adaptive"}
    assert long.settings == {"preset.steps": "800"}
    differing = {k for k, v in long.preset_values.items() if v != short.preset_values[k]}
    assert differing == {"steps"}


@pytest.mark.parametrize("seed", [0, 7])
def test_training_pairs_do_not_depend_on_the_steps(seed: int) -> None:
    request = resolve("gaussian-mixture", "fm", preset="smoke", seed=seed)
    for one, other in zip(
        training_data(request.task, request.preset, seed).tensors,
        training_data(request.task, longer(request).preset, seed).tensors,
        strict=True,
    ):
        assert torch.equal(one, other)


def test_a_method_that_learns_is_compared_with_itself_and_verified(
    results: Path, cli: Cwbench
) -> None:
    """A generator at 50 steps and at 200: the mark is that of the records' own numbers."""
    words = ("--task", "gaussian-linear", "--method", "energy-generator", "--preset", "smoke")
    for extra in ((), ("--longer",)):
        done = cli("run", *words, "--results", results, "--quiet", *extra)
        assert done.exit_code == 0, done.output
    assert not any(one.refused for one in verify(results, fresh=False))
    (board,) = selected(results).boards
    (row,) = board.rows
    found = convergence(board, row, None)
    assert found is not None
    records = {
        record["preset_values"]["steps"]: record
        for path in results.glob("runs/*/*/*/*/*/record.json")
        for record in [json.loads(path.read_text())]
    }
    values = [records[steps]["metrics"]["ew2sq"]["value"] for steps in (200, 800)]
    assert found.fall.mean == pytest.approx(values[0] - values[1])
    assert records[800]["track"] == "open"
    (line,) = cwbench.leaderboard(results, metric="ew2sq").to_dict("records")
    assert line["value"] == pytest.approx(values[0])
    assert line["converged"] == found.converged


def test_a_track_that_the_steps_contradict_is_refused(results: Path) -> None:
    """On the fixed track four times the steps would be a row, and a better one."""
    record = cwbench.run("gaussian-linear", "energy-generator", "smoke", results=results,
                         quiet=True, figures=False, longer=True)  # fmt: skip
    (found,) = verify(results, fresh=False)
    assert not found.refused, found
    content = content_of(record.directory)
    (record.directory / "record.json").write_text(json.dumps(content | {"track": "fixed"}))
    (found,) = verify(results, fresh=False)
    assert any("on track fixed, by the values of its preset on open" in p for p in found.problems)


@pytest.mark.parametrize("method", ["knn", "linear-gaussian", "oracle", "prior"])
def test_methods_without_steps_are_skipped(results: Path, method: str) -> None:
    record = cwbench.run("gaussian-linear", method, "smoke", results=results, quiet=True,
                         figures=False, longer=True)  # fmt: skip
    assert record.status == "skipped"
    assert record.error == "takes no optimiser steps: 4 times as many change nothing"
    assert not record.metrics and not (record.directory / "model.safetensors").exists()
    again = cwbench.run("gaussian-linear", method, "smoke", results=results, quiet=True,
                        figures=False, longer=True)  # fmt: skip
    assert again.started == record.started, "what is skipped is done"


def test_steps_that_another_run_took_count(tmp_path: Path, results: Path) -> None:
    """Of a part that several methods share; the second run takes none itself."""
    text = textwrap.dedent(PROBE).replace(
        "self.batches = [float(x.double().sum()) for x, _ in context.batches()]",
        "self.batches = [1.0]; context.shared('part', lambda: dict(a=torch.tensor("
        "[float(len(list(context.batches())))])))",
    )
    (tmp_path / "probe.py").write_text(text)
    found = []
    for name in ("first", "second"):
        record = cwbench.run(
            "gaussian-linear", f"{tmp_path / 'probe.py'}:Probe", "smoke", results=results / name,
            quiet=True, figures=False, longer=True,
        )  # fmt: skip
        found.append((record.status, record.cost["steps"]))
        if name == "first":  # what is shared lies there for the second
            (results / "second").mkdir(parents=True)
            (results / "first" / ".cache").rename(results / "second" / ".cache")
    assert found == [("ok", 800), ("ok", 0)]


def test_a_sweep_plans_what_its_workers_make() -> None:
    matrix = Matrix(
        ("gaussian-linear",), ("fm", "cot-fm"), "smoke", (0, 1), {"method.beta": [1, 10]},
        nfe=(1, "adaptive"), longer=True,
    )  # fmt: skip
    found = matrix.combinations()
    assert len(found) == 6
    for one in found:
        words = {"preset": "smoke", "seed": one.request.seed}
        settings = {k: v for k, v in one.settings.items() if k != "preset.steps"}
        wanted = longer(resolve(one.task, one.method, given=settings, **words))
        again = resolve(one.task, one.method, given=one.settings, nfe=one.nfe, **words)
        assert one.request.run_id == wanted.run_id == again.run_id
        assert again.track == "open" and again.nfe == ("adaptive",)


def test_a_sweep_from_a_file_runs_the_cells_for_longer(
    results: Path, tmp_path: Path, cli: Cwbench
) -> None:
    path = tmp_path / "longer.toml"
    path.write_text(
        'task = "gaussian-linear"\nmethod = "energy-generator,knn"\npreset = "smoke"\n'
        f'results = "{results}"\nlonger = true\n'
    )
    done = cli("sweep", path, "--json")
    assert done.exit_code == 0, done.output
    statuses = {r["method"]["name"]: (r["status"], r["settings"]) for r in json.loads(done.stdout)}
    assert statuses["energy-generator"] == ("ok", {"preset.steps": "800"})
    assert statuses["knn"][0] == "skipped"
    refused = cli("sweep", path, "--set", "preset.steps=5")
    assert refused.exit_code == 2
    assert "takes 4 times the preset's steps; leave out --set preset.steps" in refused.stderr
    with pytest.raises(UsageError, match="leave out --set steps"):
        longer(resolve("gaussian-linear", "fm", preset="smoke", given={"steps": 10}))
