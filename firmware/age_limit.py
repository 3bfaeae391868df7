"""For how long footage may exist: older clips go, uploaded or not. A part of retention.py.

Clips are numbered as they are recorded, so the search begins with the lowest numbers
and ends where many in a row are young. A clip whose time is unknown has no age.
"""

import asyncio

from micropython import const

from firmware.retention_policy import AGE, IN_USE, Tally

_OLDEST = const(32)  # clips that are kept of one look; so many young ones end the search
_PAUSE_MS = const(100)  # between clips that go: each is reported
_CHECK_SEC = const(3600)  # the clock may be set, or an upload end


class AgeLimit:
    def __init__(self, eviction, max_age_sec, unix_time):
        self._eviction = eviction
        self._max_age_sec = max_age_sec
        self._unix_time = unix_time
        self._tally = Tally(_OLDEST)
        self._next_at = None  # when a clip may be too old next, Unix time

    async def check(self, cluster_bytes):
        """Let go what is too old, if anything can be. OSError when the card cannot be read."""
        now = self._unix_time()
        if now is None or (self._next_at and 0 < self._next_at - now <= _CHECK_SEC):
            return
        next_at, above = now + _CHECK_SEC, -1
        while above is not None:
            await self._eviction.look_through(
                self._tally, cluster_bytes, by_value=False, above=above
            )
            above, next_at = await self._judge(self._tally.first, now, next_at)
        self._next_at = next_at

    async def _judge(self, clips, now, next_at):
        """Let go which are too old: `(the last of them or None if all are young, when to look again)`."""
        are_young = True
        for packed in clips:
            await asyncio.sleep_ms(0)  # each is looked for in the directory, and in the journal
            since = self._eviction.since(packed)
            if since is not None and since + self._max_age_sec > now:
                next_at = min(next_at, since + self._max_age_sec)
                continue
            are_young = False
            if since is not None and self._eviction.evict(packed, AGE, IN_USE - 1):
                await asyncio.sleep_ms(_PAUSE_MS)
        return None if are_young else clips[-1], next_at
