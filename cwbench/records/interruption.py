"""How a run or a sweep ends that was asked to stop: an interrupt with what is on record."""

from __future__ import annotations

from cwbench.records.record import Record


class RunInterruptedError(KeyboardInterrupt):
    """A run was asked to stop and did; `record` says so. The same call resumes it.

    A KeyboardInterrupt, so that a loop over runs ends too.
    """

    def __init__(self, record: Record) -> None:
        super().__init__(record.error)
        self.record = record


class SweepInterruptedError(KeyboardInterrupt):
    """A sweep was asked to stop and did; the same call goes on. `records` holds what there is."""

    def __init__(self, records: list[Record], missing: int) -> None:
        super().__init__(f"stopped; {missing} runs have no record yet; the same command goes on")
        self.records = records
        self.missing = missing
