"""Records that somebody changed on purpose: `verify` accepts none that can be found out.

The forgeries are generated from the schema: every field that a rank depends on is changed alone,
then with all that hangs on it (key, place, hashes, and the values by observation), as somebody does
who knows the code. What is beyond any check is listed as it is found.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest
import torch
from attacks.counts import Attack, Counts
from made_runs import write_run
from safetensors.torch import load_file, save_file

import cwbench
from cwbench.records.record import Record
from cwbench.verifying.verify import verify

COSMETIC = {
    "schema", "error", "diagnostics", "cost", "started", "finished", "sealed", "edited", "seal",
    "directory", "task.distribution", "task.group", "method.distribution",
    "files.model.safetensors", "files.samples.safetensors",
}  # fmt: skip
"""No rank depends on them; nor on the environment, but for the number of processes."""
NOT_KEYED = {"nfe", "metrics", "follow", "follow_metric", "follow_images"}
NUMBERS = ("value", "low", "high", "p90", "plug_in")

BEYOND = {
    "an oracle in disguise": "samples of the exact posterior, stored without a model as those of a "
    "learned method; with a model beside them fresh observations tell",
    "numbers made up": "values by observation with interval and percentile that follow from them, "
    "with neither samples nor a model: such a record is told as `hashes only`",
    "another seed with noise": "values of another seed, moved by more than 1e-4 of their range, "
    "with neither samples nor a model",
    "the best of many": "seeds or settings that were tried and not handed in; an NFE that was left "
    "out (`--nfe` may choose)",
    "a trained method's name": "a model by other code than the method of that name and version, "
    "where its samples are good: whoever judges the code has to fit it again",
    "its budget": "seconds, memory and the machine, and a fit that took more than its preset",
    "what is not installed": "a task or a method by another name: what is not here is not "
    "computed again, and such a record is told as `hashes only`",
    "a failure made up": "a run that is called failed, with a reason",
    "older than the suite": "a record that says it is of an older cwbench, task, method or metric: "
    "what has changed since is told as not checked, and it stands on a board or row of its own",
}
"""What no check of records can find, and why."""


class Forgery(NamedTuple):
    """A change of a results directory: its run with seed 1 is forged."""

    name: str
    forge: Callable[[Path], None]


def honest(place: Path) -> Path:
    """Two seeds of a learned method with models and samples."""
    for seed in (0, 1):
        cwbench.run(
            "gaussian-mixture", "linear-gaussian", preset="smoke", seed=seed, results=place,
            figures=False, quiet=True,
        )  # fmt: skip
    assert not any(found.refused for found in verify(place, fresh_seed=1))
    return place


def forged(results: Path) -> Path:
    """The directory of the run that is changed."""
    (directory,) = results.glob("runs/*/*/*/*/seed-1")
    return directory


def content_of(directory: Path) -> dict[str, Any]:
    content = json.loads((directory / "record.json").read_text())
    content.pop("seal", None)  # a forger seals anew, or has no seal
    return dict(content)


def settled(directory: Path, content: dict[str, Any], *, keyed: bool) -> None:
    """Write a record with the hashes of the files beside it, under the key that it should have."""
    content["files"] = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in directory.iterdir()
        if path.suffix in (".safetensors", ".parquet")
    }
    if keyed:
        content["fit_key"] = key_of(content)
    content["run_id"] = f"{content['fit_key'][:16]}-{content['seed']}"
    (directory / "record.json").write_text(json.dumps(content))
    parts = (
        content["task"]["name"], content["method"]["name"], content["preset"],
        content["fit_key"][:16], f"seed-{content['seed']}",
    )  # fmt: skip
    target = directory.parents[4].joinpath(*map(str, parts))
    if target != directory and all("/" not in str(part) for part in parts):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(directory, target)


def key_of(content: dict[str, Any]) -> str:
    """The key as cwbench makes it, written out again."""
    task, method = content["task"], content["method"]
    parts = {
        "task": [task[k] for k in ("name", "version", "params", "fingerprint", "source_sha256")],
        "method": [method[k] for k in ("name", "version", "params", "source_sha256")],
        "preset": {k: v for k, v in content["preset_values"].items() if k not in NOT_KEYED},
        "world_size": content["environment"]["world_size"],
    }
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every field of a record that a rank depends on, with its value."""
    name = ".".join(path)
    if name in COSMETIC or (path[:1] == ("environment",) and name not in WORLD):
        return
    if isinstance(value, dict) and value:
        for key, part in value.items():
            yield from leaves(part, (*path, key))
    else:
        yield path, value


WORLD = ("environment", "environment.world_size")


def another(value: Any, path: tuple[str, ...]) -> Any:
    """Another value of the same kind."""
    name = path[-1]
    words = {
        "direction": "higher", "unit": "images", "track": "open", "role": "lower",
        "status": "failed", "split": "dev", "activation": "gelu", "network": "mlp",
        "main_metric": "energy", "preset": "quick", "source_sha256": "a" * 64,
        "settings": {"preset.steps": "9"}, "changed": {"ridge": 3}, "error": "no reason",
        "metrics": ["w2sq-marginal"], "main_nfe": 3,
    }  # fmt: skip
    if name in words:
        return words[name]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value / 2 - 1e-3
    if isinstance(value, str):
        return value[:-1] + ("0" if value[-1:] != "0" else "1")
    return [*value, 5] if isinstance(value, list) else 0.5


def put(content: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for key in path[:-1]:
        content = content[key]
    content[path[-1]] = value


def by_field(content: dict[str, Any]) -> Iterator[Forgery]:
    """Each field alone, and with what hangs on it: hashes, key, place, the neighbouring numbers."""
    for path, value in leaves(content):
        for keyed in (False, True):
            if keyed and path[0] in ("fit_key", "run_id", "files"):
                continue  # what hangs on them is made anew

            def forge(
                results: Path, path: tuple[str, ...] = path, value: Any = value,
                keyed: bool = keyed,
            ) -> None:  # fmt: skip
                directory = forged(results)
                changed = content_of(directory)
                put(changed, path, another(value, path))
                if keyed:
                    changed["error"] = None if changed["status"] == "ok" else "made up"
                    settled(directory, changed, keyed=True)
                else:
                    (directory / "record.json").write_text(json.dumps(changed))

            yield Forgery(f"{'.'.join(path)}{', settled' * keyed}", forge)
    for identifier in content["metrics"]:
        yield Forgery(f"{identifier} made better", lambda r, i=identifier: better(r, i))
        yield Forgery(f"{identifier} left out", lambda r, i=identifier: left_out(r, i))
        yield Forgery(f"{identifier} floor", lambda r, i=identifier: other_floor(r, i))
        yield Forgery(f"{identifier} by observation", lambda r, i=identifier: shuffled(r, i))


def better(results: Path, identifier: str) -> None:
    """All numbers of a metric, and its values by observation, lower by a tenth."""
    directory = forged(results)
    content, path = content_of(directory), directory / "observations.parquet"
    entry, table = content["metrics"][identifier], pd.read_parquet(path)
    gap = 0.1 * abs(entry["value"]) + 0.01
    chosen = table.metric == identifier
    table.loc[chosen, ["value", "plug_in"]] -= gap
    table.to_parquet(path, index=False)
    for name in NUMBERS:
        if entry[name] is not None:
            entry[name] -= gap
    settled(directory, content, keyed=True)


def left_out(results: Path, identifier: str) -> None:
    """A metric that is not as good, with its values by observation."""
    directory = forged(results)
    content, path = content_of(directory), directory / "observations.parquet"
    del content["metrics"][identifier]
    table = pd.read_parquet(path)
    table[table.metric != identifier].to_parquet(path, index=False)
    settled(directory, content, keyed=True)


def other_floor(results: Path, identifier: str) -> None:
    """A floor that makes the ratio to it better, by observation too."""
    directory = forged(results)
    content, path = content_of(directory), directory / "observations.parquet"
    table = pd.read_parquet(path)
    table.loc[table.metric == identifier, "floor"] = 2.0
    table.to_parquet(path, index=False)
    content["metrics"][identifier]["floor"] = 2.0
    settled(directory, content, keyed=True)


def shuffled(results: Path, identifier: str) -> None:
    """Values in another order: mean, interval and percentile stay, paired differences do not."""
    directory = forged(results)
    content, path = content_of(directory), directory / "observations.parquet"
    table = pd.read_parquet(path)
    chosen = table.metric == identifier
    table.loc[chosen, "value"] = table.loc[chosen, "value"].to_numpy()[::-1]
    table.to_parquet(path, index=False)
    settled(directory, content, keyed=True)


def another_seed(results: Path, *, noise: float = 0.0, stripped: bool = False) -> None:
    """A copy of a seed under another number."""
    directory = forged(results)
    target = directory.with_name("seed-7")
    shutil.copytree(directory, target)
    content = content_of(target) | {"seed": 7}
    if stripped:
        strip(target)
    if noise:
        path = target / "observations.parquet"
        table = pd.read_parquet(path)
        table["value"] *= 1 + noise
        table.to_parquet(path, index=False)
        for entry in content["metrics"].values():
            entry |= {n: entry[n] * (1 + noise) for n in NUMBERS[:-1] if entry[n] is not None}
    settled(target, content, keyed=True)


def strip(directory: Path) -> None:
    """Take models and samples away, as `results.adopt` does."""
    for path in directory.glob("*.safetensors"):
        path.unlink()


def of_the_oracle(results: Path) -> None:
    """The record of a control under the method's name, with its samples and values."""
    cwbench.run(
        "gaussian-mixture", "oracle", preset="smoke", seed=1, results=results / "other",
        figures=False, quiet=True,
    )  # fmt: skip
    directory, (oracle,) = forged(results), (results / "other").glob("runs/*/*/*/*/seed-1")
    for name in ("samples.safetensors", "observations.parquet"):
        shutil.copy(oracle / name, directory / name)
    content = content_of(directory) | {"metrics": content_of(oracle)["metrics"]}
    settled(directory, content, keyed=True)


def other_samples(results: Path) -> None:
    """Samples beside values that are not theirs."""
    path = forged(results) / "samples.safetensors"
    save_file({k: torch.zeros_like(v) for k, v in load_file(path).items()}, path)
    settled(path.parent, content_of(path.parent), keyed=True)


def seed_0s_samples(results: Path) -> None:
    """All that was drawn by another seed."""
    directory = forged(results)
    source = directory.with_name("seed-0")
    for name in ("samples.safetensors", "observations.parquet", "model.safetensors"):
        shutil.copy(source / name, directory / name)
    content = content_of(directory) | {"metrics": content_of(source)["metrics"]}
    settled(directory, content, keyed=True)


def another_preset(results: Path, **values: Any) -> None:
    """Values of the preset that are better, on the track where they are not allowed."""
    directory = forged(results)
    content = content_of(directory)
    content["preset_values"] |= values
    settled(directory, content, keyed=True)


COMPOUND = [
    Forgery("a seed copied", another_seed),
    Forgery("a seed copied, stripped", lambda r: another_seed(r, stripped=True)),
    Forgery("a seed with noise, stripped", lambda r: another_seed(r, noise=1e-6, stripped=True)),
    Forgery("the oracle's samples beside a model", of_the_oracle),
    Forgery("other samples", other_samples),
    Forgery("all of another seed", seed_0s_samples),
    Forgery("more steps", lambda r: another_preset(r, steps=10**6)),
    Forgery("more pairs", lambda r: another_preset(r, training_pairs=10**6)),
]

EXCUSED = {
    "task.name, settled": "what is not installed",
    "method.name, settled": "a trained method's name",
    "status, settled": "a failure made up",
    "seed, settled, stripped": "numbers made up",
    "environment.world_size, settled, stripped": "its budget",
    "made better, stripped": "numbers made up",
    "by observation, stripped": "numbers made up",
}
"""Generated forgeries that are of a kind that no check finds, by the end of their names."""


def generated(content: dict[str, Any]) -> list[Forgery]:
    """All of them: with samples and model, and, where that is harder to find, without."""
    whole = list(by_field(content))
    bare = [
        Forgery(f"{one.name}, stripped", lambda results, one=one: _bare(results, one))
        for one in whole
    ]
    return [*COMPOUND, *whole, *bare]


def _bare(results: Path, one: Forgery) -> None:
    for directory in results.glob("runs/*/*/*/*/seed-*"):
        strip(directory)
        settled(directory, content_of(directory), keyed=False)
    one.forge(results)


def attack(place: Path, n: int) -> Counts:
    """N forgeries, or all if there are fewer: `wrong` counts those that are accepted."""
    return accepted(place, n)[0]


def accepted(place: Path, n: int) -> tuple[Counts, list[str]]:
    """What came of them, and the names of those that passed."""
    origin = honest(place / "honest")
    every = generated(content_of(forged(origin)))
    order = random.Random(3)  # noqa: S311 - no secret
    half = n // 2
    some = order.sample(COMPOUND, min(half, len(COMPOUND)))
    some += order.sample(every[len(COMPOUND) :], min(n - half, len(every) - len(COMPOUND)))
    chosen = every if n >= len(every) else some
    passed, crashed = [], 0
    for one in chosen:
        copy = place / "forged"
        shutil.copytree(origin, copy)
        one.forge(copy)
        try:
            if not any(found.refused for found in verify(copy, fresh_seed=5)):
                passed.append(one.name)
        except Exception:  # noqa: BLE001 - counted
            crashed += 1
        shutil.rmtree(copy)
    wrong = [name for name in passed if not beyond(name)]
    return Counts(tried=len(chosen), wrong=len(wrong), crashed=crashed), passed


def beyond(name: str) -> bool:
    """Whether a forgery is of a kind that nothing finds."""
    return any(part in name for part in EXCUSED)


ATTACKS = (Attack("forgeries", attack, 10**6),)


def test_every_field_of_a_record_is_forged_or_cosmetic(tmp_path: Path) -> None:
    """A field that is added to the record has to be put into one of both."""
    content = content_of(write_run(tmp_path, {"ew2sq": [1.0, 2.0]}))
    changed = {path[0] for path, _ in leaves(content)}
    named = {field.name for field in fields(Record)}
    assert named <= changed | {"environment"} | {name.partition(".")[0] for name in COSMETIC}


@pytest.mark.parametrize(
    "n", [10, pytest.param(10**6, marks=pytest.mark.attacks)], ids=["twin", "full"]
)
def test_no_forgery_that_can_be_found_is_accepted(tmp_path: Path, n: int) -> None:
    counts, passed = accepted(tmp_path, n)
    assert (counts.wrong, counts.crashed) == (0, 0), [name for name in passed if not beyond(name)]


def test_what_is_beyond_is_explained_and_stands_in_the_guide() -> None:
    assert {*EXCUSED.values()} <= {*BEYOND}
    page = (Path(__file__).parents[2] / "docs" / "trust.md").read_text()
    for what, why in BEYOND.items():
        assert f"| {what} | {why} |" in page
