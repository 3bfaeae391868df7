"""How far a recording has come that is uploaded while it goes on."""

import asyncio

from micropython import const

_LONGEST_WAIT_MS = const(1000)


class Growth:
    """`size_bytes` of the file are on the card; `is_done`: they are all there will be."""

    def __init__(self):
        self.size_bytes = 0
        self.is_done = False
        self._event = asyncio.Event()

    def reach(self, size_bytes):
        self.size_bytes = size_bytes
        self._event.set()

    def finish(self, size_bytes):
        self.is_done = True
        self.reach(size_bytes)

    async def changed(self):
        """Wait until more is on the card, or all of it; a source that stalls is waited for a second."""
        try:
            await asyncio.wait_for_ms(self._event.wait(), _LONGEST_WAIT_MS)
        except asyncio.TimeoutError:
            return
        self._event.clear()
