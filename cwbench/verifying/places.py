"""Files and folders that are given for records, which do not say where theirs lie.

A directory may hold records of several folders. What is given is believed to be somebody's: a
record that has other data is not made again by it, and nothing speaks against that record. Where it
is nobody's, its data are not those that some record was made of, and who gave it has to know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from cwbench.machine.guests import contained
from cwbench.records.record import Record, canonical
from cwbench.running.named import Named, OtherDataError, Owner
from cwbench.running.remade import Places, fits


class GivenPlaces:
    """Files and folders by setting, and which of them are those of some record."""

    def __init__(
        self, given: Mapping[str, Any], files: Named, readable: Callable[[], Iterable[Record]]
    ) -> None:
        """Note what is given.

        Args:
            given: as `cwbench.running.remade.remade_task` takes it.
            files: of tasks and methods that came from files.
            readable: all records.
        """
        self.given, self.files, self.readable = given, files, readable
        self._known: dict[tuple[Owner, str], bool] = {}

    @property
    def of_tasks(self) -> dict[str, Any]:
        """What is given, for tasks alone."""
        kept = (key for key in self.given if not key.startswith("method."))
        return {f"task.{key.removeprefix('task.')}": self.given[key] for key in kept}

    def of_others(self, error: OtherDataError) -> bool:
        """Whether each that was tried is what other records were made of."""
        return bool(error.tried) and all(self._of_some(error.owner, one) for one in error.tried)

    def _of_some(self, owner: Owner, places: Places) -> bool:
        key = owner, repr(sorted(places.items()))
        if key not in self._known:
            parts = {canonical(getattr(record, owner)): record for record in self.readable()}
            self._known[key] = any(self._fits(one, owner, places) for one in parts.values())
        return self._known[key]

    def _fits(self, record: Record, owner: Owner, places: Places) -> bool:
        with suppress(Exception), contained():  # of a plugin
            return fits(record, owner, places, self.files)
        return False
