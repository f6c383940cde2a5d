"""The learned prior is fitted once for a task and seed; records say what was seen."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import cwbench
from cwbench.records.interruption import RunInterruptedError

SMALL = {"preset.steps": 20, "preset.training_pairs": 200, "preset.observations": 2,
         "preset.samples": 5}  # fmt: skip


class Stopping(cwbench.Callback):
    """Stops a run as Ctrl-C does half-way."""

    def on_log(self, step: int, values: Any) -> None:
        if step >= 10:
            raise KeyboardInterrupt


def record(
    results: Path, method: str, seed: int = 0, callbacks: Sequence[cwbench.Callback] = (),
    **given: Any,
) -> dict[str, Any]:  # fmt: skip
    made = cwbench.run(
        "gaussian-linear", method, preset="smoke", seed=seed, results=results,
        settings=SMALL | {f"method.{k}": v for k, v in given.items()}, figures=False, quiet=True,
        callbacks=callbacks,
    )  # fmt: skip
    (path,) = results.glob(f"runs/*/{method}/*/{made.run_id.rpartition('-')[0]}/seed-{seed}")
    content: dict[str, Any] = json.loads((path / "record.json").read_text())
    return content


def test_one_prior_serves_all_samplers_of_a_seed(tmp_path: Path) -> None:
    first = record(tmp_path, "pigdm", steps=3)
    second = record(tmp_path, "dps", steps=3)
    other = record(tmp_path, "pigdm", seed=1, steps=3)
    hashes = [each["diagnostics"]["prior_sha256"] for each in (first, second, other)]
    assert hashes[0] == hashes[1] != hashes[2]
    passes = [each["cost"]["network_passes"] for each in (first, second, other)]
    assert passes[0] == passes[2] > 0 == passes[1]  # its cost is told once
    for kept in tmp_path.glob(".cache/shared/*/model.safetensors"):
        kept.write_bytes(kept.read_bytes()[:-3])  # damaged: fitted again, to the same
    again = record(tmp_path, "pigdm", steps=4)
    assert again["diagnostics"]["prior_sha256"] == hashes[0]
    assert again["cost"]["network_passes"] == passes[0]


def test_the_flow_of_npe_is_corrected_as_it_is(tmp_path: Path) -> None:
    """Whichever comes first fits it, to the same; another transform is another flow."""
    alone = record(tmp_path / "alone", "npe-importance")
    plain = record(tmp_path, "npe")
    after = record(tmp_path, "npe-importance")
    assert alone["cost"]["network_passes"] == plain["cost"]["network_passes"] > 0
    assert after["cost"]["network_passes"] == after["cost"]["steps"] == 0
    assert after["metrics"] == alone["metrics"] != plain["metrics"]
    assert after["diagnostics"] == alone["diagnostics"]
    assert plain["diagnostics"]["shared_fit"] == after["diagnostics"]["shared_fit"]
    assert record(tmp_path, "npe", transforms=1)["cost"]["network_passes"] > 0
    other = record(tmp_path, "npe-importance", seed=1)
    assert other["cost"]["network_passes"] > 0

    seconds = [each["cost"]["fit_seconds"] for each in (plain, after, other)]
    assert 0 < after["cost"]["shared_seconds"] <= seconds[0]
    assert "shared_seconds" not in plain["cost"]
    whole = (after["cost"]["shared_seconds"] + seconds[1] + seconds[2]) / 2
    rows = cwbench.leaderboard(tmp_path, preset="smoke").set_index("method")["fit_seconds"]
    assert set(rows[["npe"]]) == {seconds[0]}
    assert rows[["npe-importance"]].to_numpy() == pytest.approx(whole)


def test_who_shares_a_fit_tells_its_seconds_whatever_became_of_the_run_that_fitted(
    tmp_path: Path,
) -> None:
    """That run diverged, or was done again, which finds the fit as all others do."""
    assert record(tmp_path, "dps", steps=3, zeta=1e300)["status"] == "diverged"
    found = record(tmp_path, "pigdm", steps=3)["cost"]
    assert found["steps"] == 0 < found["shared_seconds"]
    again = cwbench.run(
        "gaussian-linear", "pigdm", preset="smoke", results=tmp_path, figures=False, quiet=True,
        settings=SMALL | {"method.steps": 3}, force=True,
    )  # fmt: skip
    assert again.cost["shared_seconds"] == found["shared_seconds"]


def test_a_checkpoint_of_what_another_run_finished_meanwhile_counts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fit was stopped on the way, and is whole on the shelf when the run comes back."""
    monkeypatch.setenv("CWBENCH_CHECKPOINT_SECONDS", "0")
    with pytest.raises(RunInterruptedError):
        record(tmp_path, "npe-importance", callbacks=[Stopping()])
    (checkpoint, *_) = tmp_path.rglob("checkpoint/step-*.pt")
    plain = record(tmp_path, "npe")
    found = record(tmp_path, "npe-importance")
    assert found["cost"]["steps"] == found["cost"]["network_passes"] == 0
    assert 0 < found["cost"]["shared_seconds"] <= plain["cost"]["fit_seconds"]
    assert found["cost"]["fit_seconds"] < found["cost"]["shared_seconds"]
    assert "resuming" not in (checkpoint.parents[1] / "log.txt").read_text()
    assert not checkpoint.parent.exists()
    assert found["metrics"] == record(tmp_path / "alone", "npe-importance")["metrics"]


OWN = """
import torch
from cwbench import Method, MethodInfo
from cwbench_baselines.guided.learned import NAME
class Own(Method):
    info = MethodInfo(name="own", version=1, title="own", citation="none")
    def fit(self, data, context):
        self.state = context.shared(NAME, lambda: {"weight": torch.full((2,), VALUE)})
    def sample(self, y, n, generator, nfe=None):
        drawn = torch.randn(len(y), n, *self.spec.x_shape, generator=generator)
        return drawn + self.state["weight"][0]
    def diagnostics(self): return {"weight": float(self.state["weight"][0])}
    def state_dict(self): return self.state
    def load_state_dict(self, state): self.state = dict(state)
"""


def test_what_somebody_elses_method_shares_by_that_name_is_another(tmp_path: Path) -> None:
    """Before ours and after it; an edited file shares nothing with what it was."""
    alone = record(tmp_path / "alone", "pigdm", steps=3)["diagnostics"]["prior_sha256"]
    file, results = tmp_path / "own.py", tmp_path / "results"
    for value in (1.0, 2.0):
        file.write_text(OWN.replace("VALUE", str(value)))
        made = cwbench.run(
            "gaussian-linear", f"{file}:Own", preset="smoke", settings=SMALL, results=results,
            figures=False, quiet=True,
        )  # fmt: skip
        assert (made.status, made.diagnostics["weight"]) == ("ok", value)
    assert record(results, "pigdm", steps=3)["diagnostics"]["prior_sha256"] == alone


@pytest.mark.parametrize(
    ("method", "given", "needs"),
    [
        ("pigdm", {"steps": 3, "denoiser": "exact"}, ["denoiser", "operator"]),
        ("dps", {"steps": 3, "guidance": "score"}, ["likelihood"]),
        ("knn", {}, None),
        ("oracle", {}, None),
    ],
)
def test_records_say_what_was_seen_and_used(
    tmp_path: Path, method: str, given: dict[str, Any], needs: list[str] | None
) -> None:
    content = record(tmp_path, method, **given)
    assert content["method"].get("needs") == needs
    (used,) = content["cost"]["sampling"].values()
    if needs is None:
        assert set(used) == {"seconds", "evaluations"}  # as ever
    else:
        assert used["evaluations"] == used["jacobians"] == 3
        assert used["operators"] > 0
