"""The matrix of a sweep: tasks x methods x settings x seeds, as requests that are all checked.

What a comma means in `KEY=VALUE`: it separates alternatives, `method.beta=1,10,100` is three rows,
except for a key that holds a list (`preset.nfe`, `preset.metrics`, such fields of plugins), where
`1,3` is one value. Giving a key again adds an alternative, for every key. A value in double quotes
is one value with its commas. In Python and TOML a list means alternatives; for a
key that holds a list it is the value, and a list of lists means alternatives.

A setting applies to the combinations that have it, so that `method.beta=1,10` can stand beside
`fm`, which has no beta; a setting that no combination has is refused. `dps.steps=20` is the
`method.steps=20` of `dps` alone and goes before that of all; `deblurring.noise` likewise of a task.
"""

from __future__ import annotations

import csv
import itertools
import math
import re
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from cwbench import registry
from cwbench.errors import UsageError, unknown
from cwbench.preset import NFE, Preset
from cwbench.running.longer import longer as longer_of
from cwbench.running.recorded import identity_of
from cwbench.running.request import Request, resolve
from cwbench.sweeping.trial import refused_pairs

MOST = 100_000
"""Combinations of a sweep."""

Alternatives = dict[str, list[Any]]
"""The values of each key as typed."""


@dataclass(frozen=True)
class Combination:
    """One run of a matrix: the arguments that `resolve` takes, and what it made of them."""

    task: str
    method: str
    settings: dict[str, Any]
    nfe: list[NFE | str] | None
    metrics: list[str]
    request: Request


@dataclass(frozen=True)
class Matrix:
    """What a sweep spans."""

    tasks: tuple[str, ...]
    methods: tuple[str, ...]
    preset: str = "quick"
    seeds: tuple[int, ...] = (0,)
    settings: Mapping[str, Any] = field(default_factory=dict)
    nfe: tuple[NFE | str, ...] | None = None
    metrics: tuple[str, ...] = ()
    try_seconds: float = 600.0
    """What plugins of others have to be set up."""
    longer: bool = False
    """Whether each is run at four times its steps (`cwbench.running.longer`)."""

    def combinations(self) -> list[Combination]:
        """Every combination once, seeds innermost, all of them validated.

        Raises:
            UsageError: for anything a single run would be refused for, or a setting that no
                combination has.
        """
        self._refuse_nothing()
        found: dict[str, Combination] = {}
        used: set[str] = set()
        for task, method in self._sound_pairs():
            owners = _owners(task, method)
            values = _values_by_key(self.settings, owners)
            used |= values.keys()
            self._refuse_too_many(values)
            for settings in _expanded(_of_pair(values, task, method)):
                for combination in self._seeds(task, method, settings):
                    request = combination.request
                    key = f"{request.task.info.name}/{request.method.info.name}"
                    _add(found, f"{key}/{request.run_id}", combination)
        self._refuse_unused(used)
        return list(found.values())

    @cached_property
    def refused(self) -> dict[tuple[str, str], str]:
        """The pairs of task and method that a process apart could not set up, and why."""
        return refused_pairs(self)

    def _sound_pairs(self) -> list[tuple[str, str]]:
        pairs = itertools.product(self.tasks, self.methods)
        return [pair for pair in pairs if pair not in self.refused]

    def try_out(self) -> None:
        """Set up what a sweep of one task and method sets up, and ask it what a record asks.

        Raises:
            CwbenchError: if it is refused.
        """
        (task,), (method,) = self.tasks, self.methods
        values = _values_by_key(self.settings, _owners(task, method))
        for settings in _expanded(_of_pair(values, task, method)):
            for combination in self._seeds(task, method, settings):
                identity_of(combination.request)

    def _seeds(self, task: str, method: str, settings: dict[str, Any]) -> Iterator[Combination]:
        first = resolve(
            task, method, preset=self.preset, seed=self.seeds[0], given=settings, nfe=self.nfe,
            metrics=self.metrics,
        )  # fmt: skip
        nfe = None if self.nfe is None else list(self.nfe)
        if self.longer:
            first = longer_of(first)
            settings, nfe = first.settings, [each for each in first.nfe if each] or None
        for seed in self.seeds:  # a seed changes nothing that is checked
            request = replace(first, seed=seed)
            yield Combination(task, method, settings, nfe, list(self.metrics), request)

    def known(self) -> set[str]:
        """The keys of its settings that some combination has.

        Raises:
            UsageError: if a task or method does not exist.
        """
        pairs = self._sound_pairs()
        return {key for pair in pairs for key in _values_by_key(self.settings, _owners(*pair))}

    def _refuse_nothing(self) -> None:
        for flag, given in {
            "task": self.tasks,
            "method": self.methods,
            "seeds": self.seeds,
        }.items():
            if not given:
                raise UsageError(f"--{flag} names nothing; e.g. {_EXAMPLES[flag]}")

    def _refuse_too_many(self, values: Alternatives) -> None:
        """Refuse a matrix that would take hours to write down."""
        names = len(self.tasks), len(self.methods), len(self.seeds)
        count = math.prod([*names, *map(len, values.values())])
        if count > MOST:
            raise UsageError(f"the sweep has {count:,} combinations; {MOST:,} are the most at once")

    def _refuse_unused(self, used: set[str]) -> None:
        if self.refused:  # one of these may have it
            return
        owners = [_owners(t, m) for t, m in itertools.product(self.tasks, self.methods)]
        for key in self.settings:
            if key not in used:
                names = {f"{owner}.{n}" for one in owners for owner in OWNERS for n in one[owner]}
                raise unknown("setting", key, names)


def _add(found: dict[str, Combination], key: str, combination: Combination) -> None:
    """Keep a combination once.

    Raises:
        UsageError: if it is a run that is there, with other things to measure.
    """
    first, request = found.setdefault(key, combination).request, combination.request
    if (first.nfe, set(first.metrics)) != (request.nfe, set(request.metrics)):
        raise UsageError(
            "preset.nfe and preset.metrics make no run of their own, one fit serves all; "
            "give their values at once, e.g. --set preset.nfe=1,3,10"
        )


_EXAMPLES = {
    "task": "--task gaussian-mixture,two-moons",
    "method": "--method fm,cot-fm",
    "seeds": "--seeds 0-4",
}

Owners = dict[str, type[BaseModel]]

OWNERS = ("task", "method", "preset")


def _owners(task: str, method: str) -> dict[str, Mapping[str, Any]]:
    """The fields that settings can name, by owner."""
    models: Owners = {
        "task": registry.load("task", task).cls.Params,
        "method": registry.load("method", method).cls.Params,
        "preset": Preset,
    }
    models |= {task: models["task"], method: models["method"]}
    return {owner: model.model_fields for owner, model in models.items()}


def _of_pair(values: Alternatives, task: str, method: str) -> Alternatives:
    """The values by the keys of a single run: what names the task or method is theirs alone."""
    kinds = {task: "task", method: "method"}
    own: Alternatives = {}
    for key, given in values.items():
        owner, _, name = key.rpartition(".")
        if owner in kinds:
            own[f"{kinds[owner]}.{name}"] = given
    bare = {key.rpartition(".")[2] for key in own}
    shared = {
        key: given for key, given in values.items()
        if key.rpartition(".")[0] not in kinds and key not in own | dict.fromkeys(bare)
    }  # fmt: skip
    return shared | own


def _values_by_key(
    settings: Mapping[str, Any], owners: Mapping[str, Mapping[str, Any]]
) -> Alternatives:
    """The values of the keys that this combination has."""
    found: Alternatives = {}
    for key, given in settings.items():
        owner, _, name = key.rpartition(".")
        holders = [o for o, fields in owners.items() if name in fields and owner in ("", o)]
        if holders:  # several: `resolve` says which to choose from
            holds_list = _holds_list(owners[holders[0]][name].annotation)
            found[key] = alternatives(key, given, holds_list=holds_list)
    return found


def _holds_list(annotation: Any) -> bool:
    """Whether a field takes several values."""
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        return any(_holds_list(part) for part in typing.get_args(annotation))
    return (origin or annotation) in (tuple, list, set, frozenset)


def alternatives(key: str, given: Any, *, holds_list: bool) -> list[Any]:
    """What was given for a key as alternatives."""
    if isinstance(given, str):
        return [str(given)] if holds_list else split_at_commas(key, given)
    if not isinstance(given, (list, tuple)):
        return [[given]] if holds_list and given is not None else [given]
    if not given:
        raise UsageError(f"{key} is given no value")
    if holds_list and not any(isinstance(part, (list, tuple, Spelled)) for part in given):
        return [list(given)]
    spelled = (
        alternatives(key, part, holds_list=holds_list) if isinstance(part, Spelled) else [part]
        for part in given
    )
    return [value for values in spelled for value in values]


class Spelled(str):
    """A value as typed after `--set KEY=`."""

    __slots__ = ()


def split_at_commas(key: str, text: str) -> list[str]:
    """`1,10` as two values; what stands in double quotes is one.

    Raises:
        UsageError: if a value is empty or a quote is not closed.
    """
    try:
        (values,) = csv.reader([text], skipinitialspace=True, strict=True)
    except (csv.Error, ValueError):
        raise UsageError(f"{key} = {text!r} cannot be read: close the double quote") from None
    stripped = [value.strip() for value in values]
    if not stripped or not all(stripped):
        raise UsageError(f"{key} = {text!r} has an empty value; e.g. {key}=1,10")
    return stripped


def assignments(given: Iterable[str]) -> dict[str, list[Spelled]]:
    """`["method.beta=1,10", "preset.nfe=1,3", "preset.nfe=10"]` as values by key.

    Raises:
        UsageError: if one has no `=`.
    """
    settings: dict[str, list[Spelled]] = {}
    for assignment in given:
        key, equals, value = assignment.partition("=")
        if not equals or not key:
            raise UsageError(
                f"--set takes KEY=VALUE, got {assignment!r}; e.g. --set method.beta=1,10"
            )
        settings.setdefault(key, []).append(Spelled(value))
    return settings


def _expanded(values: Alternatives) -> Iterator[dict[str, Any]]:
    """One mapping for each choice of alternatives, the last key fastest."""
    for choice in itertools.product(*values.values()):
        yield dict(zip(values, choice, strict=True))


def seeds_of(given: int | str | Sequence[int | str]) -> tuple[int, ...]:
    """`0-4`, `0,2,5`, `0-2,7`, 3 or `[0, 1]` as seeds, each once.

    Raises:
        UsageError: for anything else.
    """
    parts = str(given).split(",") if isinstance(given, (int, str)) else given
    seeds: list[int] = []
    for part in parts:
        match = re.fullmatch(r"\s*(\d{1,9})(?:\s*-\s*(\d{1,9}))?\s*", str(part))
        if not match or isinstance(part, bool):
            raise UsageError(f"seeds {part!r} cannot be read; e.g. --seeds 0-4 or --seeds 0,2,5")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first or last - first >= 100_000:
            raise UsageError(f"seeds {part!r} is no range that goes up; e.g. --seeds 0-4")
        seeds += range(first, last + 1)
    return tuple(dict.fromkeys(seeds))


def absolute(name: str) -> str:
    """A name, or `./file.py:Class` with the whole path: workers may stand elsewhere."""
    path, colon, cls = name.rpartition(":")
    return f"{Path(path).resolve()}:{cls}" if colon and path.endswith(".py") else name
