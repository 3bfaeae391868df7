"""What the camera sees: access units in memory, no two of them alike, at the pace of the clock.

Where it only matters which bytes come back they are made up; `real_film` is footage that plays, made
by tools/faults/footage.py.
"""

import asyncio
import random
from time import ticks_add, ticks_diff, ticks_ms

from nal_units import IDR, SLICE, pps, sps

FPS = 25
GROUP = 10
_IDR_BYTES = 8000
_OTHER_BYTES = 2700
_PATTERN_BYTES = 251  # prime to a sector, so that no two sectors are alike
_SECONDS = 8
_CLOCK_90K = 90000
_START = b"\x00\x00\x00\x01"
_FILMS = {}
_REAL = "build/faults/film-%d.units"
_KEY = 1 << 31
_REAL_FILMS = {}


def film(number):
    """The film of one boot: `[(access unit, is_key)]`. Ends, for then nobody records any more."""
    if number not in _FILMS:
        random.seed(1000 + number)
        _FILMS[number] = [_unit(n) for n in range(_SECONDS * FPS)]
    return _FILMS[number]


def _unit(n):
    is_key = n % GROUP == 0
    size = (_IDR_BYTES if is_key else _OTHER_BYTES) + random.getrandbits(7)
    # The first bit begins a picture; bytes of 128 and more never look like a start code.
    pattern = bytes([0x80 | random.getrandbits(7) for _ in range(_PATTERN_BYTES)])
    body = (pattern * (size // _PATTERN_BYTES + 1))[:size]
    if is_key:
        return sps() + pps() + _START + bytes((0x60 | IDR,)) + body, True
    return _START + bytes((0x60 | SLICE,)) + body, False


def real_film(number):
    """The same of real footage."""
    if number not in _REAL_FILMS:
        _REAL_FILMS[number] = _read(_REAL % number)
    return _REAL_FILMS[number]


def _read(path):
    units = []
    with open(path, "rb") as file:
        while True:
            head = file.read(4)
            if not head:
                return units
            size = int.from_bytes(head, "little")
            units.append((file.read(size & ~_KEY), bool(size & _KEY)))


class FilmSource:
    """A frame source in place of the replay: rests until the film runs, and at its end."""

    codec = "h264"
    fps = FPS

    def __init__(self, units):
        self._units = units
        self.width, self.height = 320, 240

    async def start(self):
        self._next = 0
        self._start_ms = ticks_ms()

    async def next(self):
        if self._next >= len(self._units):
            await asyncio.Event().wait()
        n, self._next = self._next, self._next + 1
        due_ms = ticks_add(self._start_ms, n * 1000 // FPS)
        await asyncio.sleep_ms(max(0, ticks_diff(due_ms, ticks_ms())))
        unit, is_key = self._units[n]
        return unit, n * _CLOCK_90K // FPS, is_key

    def stop(self):
        """There is nothing to close."""
