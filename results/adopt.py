"""Copies runs into `results/runs`, as small as a leaderboard allows.

    python -m results.adopt [--models] DIR...

Each DIR is a results directory. Of a run, `record.json` and `observations.parquet` are kept: every
metric at every NFE and observation, since intervals and paired differences need each of them. What
is left out of the table stands in the record as a mean (`plug_in`), or is the same for all methods
of a task (`floor`). Values are float32 (7 digits; the mean of a metric moves by less than 1e-7 of
their size), their bytes sorted by significance before zstd. The record names the hash of the
smaller file, so that `cwbench verify results` holds, and is sealed; a metric is a line of it,
without what is as by default. A run that is there already is written again, to the same bytes;
one from a tree with uncommitted changes is refused.

`--models` copies models too, where they are small enough for the check of a pull request to draw
from them (`results.submission`); they do not stay in the repository.
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import fields, replace
from io import BytesIO
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from cwbench.errors import CwbenchError
from cwbench.machine.files import write_atomically
from cwbench.machine.seals import BLANK, sealed
from cwbench.records import runs as records
from cwbench.records.beside import MODEL, OBSERVATIONS, stored
from cwbench.records.entry import NEEDED, Entry
from cwbench.records.record import SEAL_START, Record, without_paths
from cwbench.records.values import gathered
from results.submission import LARGEST

ROOT = Path(__file__).parent
LEVEL = 19
"""Of zstd; reading is as fast at any."""
DEFAULTS = {f.name: f.default for f in fields(Entry) if f.name not in NEEDED}
"""Of an entry, where a record may leave them out."""


def small(file: Path | BytesIO) -> bytes:
    """An `observations.parquet` in few bytes, without `plug_in` and `floor`."""
    table = pd.read_parquet(file, columns=["observation", "metric", "nfe", "value"])
    table = table.astype({"observation": "int32", "value": "float32"})
    sink = pa.BufferOutputStream()
    pq.write_table(
        pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata(None), sink,
        compression="zstd", compression_level=LEVEL, use_dictionary=["metric", "nfe"],
        column_encoding={"observation": "DELTA_BINARY_PACKED", "value": "BYTE_STREAM_SPLIT"},
        write_statistics=False, store_schema=False,
    )  # fmt: skip
    return sink.getvalue().to_pybytes()


def lean(record: Record) -> bytes:
    """A `record.json` in few bytes, from which the same record is read."""
    content = json.loads(record.to_json())
    for name, entry in content["metrics"].items():
        kept = {key: v for key, v in entry.items() if key in NEEDED or v != DEFAULTS[key]}
        content["metrics"][name] = kept
    metrics = ",\n".join(
        f"  {json.dumps(name)}: {json.dumps(entry)}" for name, entry in content["metrics"].items()
    )
    parts = {key: json.dumps(value) for key, value in content.items()}
    parts |= {"metrics": f"{{\n{metrics}\n }}", "seal": json.dumps(BLANK.decode())}
    lines = (f" {json.dumps(key)}: {value}" for key, value in parts.items())
    return sealed(("{\n" + ",\n".join(lines) + "\n}\n").encode(), SEAL_START)


def adopt(record: Record, results: Path, *, models: bool = False) -> Path:
    """Write a run, which was read from its directory, below `results`; return its new directory.

    Args:
        record: of the run.
        results: where to.
        models: bring its model along, if it has a small one.

    Raises:
        CorruptFileError: if its values are not those it names; nothing is written.
    """
    gathered("", record)
    told = without_paths({part: getattr(record, part) for part in ("task", "method", "settings")})
    record = replace(record, **told)
    source = record.directory or Path()
    target = results.joinpath("runs", *source.parts[-5:])
    target.mkdir(parents=True, exist_ok=True)
    values = stored(source, OBSERVATIONS, record.files)
    if values is not None:
        content = small(BytesIO(values))
        write_atomically(target / OBSERVATIONS, content)
        files = record.files | {OBSERVATIONS: hashlib.sha256(content).hexdigest()}
        record = replace(record, files=files)
    model = stored(source, MODEL, record.files) if models else None
    if model is not None and len(model) <= LARGEST[MODEL]:
        write_atomically(target / MODEL, model)
    write_atomically(target / "record.json", lean(record))
    return target


def main(arguments: list[str]) -> None:
    directories = [word for word in arguments if word != "--models"]
    if not directories:
        sys.exit("usage: python -m results.adopt [--models] DIR..., each a results directory")
    for directory in map(Path, directories):
        runs = records.run_directories(directory)
        if not runs:
            sys.exit(f"no runs in {str(directory)!r}; give a directory that holds `runs`")
        for run in runs:
            try:
                record = records.read(run)
                if record is not None and record.environment.get("dirty"):
                    sys.exit(f"{run}: from a tree with uncommitted changes; commit, run it again")
                if record is not None:
                    print(adopt(record, ROOT, models="--models" in arguments))
            except (CwbenchError, OSError) as error:
                sys.exit(f"{run}: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
