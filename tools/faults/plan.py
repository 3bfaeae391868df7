"""Which faults there are to be tried: all of them, or a sample that a seed chooses."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tools.faults.workers import Answer, Share

# A camera's first start on a new card; a day as ever; one with clips that go out while they are
# recorded; one of a camera that keeps what it delivered; one of real footage, that is about recording.
PHASES = NEW, DAY, LIVE, KEEPING, RECORDING = "new", "day", "live", "keeping", "recording"
CUT_MODES = ("clean", "between", "lost", "later", "garbage")
IO_MODES = ("once", "stays", "gone", "read")
_SHARE_RUNS = 20


@dataclass(frozen=True)
class Extent:
    """How much is tried of each image; None: all there is."""

    cuts: dict[str, int | None]  # by phase, in each mode
    recoveries: dict[str, int]  # that are cut, by phase
    recovery_step: int  # at each so-many-th write
    failed_writes: int | None  # in each mode
    failed_reads: int


WHOLE = Extent(
    cuts={NEW: None, DAY: None, LIVE: None, KEEPING: 200, RECORDING: None},
    recoveries={DAY: 10, LIVE: 10, RECORDING: 10},
    recovery_step=1,
    failed_writes=None,
    failed_reads=200,
)
SAMPLE = Extent(
    cuts={NEW: 6, DAY: 30, LIVE: 12, KEEPING: 6, RECORDING: 12},
    recoveries={DAY: 1, LIVE: 1, RECORDING: 1},
    recovery_step=4,
    failed_writes=10,
    failed_reads=10,
)


def surveys(images: list[str]) -> list[Share]:
    return [{"image": i, "phase": phase, "do": "survey"} for i in images for phase in PHASES]


def shares(
    image: str, surveyed: dict[tuple[str, str], Answer], extent: Extent, seed: int
) -> Iterator[Share]:
    """What is to be done with one image, whose phases were surveyed."""
    chance = random.Random(f"{seed} {image}")
    for phase in PHASES:
        for mode in CUT_MODES:
            chosen = _some(surveyed[image, phase]["cuts"][mode], extent.cuts[phase], chance)
            yield from _split(image, phase, "cut", mode, chosen)
        yield from _recoveries(image, phase, surveyed[image, phase], extent, chance)
        if phase == DAY:
            yield from _failures(image, surveyed[image, phase], extent, chance)


def _recoveries(
    image: str, phase: str, seen: Answer, extent: Extent, chance: random.Random
) -> Iterator[Share]:
    for _ in range(extent.recoveries.get(phase, 0)):
        mode = chance.choice(CUT_MODES)
        number = chance.choice(seen["cuts"][mode])
        head = _head(image, phase, "recut", mode)
        yield {**head, "cuts": [number], "then": None, "step": extent.recovery_step}


def _failures(image: str, seen: Answer, extent: Extent, chance: random.Random) -> Iterator[Share]:
    for mode in IO_MODES:
        is_read = mode == "read"
        most = extent.failed_reads if is_read else extent.failed_writes
        chosen = _some(range(seen["reads" if is_read else "writes"]), most, chance)
        yield from _split(image, DAY, "io", mode, chosen)


def _some(numbers: Sequence[int], count: int | None, chance: random.Random) -> list[int]:
    if count is None or count >= len(numbers):
        return list(numbers)
    return sorted(chance.sample(numbers, count))


def _head(image: str, phase: str, do: str, mode: str) -> dict[str, Any]:
    return {"image": image, "phase": phase, "do": do, "mode": mode}


def _split(image: str, phase: str, do: str, mode: str, numbers: list[int]) -> Iterator[Share]:
    for at in range(0, len(numbers), _SHARE_RUNS):
        yield {**_head(image, phase, do, mode), "cuts": numbers[at : at + _SHARE_RUNS]}
