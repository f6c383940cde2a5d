"""Forgeries of records, generated from the schema, as somebody makes them who knows the code.

Every field that a rank depends on is changed alone, then with all that hangs on it: key, place,
hashes, and the values by observation.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from safetensors.torch import load_file, save_file

import cwbench
from cwbench.verifying.verify import verify

COSMETIC = {
    "schema", "error", "diagnostics", "cost", "started", "finished", "sealed", "edited", "seal",
    "directory", "task.distribution", "task.group", "method.distribution",
    "files.model.safetensors", "files.samples.safetensors",
}  # fmt: skip
"""No rank depends on them; nor on the environment, but for the number of processes."""
NOT_KEYED = {"nfe", "metrics", "follow", "follow_metric", "follow_images"}
NUMBERS = ("value", "low", "high", "p90", "plug_in")


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


def left_out_by(results: Path, *, cwbench: str | None = None, metric: str | None = None) -> None:
    """A metric that every run takes, left out of a record that says it is of another time.

    It names another cwbench, or says that its preset listed a metric that nobody has.
    """
    left_out(results, "energy")
    (directory,) = results.glob("runs/*/*/*/*/seed-1")
    content = content_of(directory)
    if cwbench:
        content["environment"]["cwbench"] = cwbench
    if metric:
        content["preset_values"]["metrics"] = [metric]
        content["settings"]["preset.metrics"] = metric
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


def said_of_the_model(results: Path, *path: str) -> None:
    """What its model costs, in half."""
    directory = forged(results)
    content = content_of(directory)
    part = content["cost"]
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = part[path[-1]] // 2 if part[path[-1]] else 1
    settled(directory, content, keyed=True)


def in_other_words(results: Path, value: Any, *path: str) -> None:
    """A setting as Python takes it for the same, and JSON for another: a second row."""
    directory = forged(results)
    content = content_of(directory)
    put(content, path, value)
    strip(directory)
    settled(directory, content, keyed=True)


def from_a_package(results: Path, distribution: str) -> None:
    """A copy of the other seed that says its method is somebody else's."""
    another_seed(results, stripped=True)
    (directory,) = results.glob("runs/*/*/*/*/seed-7")
    content = content_of(directory)
    content["method"]["distribution"] = distribution
    settled(directory, content, keyed=True)


RIDGE = [0.0001, 0.01, True, 100.0, 10000.0]

COMPOUND = [
    Forgery("a seed copied", another_seed),
    Forgery("a seed copied, stripped", lambda r: another_seed(r, stripped=True)),
    Forgery("a seed with noise, stripped", lambda r: another_seed(r, noise=1e-6, stripped=True)),
    Forgery("the oracle's samples beside a model", of_the_oracle),
    Forgery("other samples", other_samples),
    Forgery("all of another seed", seed_0s_samples),
    Forgery("more steps", lambda r: another_preset(r, steps=10**6)),
    Forgery("fewer parameters", lambda r: said_of_the_model(r, "parameters")),
    Forgery("other evaluations", lambda r: said_of_the_model(r, "sampling", "1", "evaluations")),
    Forgery("true for 1", lambda r: in_other_words(r, RIDGE, "method", "params", "ridge")),
    Forgery("1 for true", lambda r: in_other_words(r, 1, "preset_values", "standardise")),
    Forgery("a seed copied from a file", lambda r: from_a_package(r, "mine.py")),
    Forgery("a seed copied from a package", lambda r: from_a_package(r, "elsewhere 1.0")),
    Forgery("more pairs", lambda r: another_preset(r, training_pairs=10**6)),
    Forgery("a metric left out by an older cwbench", lambda r: left_out_by(r, cwbench="0.1.9")),
    Forgery("a metric left out by a release", lambda r: left_out_by(r, cwbench="0.1.0")),
    Forgery("a metric left out for one unknown", lambda r: left_out_by(r, metric="of-nobody")),
]


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
