"""A frame source that replays an Annex-B H.264 file from the card.

Memory is one buffer, which must hold the largest access unit of the file. The
time stamps go on without a break when the file starts over.
"""

import asyncio
from time import ticks_add, ticks_diff

from micropython import const

from annexb import AccessUnits, picture_size
from protocol_error import ProtocolError

_READ_BYTES = const(16384)  # bounds how long one read of the card holds the loop
_SECOND_90K = const(90000)


class ReplaySource:
    """`fps` is what the file was made with: an elementary stream does not tell."""

    codec = "h264"

    def __init__(self, path, *, fps, pace, loop, buffer_bytes, ticks_ms):
        """`pace`: "realtime" or "fast"; `loop`: start over at the end of the file."""
        self.fps = fps
        self.width = self.height = 0
        self._path = path
        self._is_realtime = pace == "realtime"
        self._loop = loop
        self._ticks_ms = ticks_ms
        self._units = AccessUnits(bytearray(buffer_bytes))
        self._file = None

    async def start(self):
        """Open the file and learn the picture's size; OSError, or ProtocolError if it is no H.264."""
        self.stop()
        self._file = open(self._path, "rb")
        self._units.restart()
        first = await self._next_unit()
        if first is None:
            raise ProtocolError(self._path + " holds no H.264 picture")
        self.width, self.height = picture_size(first[0])
        self._rewind()
        self._frame = 0  # within the present second
        self._second_90k = 0
        self._second_ms = self._ticks_ms()

    async def next(self):
        """`(access_unit, pts_90k, is_key)`, lent until the next call; None at the end of the file."""
        unit = await self._next_unit()
        if unit is None and self._loop:
            self._rewind()
            unit = await self._next_unit()
        if unit is None:
            return None
        await self._wait_until_due()
        pts_90k = self._second_90k + self._frame * _SECOND_90K // self.fps
        self._count()
        return unit[0], pts_90k, unit[1]

    def stop(self):
        """Close the file; `start` begins anew."""
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except OSError:
                return  # nothing was written: the file went with its card

    def _rewind(self):
        self._file.seek(0)
        self._units.restart()

    async def _next_unit(self):
        units = self._units
        unit = units.next_unit()
        while unit is None and not units.at_end:
            units.fed(self._file.readinto(units.free()[:_READ_BYTES]))
            unit = units.next_unit()
            await asyncio.sleep_ms(0)
        return unit

    async def _wait_until_due(self):
        wait_ms = 0
        if self._is_realtime:
            due_ms = ticks_add(self._second_ms, self._frame * 1000 // self.fps)
            wait_ms = max(0, ticks_diff(due_ms, self._ticks_ms()))
        await asyncio.sleep_ms(wait_ms)

    def _count(self):
        # Times are counted from the second's begin: no rounding adds up, nothing outgrows the ticks.
        self._frame += 1
        if self._frame == self.fps:
            self._frame = 0
            self._second_90k = (self._second_90k + _SECOND_90K) & ((1 << 33) - 1)
            self._second_ms = ticks_add(self._second_ms, 1000)
