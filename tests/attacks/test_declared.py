"""What packages declare: names that clash or are none, and an `info` of every wrong kind."""

from __future__ import annotations

import dataclasses
import json
import math
import random
import re
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attacks.counts import Attack, Counts
from made_runs import write_run
from torch import Generator, Tensor

import cwbench
from cwbench import registry
from cwbench.errors import ContractError, CorruptFileError
from cwbench.records.record import parse
from cwbench.records.runs import iterate

HARMLESS = {"lost": 0, "wrong": 0, "executed": 0, "crashed": 0}


class Package(Distribution):
    """Metadata of a distribution that is nowhere."""

    def __init__(self, name: str, claims: list[tuple[str, str]]) -> None:
        lines = (f"[cwbench.{group}]\n{name} = no_such_module:Class\n" for group, name in claims)
        self.files_there = {
            "METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
            "entry_points.txt": "".join(lines),
        }

    def read_text(self, filename: str) -> str | None:
        """The file of that name."""
        return self.files_there.get(filename)

    def locate_file(self, path: Any) -> Any:
        """Nowhere."""
        return Path(path)


def clashes(tries: int, patch: pytest.MonkeyPatch) -> Counter[str]:
    """Random packages claim random names; who claims one alone has it, nobody else any."""
    found, draw = Counter(tried=0, **HARMLESS), random.Random(0)  # noqa: S311
    names = ["fm", "mine", "a", "Bad", "no_name", "-x", "y" * 64, "two-words", "../up", "$x$"]
    for _ in range(tries):
        packages = {
            name: [(draw.choice(["tasks", "methods", "metrics"]), draw.choice(names))
                   for _ in range(draw.randrange(4))]
            for name in ("cwbench", "one", "two", "three")
        }  # fmt: skip
        claimed = Counter(
            c for name, claims in packages.items() for c in {(name, *x) for x in claims}
        )
        owners = Counter(name for _, _, name in claimed)
        sound = {n for n in owners if owners[n] == 1 and re.fullmatch("[a-z0-9][a-z0-9-]{0,62}", n)}
        installed = [Package(name, claims) for name, claims in packages.items()]
        patch.setattr(registry, "distributions", lambda those=installed: those)
        registry.plugins.cache_clear()
        found["tried"] += 1
        usable, refused = [p.name for p in registry.plugins()], registry.refused()
        found["lost"] += len(sound - {*usable})
        found["wrong"] += sorted(usable) != sorted(sound) or {*refused} != {*owners} - sound
        found["wrong"] += any("uninstall cwbench" in reason for reason in refused.values())
    patch.undo()
    registry.plugins.cache_clear()
    return found


ODD: list[Any] = [
    None, True, False, 0, -1, 1, 1.0, 1.5, math.nan, math.inf, 10**400, 10**5000, "", "1", "a b",
    "x" * 10**5, "\ud800", "\x1b[2J", "\u202eabc", "$x$", "../up", "./mine.py:Mine", "adaptive", [],
    {}, (), {"smoke": 3}, {"../up": 3}, b"", object(), np.int64(1), np.float64(1), np.bool_(True),
]  # fmt: skip


def odd_infos(values: list[Any], record: dict[str, Any]) -> Counter[str]:
    """Every field of `info` takes every odd value: refused when it is loaded, or on record."""
    found = Counter(tried=0, **HARMLESS)
    for kind, name in (("task", "gaussian-linear"), ("method", "prior"), ("metric", "ew2sq")):
        cls = registry.load(kind, name).cls  # type: ignore[arg-type]
        for field in dataclasses.fields(cls.info):
            for value in values:
                found["tried"] += 1
                odd = type("Odd", (cls,), {"info": _changed(cls.info, field.name, value)})
                found[_outcome(kind, odd, record)] += 1  # type: ignore[arg-type]
    return found


def _changed(info: Any, field: str, value: Any) -> Any:
    """A copy with one field of any kind."""
    copy = dataclasses.replace(info)
    object.__setattr__(copy, field, value)
    return copy


def _outcome(kind: registry.Kind, odd: Any, record: dict[str, Any]) -> str:
    try:
        registry.checked(kind, odd, "odd", None)
    except ContractError:
        return "refused"
    except Exception:  # noqa: BLE001 - that is what is counted
        return "crashed"
    try:
        parse(json.dumps(_recorded(kind, odd.info, record)), "record.json")
    except (CorruptFileError, TypeError, ValueError):
        return "wrong"
    return "recorded"


def _recorded(kind: registry.Kind, info: Any, record: dict[str, Any]) -> dict[str, Any]:
    """A record of what declares that."""
    if kind == "metric":
        entry = record["metrics"]["ew2sq@nfe=10"]
        words = {k: getattr(info, k) for k in ("version", "direction", "debiased", "ranks")}
        return record | {"metrics": {f"{info.name}@nfe=10": entry | words}}
    part = record[kind]
    words = {key: getattr(info, key) for key in part if hasattr(info, key)}
    presets = [*getattr(info, "presets", {"smoke": None})] or ["smoke"]
    return record | {kind: part | words, "preset": presets[0]}


def shifted(shift: float) -> Callable[[Tensor, int, Generator], Tensor]:
    """One source, weights in a closure."""

    def sampler(y: Tensor, n: int, generator: Generator) -> Tensor:
        return torch.randn(len(y), n, 5, generator=generator) + shift

    return sampler


def samplers(tries: int, results: Path) -> Counter[str]:
    """Samplers of one name that differ in their weights, by one unit in the last place at least."""
    found = Counter(tried=0, **HARMLESS)
    shifts = [0.5 * 1.001**k for k in range(tries)]
    values = {}
    for shift in shifts:
        record = cwbench.evaluate(
            shifted(shift), "gaussian-linear", "smoke", results=results, quiet=True, figures=False,
            settings={"preset.samples": 4, "preset.observations": 3},
        )  # fmt: skip
        found["tried"] += 1
        values[record.run_id] = record.value("ew2sq")
    kept = {record.run_id: record.value("ew2sq") for record in iterate(results)}
    found["lost"] = tries - len(kept)
    found["wrong"] = sum(kept.get(run_id) != value for run_id, value in values.items())
    return found


def counted(found: Counter[str]) -> Counts:
    """What fell; what was refused or recorded was only tried."""
    return Counts(**{name: found[name] for name in ("tried", *HARMLESS)})


def in_clashes(place: Path, n: int) -> Counts:
    """n times."""
    with pytest.MonkeyPatch.context() as patch:
        return counted(clashes(n, patch))


def in_infos(place: Path, n: int) -> Counts:
    """n odd values in every field."""
    run = write_run(place, {"ew2sq@nfe=10": [1.0, 2.0]})
    return counted(odd_infos(ODD[:n], json.loads((run / "record.json").read_text())))


ATTACKS = [
    Attack("names that packages claim", in_clashes, 3000),
    Attack("odd values in every field of `info`", in_infos, len(ODD)),
    Attack("samplers of one name", lambda place, n: counted(samplers(n, place)), 60),
]


@pytest.fixture
def record(store: Callable[..., Path]) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((store() / "record.json").read_text())
    return content


def harmless(found: Counter[str]) -> bool:
    return found["tried"] > 0 and not any(found[name] for name in HARMLESS)


def test_every_module_here_declares_its_attacks() -> None:
    titles = [attack.title for attack in import_module("attacks.__main__").listed()]
    assert len(titles) == len({*titles}) > len([*Path(__file__).parent.glob("test_*.py")])


def test_a_clash_costs_its_name_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert harmless(found := clashes(60, monkeypatch)), found


def test_what_is_loaded_can_be_recorded(record: dict[str, Any]) -> None:
    assert harmless(found := odd_infos(ODD, record)), found
    assert found["refused"] > found["recorded"] > 0


def test_no_sampler_replaces_another(results: Path) -> None:
    assert harmless(found := samplers(3, results)), found


@pytest.mark.attacks
def test_clashes_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    assert harmless(found := clashes(3000, monkeypatch)), found


@pytest.mark.attacks
def test_samplers_in_full(results: Path) -> None:
    assert harmless(found := samplers(60, results)), found
