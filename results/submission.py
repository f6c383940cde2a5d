"""What a pull request's records are worth, and what they change on the boards.

    python -m results.submission BASE HEAD REPORT

BASE and HEAD are commits. The runs that HEAD adds or changes below `results/runs` are laid over
those of BASE in a directory of their own, `cwbench verify` is run on it with a seed of fresh
observations that is drawn now, and the boards before and after are compared. `REPORT/report.md`
tells all of it, if any run is changed, and names those of BASE that are changed or gone; the exit
status is 1 if something is refused, or taken away: a run of BASE goes only where HEAD has another
of the same task, method, settings, preset, track and seed, as a new version of it is.

Of HEAD nothing is checked out and nothing is run: its records are read from git as bytes, by names
and sizes that a record's files have (`.github/workflows/verify.yml` runs this file as it is in
BASE). A model is drawn from where it is small. It need not stay: models that an earlier commit of
HEAD had, and that were taken out again, are found too, so that none is left in the repository.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from cwbench.boards.changes import changes
from cwbench.boards.gathering import boards
from cwbench.errors import CorruptFileError
from cwbench.machine.files import write_atomically
from cwbench.records import runs as records
from cwbench.records.beside import MODEL, OBSERVATIONS
from cwbench.records.record import Record, canonical
from cwbench.records.schema import LONGEST, brief
from cwbench.records.shipped import OURS, Source
from cwbench.verifying.found import HEADS
from cwbench.verifying.verify import chosen_seed

RECORD = "record.json"
LARGEST = {RECORD: 1_000_000, OBSERVATIONS: 1_000_000, MODEL: 3_000_000}
"""Bytes of what may be handed in, by name: a run at `standard` has 40 kB of each of the first two,
a flow on images a model of 2.5 MB."""
MOST = 5_000
"""Files in one pull request."""
RUN = re.compile(
    r"runs/[a-z0-9][a-z0-9-]{0,62}/[a-z0-9][a-z0-9-]{0,62}/[a-z0-9][a-z0-9-]{0,62}"
    r"/[0-9a-f]{16}/seed-[0-9]{1,19}"
)
TOLD, NAMED = 200, 20
"""Refusals and files outside `results/runs` that are told; the others are counted."""
AWAY = (
    "These runs were there before, and none of the same task, method, settings, preset, track and "
    "seed takes their place with a result. Put them back: `git checkout origin/main -- "
    "results/RUN`. Where one has to go, say why in the pull request; a maintainer merges it in "
    "spite of this check."
)


class Change(NamedTuple):
    """A file that a pull request changes: its path, `mode` and content, none where it is gone."""

    path: str
    mode: str
    blob: str

    @property
    def run(self) -> str:
        """The directory of the run below `results` whose file it is; empty where it is none's."""
        place, _, name = self.path.removeprefix("results/").rpartition("/")
        return place if name in LARGEST and RUN.fullmatch(place) else ""

    @property
    def name(self) -> str:
        """Of the file."""
        return self.path.rpartition("/")[2]

    @property
    def plain(self) -> bool:
        """Whether it is neither a link nor a repository of its own."""
        return self.mode in ("100644", "100755")


@dataclass
class Taken:
    """What was taken of a pull request, and what was not."""

    runs: dict[str, str] = field(default_factory=dict)
    """Directories below `results` whose runs are `new`, `changed` or `gone`."""
    models: int = 0
    refused: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    """Files outside `results/runs`, which nothing here looks at."""
    staying: int = 0
    """Models that are still in HEAD."""


def git(*words: str, given: str | None = None) -> bytes:
    """What git answers.

    Raises:
        SystemExit: if it refuses.
    """
    command = ["git", *words]
    content = given.encode() if given else None
    done = subprocess.run(command, input=content, capture_output=True, check=False)  # noqa: S603
    if done.returncode:
        sys.exit(f"git {words[0]}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def changed(raw: bytes) -> Iterator[Change]:
    """The lines of git's `--raw -z`, as they follow each other."""
    parts = iter(raw.decode(errors="surrogateescape").split("\0"))
    for told in parts:
        if told.startswith(":"):
            _, mode, _, blob, state = told.split()
            yield Change(next(parts), mode, "" if state == "D" else blob)


RAW = ("--raw", "-z", "--no-abbrev", "--no-renames")


def earlier_models(base: str, head: str) -> dict[str, Change]:
    """By run, the models that commits of HEAD brought, the latest of each; even if gone since."""
    raw = git("log", "--reverse", "--format=", *RAW, f"{base}..{head}", "--", "results/runs")
    return {c.run: c for c in changed(raw) if c.name == MODEL and c.run and c.blob and c.plain}


def take(base: str, head: str, results: Path) -> Taken:
    """Lay the runs that HEAD changes over those of BASE, which are in `results`."""
    taken, chosen = Taken(), list[Change]()
    for change in changed(git("diff", *RAW, f"{base}...{head}")):
        if change.path in ("results", "results/runs"):
            taken.refused.append(f"{change.path} is no directory")
        elif not change.path.startswith("results/runs/"):
            taken.left.append(change.path)
        elif not change.run:
            taken.refused.append(f"{change.path} is no file of a run")
        elif change.blob and not change.plain:
            taken.refused.append(f"{change.path} is no plain file")
        else:
            chosen.append(change)
            taken.staying += bool(change.name == MODEL and change.blob)
    runs = {change.run for change in chosen}
    there = {change.path for change in chosen}
    brought = earlier_models(base, head)
    chosen += [brought[run] for run in runs & brought.keys() if brought[run].path not in there]
    sizes = _sizes(chosen)
    if len(chosen) > MOST:
        taken.refused.append(f"{len(chosen):,} files of runs, more than {MOST:,}")
        chosen, runs = [], set()
    known = {run for run in runs if (results / run / RECORD).is_file()}
    for change in chosen:
        _lay(change, sizes.get(change.blob, 0), results, taken)
    for run in sorted(runs):
        now, was = (results / run / RECORD).is_file(), run in known
        if now or was:
            taken.runs[run] = "gone" if not now else "changed" if was else "new"
        with suppress(OSError):  # files without a record stay, and are refused
            (results / run).rmdir()
    return taken


def _sizes(chosen: Iterable[Change]) -> dict[str, int]:
    asked = "".join(f"{change.blob}\n" for change in chosen if change.blob)
    lines = git("cat-file", "--batch-check", given=asked).decode().splitlines() if asked else []
    return {blob: int(size) for blob, _, size in map(str.split, lines)}


def _lay(change: Change, size: int, results: Path, taken: Taken) -> None:
    """Write a file of a run as it is in HEAD, or take it away."""
    target = results / change.run / change.name
    if not change.blob:
        target.unlink(missing_ok=True)
    elif size > LARGEST[change.name]:
        most = LARGEST[change.name]
        taken.refused.append(f"{change.path} has {size:,} bytes, more than {most:,}")
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(git("cat-file", "blob", change.blob))
        taken.models += change.name == MODEL


def unpack(commit: str, place: Path) -> None:
    """The runs of a commit, as `place/runs`."""
    (place / "runs").mkdir(parents=True)
    if git("ls-tree", commit, "--", "results/runs"):
        content = git("archive", "--format=tar", f"{commit}:results", "--", "runs")
        with tarfile.open(fileobj=BytesIO(content)) as archive:
            archive.extractall(place, filter="data")


def verified(results: Path, seed: int) -> list[dict[str, Any]]:
    """What `cwbench verify` says of every run.

    Raises:
        SystemExit: if it says nothing.
    """
    command = ["verify", "--json", "--fresh-seed", str(seed), str(results)]
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "cwbench", *command], capture_output=True, text=True, check=False
    )
    if not done.stdout:
        sys.exit(f"cwbench verify failed: {done.stderr[-LONGEST:]}")
    found: list[dict[str, Any]] = json.loads(done.stdout.replace(f"{results}/", ""))
    return found


def leave_out(refused: Iterable[str], before: Path, after: Path) -> None:
    """Have the directories of these runs as they were before."""
    for run in refused:
        shutil.rmtree(after / run, ignore_errors=True)
        if (before / run).is_dir():
            shutil.copytree(before / run, after / run)


def taken_away(runs: Mapping[str, str], before: Path, after: Path) -> list[str]:
    """Runs whose place no run takes: of one that was ok, none that is ok.

    Args:
        runs: that are `new`, `changed` or `gone`, below both directories.
        before: the results directory of BASE.
        after: that of HEAD, without what is refused.
    """
    taken = {(_place(record), record.status == "ok") for record in _readable(runs, after)}
    away = [
        record.directory
        for record in _readable(runs, before)
        if taken.isdisjoint({(_place(record), True), (_place(record), record.status == "ok")})
    ]
    return [place.relative_to(before).as_posix() for place in away if place]


def _readable(runs: Iterable[str], results: Path) -> Iterator[Record]:
    for run in runs:
        with suppress(CorruptFileError, OSError):
            record = records.read(results / run)
            if record is not None:
                yield record


def _place(record: Record) -> str:
    """What a run is of, whatever the versions of its task and method."""
    names = record.task["name"], record.method["name"], record.preset, record.track, record.seed
    return canonical([*names, record.settings])


def difference(before: Path, after: Path) -> str:
    """What the boards show otherwise; records that cannot be read are on none."""
    with tempfile.TemporaryDirectory() as home:
        shown = [
            boards([Source(place, OURS, Path(home, place.name))], metrics=()).boards
            for place in (before, after)
        ]
    return changes(*shown)


def _of_run(one: dict[str, Any]) -> str:
    """A run and what was found, in lines that a fence of tildes holds."""
    ways = [way for way in ("rescored", "redrawn") if one[way]]
    head = f"{HEADS[one['verdict']]:<7} {one['name'] or one['directory']}: "
    lines = [head + (", ".join(ways) or "hashes only")]
    lines += [f"  PROBLEM {text}" for text in one["problems"]]
    lines += [f"  {text}" for text in (*one["unchecked"], *one["notes"])]
    return "\n".join(map(brief, lines))


def _fenced(lines: Sequence[str], most: int) -> str:
    """The first of some lines as they are: each begins with a word of ours and ends no fence."""
    rest = [f"and {len(lines) - most:,} more"] if len(lines) > most else []
    return "\n".join(["~~~text", *lines[:most], *rest, "~~~"]) + "\n"


def report(
    taken: Taken, found: Sequence[dict[str, Any]], board: str, seed: int, away: Sequence[str] = ()
) -> str:
    """All of it in Markdown: refused, taken away, boards, what was there, runs, what is left."""
    told = [one for one in found if taken.runs.get(one["directory"]) in ("new", "changed")]
    others = [one for one in found if one["verdict"] == "refused" and one not in told]
    counts = [f"{list(taken.runs.values()).count(how)} {how}" for how in ("new", "changed", "gone")]
    wrong = [f"REFUSED {brief(text)}" for text in taken.refused]
    wrong += [_of_run(one) for one in (*told, *others) if one["verdict"] == "refused"]
    fine = [_of_run(one) for one in told if one["verdict"] != "refused"]
    drawn = sum(one["redrawn"] for one in told)
    text = f"Runs: {', '.join(counts)}; {len(wrong)} refused.\n"
    if taken.models:
        text += (
            f"Models: {taken.models}, {drawn} of them drawn from on fresh observations of seed "
            f"{seed}, which was drawn now.\n"
        )
    if taken.staying:
        text += f"Models to be taken out before this is merged: {taken.staying}.\n"
    if wrong:
        text += f"\n## Refused\n\n{_fenced(wrong, TOLD)}"
    if away:
        text += f"\n## Taken away\n\n{AWAY}\n\n{_fenced(away, TOLD)}"
    text += f"\n## Boards{', without what is refused' * bool(wrong)}\n\n{board}"
    old = [f"{how}: {run}" for run, how in taken.runs.items() if how != "new"]
    if old:  # a failed run stands on no board
        text += f"\n## Changed or gone\n\n{_fenced(old, TOLD)}"
    if fine:
        text += f"\n## Runs\n\n{_fenced(fine, MOST)}"
    if taken.left:
        names = [f"- {brief(name)}" for name in sorted(taken.left)]
        text += (
            f"\n## Not looked at\n\n{len(taken.left)} files outside results/runs, which nothing "
            f"here reads or runs:\n\n{_fenced(names, NAMED)}"
        )
    return text


def main(arguments: list[str]) -> None:
    if len(arguments) != 3 or any(word.startswith("-") for word in arguments):
        sys.exit("usage: python -m results.submission BASE HEAD REPORT: commits and a directory")
    base, head, place = arguments
    seed = chosen_seed()
    with tempfile.TemporaryDirectory() as directory:
        before, after = Path(directory, "before"), Path(directory, "after")
        unpack(base, before)
        shutil.copytree(before, after)
        taken = take(base, head, after)
        if not taken.runs and not taken.refused:
            print("no run is changed")
            return
        found = verified(after, seed) if any(after.rglob(RECORD)) else []
        refused = [one["directory"] for one in found if one["verdict"] == "refused"]
        leave_out(refused, before, after)
        away = taken_away(taken.runs, before, after)
        text = report(taken, found, difference(before, after), seed, away)
    write_atomically(Path(place, "report.md"), text.encode())
    print(text)
    if taken.refused or refused or away:
        sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
