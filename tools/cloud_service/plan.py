"""The arithmetic of parts: how large, how many, which are stored, what their digest is.

Pure: no IO.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MAX_PARTS = 10_000  # of S3 and of OSS alike
_STEP_BYTES = 1 << 16
_MOST_CHOICES = 1024
_MD5_HEX = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Part:
    """One stored part; `etag` is lower case and has no quotes."""

    number: int
    size_bytes: int
    etag: str


def part_size(total_bytes: int, least_bytes: int) -> int:
    """At least `least_bytes`, and so many that MAX_PARTS are enough for the whole."""
    needed = -(-total_bytes // MAX_PARTS)
    if needed <= least_bytes:
        return least_bytes
    return -(-needed // _STEP_BYTES) * _STEP_BYTES


def part_count(total_bytes: int, size_bytes: int) -> int:
    return max(1, -(-total_bytes // size_bytes))


def parts_done(parts: Iterable[Part], size_bytes: int, total_bytes: int | None) -> int:
    """How many leading parts are stored whole; without a total, none is known to be the last."""
    stored = {(part.number, part.size_bytes) for part in parts}
    done = 0
    while total_bytes is None or done * size_bytes < total_bytes:
        expected = size_bytes
        if total_bytes is not None:
            expected = min(size_bytes, total_bytes - done * size_bytes)
        if (done + 1, expected) not in stored:
            break
        done += 1
    return done


def joined(parts: Iterable[Part], total_bytes: int, etag: str | None) -> list[Part] | None:
    """The parts from 1 on that make up `total_bytes`, and `etag` where given; None if none do.

    A store may list a part several times that was sent several times (SeaweedFS does); then the
    digest tells which are meant.
    """
    found: dict[int, list[Part]] = {}
    for part in parts:
        same = found.setdefault(part.number, [])
        if part not in same:
            same.append(part)
    count = int(etag.partition("-")[2]) if etag else len(found)
    if count == 0 or any(number not in found for number in range(1, count + 1)):
        return None
    choices = itertools.product(*(found[number] for number in range(1, count + 1)))
    for choice in itertools.islice(choices, _MOST_CHOICES):
        if sum(part.size_bytes for part in choice) == total_bytes:
            if etag is None or multipart_etag(choice) == etag:
                return list(choice)
    return None


def multipart_etag(parts: Sequence[Part]) -> str | None:
    """MD5 over the parts' binary MD5s, a dash and their number; None if an ETag is no MD5."""
    if not all(_MD5_HEX.fullmatch(part.etag) for part in parts):
        return None
    whole = hashlib.md5(b"".join(bytes.fromhex(part.etag) for part in parts))
    return f"{whole.hexdigest()}-{len(parts)}"
