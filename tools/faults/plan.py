"""Which faults there are to be tried: all of them, or a sample that a seed chooses."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tools.faults.workers import Answer, Share

DAY, NEW = "day", "new"
CUT_MODES = ("clean", "between", "lost", "later", "garbage")
IO_MODES = ("once", "stays", "gone", "read")
_SHARE_RUNS = 20


@dataclass(frozen=True)
class Extent:
    """How much is tried; None: all there is."""

    cuts_per_mode: int | None = None
    new_card_cuts_per_mode: int | None = None
    recoveries: int = 60  # that are cut at every write, per image
    io_errors_per_mode: int | None = None
    failed_reads: int = 200


WHOLE = Extent()
SAMPLE = Extent(
    cuts_per_mode=40,
    new_card_cuts_per_mode=6,
    recoveries=2,
    io_errors_per_mode=10,
    failed_reads=10,
)


def surveys(images: list[str]) -> list[Share]:
    return [{"image": i, "phase": phase, "do": "survey"} for i in images for phase in (DAY, NEW)]


def shares(
    image: str, surveyed: dict[tuple[str, str], Answer], extent: Extent, seed: int
) -> Iterator[Share]:
    """What is to be done with one image, whose phases were surveyed."""
    chance = random.Random(f"{seed} {image}")
    day, new = surveyed[image, DAY], surveyed[image, NEW]
    for mode in CUT_MODES:
        chosen = _some(day["cuts"][mode], extent.cuts_per_mode, chance)
        yield from _split(image, DAY, "cut", mode, chosen)
    for mode in CUT_MODES:
        chosen = _some(new["cuts"][mode], extent.new_card_cuts_per_mode, chance)
        yield from _split(image, NEW, "cut", mode, chosen)
    for _ in range(extent.recoveries):
        mode = chance.choice(CUT_MODES)
        number = chance.choice(day["cuts"][mode])
        yield {**_head(image, DAY, "recut", mode), "cuts": [number], "then": None}
    for mode in IO_MODES:
        is_read = mode == "read"
        most = extent.failed_reads if is_read else extent.io_errors_per_mode
        chosen = _some(range(day["reads" if is_read else "writes"]), most, chance)
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
