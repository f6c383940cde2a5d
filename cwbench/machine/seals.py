"""Seals: the SHA-256 of a file inside the file, taken with zeros in its place.

Derived tables, floors, references, models and records carry one, and whoever reads them asks for
it: a flipped bit is no number. A seal is against accident, not intent: anybody can make one.
"""

from __future__ import annotations

import hashlib

BLANK = b"0" * 64
"""What stands in the place of a seal while it is taken."""


def sealed(content: bytes, start: bytes) -> bytes:
    """A file's content with its seal in the place of the blanks that follow `start`."""
    digest = hashlib.sha256(content).hexdigest().encode()
    return content.replace(start + BLANK, start + digest)


def is_sealed(content: bytes, start: bytes, begin: int = 0, end: int | None = None) -> bool:
    """Whether content is as it was sealed.

    Args:
        content: of a file.
        start: what stands before each place of the seal; the last one is asked.
        begin: of the part that may hold the seal.
        end: of that part.
    """
    end = len(content) if end is None else end
    at = content.rfind(start, begin, end) + len(start)
    digest = content[at : at + len(BLANK)]
    if at < len(start) or len(digest) < len(BLANK):
        return False
    return _blanked(content, start + digest, begin, end) == digest


def _blanked(content: bytes, mark: bytes, begin: int, end: int) -> bytes:
    """The SHA-256 with blanks; in parts, as a copy of hundreds of megabytes takes longer."""
    whole, sha256, done = memoryview(content), hashlib.sha256(), 0
    blank = mark[: -len(BLANK)] + BLANK
    at = content.find(mark, begin, end)
    while at >= 0:
        sha256.update(whole[done:at])
        sha256.update(blank)
        done = at + len(mark)
        at = content.find(mark, done, end)
    sha256.update(whole[done:])
    return sha256.hexdigest().encode()
