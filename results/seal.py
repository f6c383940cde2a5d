"""Seals the records of `results/runs` that have no seal yet: those of before 0.2.0.

    python -m results.seal [DIR...]

A record whose seal is broken ends it: `cwbench seal` seals what was edited by hand, and marks it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from cwbench.errors import CorruptFileError
from cwbench.records import runs as records

ROOT = Path(__file__).parent


def seal(results: Path) -> list[Path]:
    """Seal what is unsealed below a results directory; the directories of those runs.

    Raises:
        CorruptFileError: if a record is damaged; those before it are sealed.
    """
    sealed: list[Path] = []
    for directory in records.run_directories(results):
        record = records.read(directory)
        if record is not None and not record.sealed:
            records.write(directory, record)
            sealed.append(directory)
    return sealed


def main(directories: Iterable[str]) -> None:
    try:
        for results in [Path(each) for each in directories] or [ROOT]:
            print(f"{results}: {len(seal(results))} records sealed")
    except CorruptFileError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(sys.argv[1:])
