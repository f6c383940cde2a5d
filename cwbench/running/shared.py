"""What several methods of a task and seed use: fitted once, kept beside the runs.

It is derived and safe to delete. What is damaged, or of another fit, is fitted again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from cwbench.errors import CorruptFileError
from cwbench.method import State
from cwbench.records import beside, storage
from cwbench.running.request import Request, keyed_preset


@dataclass(frozen=True)
class Shelf:
    """Where the shared parts of one task, preset, seed and origin of methods are kept."""

    directory: Path
    decisive: tuple[Any, ...]

    @classmethod
    def of(cls, cache: Path, request: Request) -> Shelf:
        """That of a request, for all methods of one origin: others may mean another by a name."""
        task, origin = request.task, request.method_origin
        code = origin.label, origin.source_sha256
        decisive = (*task.identity, keyed_preset(request.preset), request.seed, *code)
        return cls(cache / "shared", decisive)

    def place(self, name: str) -> Path:
        """Where the state of that name is kept."""
        return self.directory / f"{name}-{self._key(name)[:16]}"

    def _key(self, name: str) -> str:
        text = json.dumps([name, self.decisive], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    def state(self, name: str, fit: Callable[[], tuple[State, float]]) -> tuple[State, float]:
        """The state of that name, and the seconds that another run took to fit it.

        Args:
            name: of the state.
            fit: what makes it if there is none that can be used, and the seconds that took.
        """
        key, place = self._key(name), self.place(name)
        if (place / beside.MODEL).is_file():
            try:
                found, facts = storage.load_model(place, key)
            except CorruptFileError:
                pass  # made again below
            else:
                return found, float(facts.get("seconds", 0.0))
        made, seconds = fit()
        state: dict[str, Tensor | bytes] = dict(made)
        place.mkdir(parents=True, exist_ok=True)
        storage.save_model(place, state, key, {"seconds": seconds})
        return state, 0.0
