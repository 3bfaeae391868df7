"""P7: what 1,000 queued uploads take of the heap, of the card and of the time to start.

The product's journal and queue work on a FAT32 image, through VfsFat and a block device that counts
what is read and written. A time here holds for this machine, where a block costs a call in Python; so
a start is counted in instructions and sectors as well, for two sizes of the journal.
"""

import statistics
from collections.abc import Callable
from pathlib import Path

from tools.bench.interpreter import ROOT, count, run, scratch
from tools.bench.report import Row, Target
from tools.virtual_board import card

_JOBS = 1000
_PLACES = 2048, 4096
_CARD_MB = 64
_HEAP = "2M"
_STARTS = 5
_ALLOWED_BYTES = 64


def measure(say: Callable[[str], None]) -> list[Row]:
    image = scratch("queue.img")
    try:
        rows, starts = [], []
        for places in _PLACES:
            say(f"queues {_JOBS} jobs, {places} places")
            card.create(ROOT / image, _CARD_MB)
            filled = _run("fill", image, places)
            say(f"starts with {_JOBS} jobs, {places} places")
            starts.append(_start(image, places))
            if places == _PLACES[0]:
                changed = _run("change", image, places)
                rows = [*_heap(filled), *_writes(changed)]
        return rows + _starts(*starts)
    finally:
        (ROOT / image).unlink(missing_ok=True)


class _Start:
    """A camera's start: medians of several for the time, instructions of one."""

    def __init__(self, runs: list[dict[str, int]], instructions: int) -> None:
        self.ms = statistics.median(each["us"] for each in runs) / 1000
        self.read = runs[-1]["read"]
        self.instructions = instructions


def _start(image: Path, places: int) -> _Start:
    runs = [_run("recover", image, places) for _ in range(_STARTS)]
    told = (image, places, _JOBS)
    work, nothing = (
        count("job_queue.py", work, *told, heap=_HEAP)["instructions"]
        for work in ("recover", "idle")
    )
    return _Start(runs, work - nothing)


def _run(work: str, image: Path, places: int) -> dict[str, int]:
    return run("job_queue.py", work, image, places, _JOBS, heap=_HEAP)


def _heap(filled: dict[str, int]) -> list[Row]:
    each = filled["heap_bytes"] / filled["jobs"]
    small = Target("value", "<=", _ALLOWED_BYTES)
    return [Row("P7", f"bytes of heap per job, {_JOBS} jobs queued", each, target=small)]


def _writes(changed: dict[str, int]) -> list[Row]:
    copies = 2 * changed["changes"]
    what = "per change of a job's state"
    one = Target("value", "=", 1)
    return [
        Row(
            "P7",
            f"journal records {what}, in each of two copies",
            changed["records"] / copies,
            target=one,
        ),
        Row(
            "P7",
            f"card sectors written {what}, both copies; against the records alone",
            changed["written"] / changed["changes"],
            changed["records"] / changed["changes"],
        ),
    ]


def _starts(few: _Start, many: _Start) -> list[Row]:
    what = f"to start with {_JOBS} jobs and their clips, journal of"
    both = f"{what} {_PLACES[1]} places; against one of {_PLACES[0]}"
    in_proportion = Target("ratio", "<=", _PLACES[1] / _PLACES[0])
    return [
        Row("P7", f"ms {what} {_PLACES[0]} places", few.ms),
        Row("P7", f"instructions {both}", many.instructions, few.instructions, in_proportion),
        Row("P7", f"card sectors read {both}", many.read, few.read, in_proportion),
    ]
