"""Other tasks live on while many clips are judged by their age."""

import asyncio

from firmware.age_limit import AgeLimit
from firmware.retention_policy import pack
from firmware.trigger import MOTION
from harness import eq

NOW, DAY = 1800000000, 86400


class Clips:
    """Stands for the eviction: clips by number, and when each was asked for."""

    def __init__(self, count, age_sec):
        self._count, self._age_sec = count, age_sec
        self.turns, self.at = 0, []

    async def look_through(self, tally, cluster_bytes, by_value, above):
        tally.first = [] if above >= 0 else [pack(0, MOTION, n + 1) for n in range(self._count)]

    def since(self, packed):
        self.at.append(self.turns)
        return NOW - self._age_sec

    def evict(self, packed, reason, most_rank):
        return False

    async def count(self):
        while True:
            self.turns += 1
            await asyncio.sleep_ms(0)


async def test_there_is_a_turn_before_each_clip():
    for age_sec in (DAY // 2, DAY * 2):
        clips = Clips(20, age_sec)
        counting = asyncio.create_task(clips.count())
        try:
            limit = AgeLimit(clips, DAY, lambda: NOW)
            if age_sec > DAY:
                await limit._judge([pack(0, MOTION, n + 1) for n in range(20)], NOW, NOW)
            else:
                await limit.check(512)
        finally:
            counting.cancel()
            await asyncio.gather(counting, return_exceptions=True)
        eq((len(clips.at), len(set(clips.at))), (20, 20))
