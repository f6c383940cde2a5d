"""Names to classes through entry points: built-ins and plugins come through the same door.

Listing reads package metadata only. Loading one name imports one plugin, so a broken plugin breaks
nothing but itself.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import inspect
import json
import re
import sys
from collections import defaultdict
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint, distributions
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from cwbench.declared import refusal_of, wrong_in
from cwbench.errors import ContractError, UsageError, unknown
from cwbench.machine.sources import digests_of, modules_of, source_sha256

if TYPE_CHECKING:
    from cwbench.method import Method
    from cwbench.metric import Metric
    from cwbench.task import Task

Kind = Literal["task", "method", "metric"]
KINDS: tuple[Kind, ...] = ("task", "method", "metric")
"""Printed last by a process that imports plugins: one of them may end it with status 0."""


@dataclass(frozen=True)
class Plugin:
    """A registered name and where it comes from; nothing is imported."""

    kind: Kind
    name: str
    target: str
    distribution: str
    version: str
    entry_point: EntryPoint
    editable: bool

    def load(self) -> Any:
        """Import and return the class.

        Raises:
            ContractError: if the import fails, or what it brings is not what it says it is.
        """
        try:
            with _unchanged_torch():
                loaded = self.entry_point.load()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise ContractError(
                f"{self.kind} {self.name!r} of {self.distribution} {self.version} cannot be "
                f"imported: {type(error).__name__}: {error}. `cwbench list --check` shows all "
                "broken plugins."
            ) from error
        return checked(self.kind, loaded, f"{self.target} of {self.distribution}", self.name)


@functools.cache
def plugins() -> tuple[Plugin, ...]:
    """Every task, method and metric that can be had by its name, sorted by kind and name.

    From metadata alone. What claims a name that is malformed, or that another claims as well, is
    not among them and costs no other name: `refused`.
    """
    _claims.cache_clear()  # one cache to clear, this one's
    usable = [found[0] for name, found in _claims().items() if refusal_of(name, found) is None]
    return tuple(sorted(usable, key=lambda p: (KINDS.index(p.kind), p.name)))


def refused() -> dict[str, str]:
    """By name why it is not to be had; no name of what is installed soundly is among them."""
    plugins()
    reasons = {name: refusal_of(name, found) for name, found in _claims().items()}
    return {name: reason for name, reason in sorted(reasons.items()) if reason is not None}


@functools.cache
def _claims() -> dict[str, list[Plugin]]:
    """What is installed, by the names that it claims."""
    found: dict[tuple[str, str, str, str], Plugin] = {}
    seen: set[str] = set()
    for distribution in distributions():
        name, version = (_header(distribution, word) for word in ("Name", "Version"))
        own = re.sub(r"[-_.]+", "-", name).lower()
        if own in seen:  # a copy further down sys.path, which no import reaches
            continue
        seen.add(own)
        for entry_point in _entry_points(distribution):
            kind = entry_point.group.removeprefix("cwbench.").removesuffix("s")
            if entry_point.group == f"cwbench.{kind}s" and kind in KINDS:
                found[kind, entry_point.name, name, entry_point.value] = Plugin(
                    kind, entry_point.name, entry_point.value,
                    name, version, entry_point, _editable(distribution),
                )  # fmt: skip
    claims: dict[str, list[Plugin]] = defaultdict(list)
    for plugin in found.values():
        claims[plugin.name].append(plugin)
    return claims


def _header(distribution: Distribution, word: str) -> str:
    """A line of a distribution's metadata, empty where it cannot be read.

    `distribution.metadata` parses all of it, README included: half a second of all that is there.
    """
    with suppress(Exception):
        texts = (distribution.read_text(name) for name in ("METADATA", "PKG-INFO", ""))
        line = re.search(rf"^{word}:(.*)$", next(filter(None, texts), ""), re.MULTILINE)
        return line[1].strip() if line else ""
    return ""


def _entry_points(distribution: Distribution) -> list[EntryPoint]:
    """What a distribution registers; nothing where that cannot be read, as pip would tell."""
    with suppress(Exception):
        return list(distribution.entry_points)
    return []


def _editable(distribution: Distribution) -> bool:
    """Whether its code can change in place; what pip did not write so is an installed copy."""
    with suppress(ValueError, AttributeError):
        direct_url = json.loads(distribution.read_text("direct_url.json") or "{}")
        return bool(direct_url.get("dir_info", {}).get("editable"))
    return False


def refuse_clash(name: str) -> None:
    """Go on if a name is not one that is refused.

    Raises:
        UsageError: with the reason, and what to do.
    """
    reason = refused().get(name)
    if reason is not None:
        raise UsageError(reason)


def find(kind: Kind, name: str) -> Plugin:
    """The plugin of that name.

    Raises:
        UsageError: if there is none, near names and all names are listed; or if it is refused.
    """
    for plugin in plugins():
        if plugin.kind == kind and plugin.name == name:
            return plugin
    refuse_clash(name)
    elsewhere = [p.kind for p in plugins() if p.name == name]
    if elsewhere:
        raise UsageError(f"{name!r} is a {elsewhere[0]}, not a {kind}.")
    raise unknown(kind, name, (p.name for p in plugins() if p.kind == kind))


@dataclass(frozen=True)
class Loaded:
    """A class with its origin; `source_sha256` is set where the code can change in place."""

    cls: Any
    distribution: str
    version: str
    source_sha256: str | None

    @property
    def label(self) -> str:
        """The distribution with its version, as records name it; of a file its last name."""
        return f"{self.distribution} {self.version}".strip()


def in_file(name: str) -> bool:
    """Whether a plugin is named as `./file.py:ClassName`."""
    return ".py:" in name


def load(kind: Kind, name: str) -> Loaded:
    """Load `name`, or `./file.py:ClassName`, as a class.

    Raises:
        UsageError: if there is no such name or file.
        ContractError: if it cannot be imported or does not keep the contract.
    """
    return _load_file(kind, name) if in_file(name) else load_installed(kind, name)


def load_installed(kind: Kind, name: str) -> Loaded:
    """Load a registered name, such as a record's: never a file, whatever the name looks like.

    Raises:
        UsageError: if there is no such name.
        ContractError: if it cannot be imported or does not keep the contract.
    """
    plugin = find(kind, name)
    cls = plugin.load()
    own = plugin.distribution == "cwbench"
    source = _unchanged_source(cls) if plugin.editable and not own else None
    return Loaded(cls, plugin.distribution, plugin.version, source)


def load_any(name: str) -> tuple[Kind, Loaded]:
    """Load what `name` or `./file.py:ClassName` is, with its kind.

    Raises:
        UsageError: if there is no such name or file.
        ContractError: if it cannot be imported or is a plugin of no kind.
    """
    if not in_file(name):
        found = next((p for p in plugins() if p.name == name), None)
        if found is None:
            refuse_clash(name)
            raise unknown("name", name, (p.name for p in plugins()))
        return found.kind, load(found.kind, name)
    bases: dict[Kind, type] = {
        kind: getattr(importlib.import_module(f"cwbench.{kind}"), kind.capitalize())
        for kind in KINDS
    }
    cls = _class_in_file("plugin", name)
    for kind, base in bases.items():
        if inspect.isclass(cls) and issubclass(cls, base):
            return kind, load(kind, name)
    known = ", ".join(f"cwbench.{base.__name__}" for base in bases.values())
    raise ContractError(f"{name} is a subclass of none of {known}")


def load_task(name: str) -> type[Task]:
    """The task class of that name."""
    cls: type[Task] = load("task", name).cls
    return cls


def load_method(name: str) -> type[Method]:
    """The method class of that name."""
    cls: type[Method] = load("method", name).cls
    return cls


def load_metric(name: str) -> type[Metric]:
    """The metric class of that name."""
    cls: type[Metric] = load("metric", name).cls
    return cls


def _load_file(kind: Kind, name: str) -> Loaded:
    path = Path(name.rsplit(":", 1)[0])
    cls = checked(kind, _class_in_file(kind, name), name, None)
    source = source_sha256(path, cls.__module__)
    if _shares_its_name(cls):
        source = hashlib.sha256(f"{source} {cls.__qualname__}".encode()).hexdigest()
    return Loaded(cls, path.name, "", source)


def _shares_its_name(cls: Any) -> bool:
    """Whether another class of the file calls itself so: then the source does not say which."""
    beside = [v for v in vars(sys.modules[cls.__module__]).values() if inspect.isclass(v)]
    infos = [getattr(each, "info", None) for each in beside if each is not cls]
    return cls.info.name in [getattr(info, "name", None) for info in infos]


def _class_in_file(kind: str, name: str) -> Any:
    path_text, class_name = name.rsplit(":", 1)
    path = Path(path_text)
    if not path.is_file():
        raise UsageError(f"no such file: {path_text!r}; give {kind}s as ./file.py:ClassName")
    module_name = f"cwbench_file_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    _forget_changed(modules_of(path, module_name))
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path_text!r} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        with _unchanged_torch():
            spec.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        del sys.modules[module_name]
        told = f"{path_text} raises {type(error).__name__}: {error}"
        raise ContractError(f"{told}{_beside(path, error)}") from error
    if not hasattr(module, class_name):
        raise unknown(f"class in {path_text}", class_name, _classes(module))
    return getattr(module, class_name)


def _beside(path: Path, error: BaseException) -> str:
    """What to type where a file does not find the module that lies beside it."""
    name = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if name and ((path.parent / f"{name}.py").is_file() or (path.parent / name).is_dir()):
        return f"; it lies beside the file: put PYTHONPATH={path.parent} before the command"
    return ""


def _classes(module: ModuleType) -> list[str]:
    return [
        n for n, v in vars(module).items() if inspect.isclass(v) and v.__module__ == module.__name__
    ]


_seen: dict[str, str] = {}
"""SHA-256 of the modules of plugins that can change in place, as this process first saw them."""


def _forget_changed(modules: Mapping[str, Path]) -> None:
    """Let what a file imports be imported anew where it changed since this process saw it.

    The file itself always is; all that lies beside it goes together, since one may hold the other.
    """
    digests = digests_of(modules)
    if any(_seen.get(name, digest) != digest for name, digest in digests.items()):
        for name in modules:
            sys.modules.pop(name, None)
    _seen.update(digests)


def _unchanged_source(cls: type) -> str:
    """The hash of an editable package's class, whose modules this process imports but once.

    Raises:
        ContractError: if its source changed since: the old code would run under the new hash.
    """
    source = source_sha256(Path(inspect.getfile(cls)), cls.__module__)
    if _seen.setdefault(f"all of {cls.__module__}", source) != source:
        raise ContractError(
            f"the source of {cls.__module__} changed since this process imported it; "
            "start Python anew to run the new code"
        )
    return source


def _unchanged_torch() -> AbstractContextManager[None]:
    """A plugin that sets torch's default dtype when it is imported does so for itself alone."""
    from cwbench.machine.torch_state import plain_torch

    return plain_torch()


def checked(kind: Kind, loaded: Any, origin: str, name: str | None) -> Any:
    """Refuse what is not a concrete class of its kind with an `info` of the same name."""
    module = importlib.import_module(f"cwbench.{kind}")
    base = getattr(module, kind.capitalize())
    if not (inspect.isclass(loaded) and issubclass(loaded, base)):
        raise ContractError(f"{origin} is not a subclass of cwbench.{base.__name__}")
    if inspect.isabstract(loaded):
        missing = ", ".join(sorted(getattr(loaded, "__abstractmethods__", ())))
        raise ContractError(f"{origin} leaves undefined: {missing}")
    info = getattr(loaded, "info", None)
    if not isinstance(info, getattr(module, f"{base.__name__}Info")):
        raise ContractError(f"{origin} needs an `info`, a cwbench.{base.__name__}Info")
    wrong = wrong_in(info, getattr(module, f"{base.__name__}Info"))
    if wrong:
        raise ContractError(f"{origin}: {wrong}")
    if name is not None and info.name != name:
        raise ContractError(f"{origin} is registered as {name!r} but calls itself {info.name!r}")
    if info.contract != 1:
        raise ContractError(f"{origin} keeps contract {info.contract}; this cwbench knows 1")
    return loaded
