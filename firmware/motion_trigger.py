"""Decides when to record: motion at the PIR, or somebody's word.

The pin is looked at every `poll_ms` and the pure detector turns its level into
events. A trigger by command is a motion of a known length. Recording goes on
while either wants it.
"""

import asyncio
from time import ticks_add, ticks_diff

from micropython import const

from firmware.trigger import MOTION, default_priority
from motion import STARTED, STOPPED

_POLL_MS = const(20)


class MotionTrigger:
    def __init__(self, read_level, detector, *, start, stop, ticks_ms, poll_ms=_POLL_MS):
        """`read_level()` is true on motion; `start(trigger, priority)`, `stop()` record."""
        self._read_level = read_level
        self._detector = detector
        self._start = start
        self._stop = stop
        self._ticks_ms = ticks_ms
        self._poll_ms = poll_ms
        self._is_moving = False
        self._fired_until_ms = None

    def fire(self, trigger, priority, duration_ms):
        """Record now for that long; a second call extends and keeps the higher priority."""
        until_ms = ticks_add(self._ticks_ms(), duration_ms)
        if self._fired_until_ms is None or ticks_diff(until_ms, self._fired_until_ms) > 0:
            self._fired_until_ms = until_ms
        self._start(trigger, priority)

    async def run(self):
        """Watch the pin, for ever."""
        while True:
            self._look(self._ticks_ms())
            await asyncio.sleep_ms(self._poll_ms)

    def _look(self, now_ms):
        was_wanted = self._is_wanted
        event = self._detector.update(self._read_level(), now_ms)
        if event == STARTED:
            self._is_moving = True
            self._start(MOTION, default_priority(MOTION))
        elif event == STOPPED:
            self._is_moving = False
        if self._fired_until_ms is not None and ticks_diff(now_ms, self._fired_until_ms) >= 0:
            self._fired_until_ms = None
        if was_wanted and not self._is_wanted:
            self._stop()

    @property
    def _is_wanted(self):
        return self._is_moving or self._fired_until_ms is not None
