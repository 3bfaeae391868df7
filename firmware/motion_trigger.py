"""Decides when to record, and as what: motion, somebody's word, the schedule, or always.

Of all reasons to record the one of the highest priority counts. The schedule and the
continuous mode are the background: what happens meanwhile is cut out as clips of its
own, from key frame to key frame, unless its priority is below theirs. Otherwise
whatever comes while a recording goes on prolongs it, and may raise its priority but
never lowers it.
"""

import asyncio
from time import ticks_add, ticks_diff

from micropython import const

from firmware.trigger import MOTION, default_priority
from motion import STARTED, STOPPED

_POLL_MS = const(20)
_POLLS_A_LOOK = const(50)  # the background changes by the minute


class MotionTrigger:
    def __init__(
        self,
        read_level,
        detector,
        *,
        start,
        switch,
        stop,
        ticks_ms,
        background=lambda: None,
        poll_ms=_POLL_MS,
    ):
        """`read_level()` is true on motion; `background()` gives what to record as when nothing
        happens, a trigger or None. `start(trigger, priority)`, `switch(trigger, priority)` (in a
        clip of its own) and `stop()` record.
        """
        self._read_level = read_level
        self._detector = detector
        self._start = start
        self._switch = switch
        self._stop = stop
        self._ticks_ms = ticks_ms
        self._read_background = background
        self._poll_ms = poll_ms
        self._background = None
        self._is_moving = False
        self._fired = []  # [trigger, priority, until_ms], each trigger once
        self._current = None  # (trigger, priority) of the recording that goes on
        self._is_background = False  # whether it is one
        self._polls_left = 0

    def fire(self, trigger, priority, duration_ms):
        """Record now for that long; a second call extends and keeps the higher priority."""
        until_ms = ticks_add(self._ticks_ms(), duration_ms)
        for one in self._fired:
            if one[0] == trigger:
                one[1] = max(one[1], priority)
                if ticks_diff(until_ms, one[2]) > 0:
                    one[2] = until_ms
                break
        else:
            self._fired.append([trigger, priority, until_ms])
        self._decide()

    async def run(self):
        """Watch pin, clock and commands, for ever."""
        while True:
            self._look(self._ticks_ms())
            await asyncio.sleep_ms(self._poll_ms)

    def _look(self, now_ms):
        event = self._detector.update(self._read_level(), now_ms)
        if event == STARTED:
            self._is_moving = True
        elif event == STOPPED:
            self._is_moving = False
        for one in self._fired:
            if ticks_diff(now_ms, one[2]) >= 0:
                self._fired.remove(one)
                break  # should there be more, the next look finds them
        if not self._polls_left:
            self._polls_left = _POLLS_A_LOOK
            self._background = self._read_background()
        self._polls_left -= 1
        self._decide()

    def _decide(self):
        event, current = self._best_event(), self._current
        if event is None:
            return self._fall_back(current)
        if current is None or (not self._is_background and event[1] > current[1]):
            self._start(*event)
        elif self._is_background:
            self._switch(*event)
        else:
            return
        self._current, self._is_background = event, False

    def _fall_back(self, current):
        """Nothing happens: record the background, or not at all."""
        trigger = self._background
        if trigger is None:
            if current:
                self._current = None
                self._stop()
            return
        if current and self._is_background and current[0] == trigger:
            return
        self._current = trigger, default_priority(trigger)
        self._is_background = True
        if current:
            self._switch(*self._current)
        else:
            self._start(*self._current)

    def _best_event(self):
        """`(trigger, priority)` of what happens now and is no less than the background, or None."""
        least = default_priority(self._background) if self._background else 0
        best = (MOTION, default_priority(MOTION)) if self._is_moving else None
        for trigger, priority, _ in self._fired:
            if best is None or priority > best[1]:
                best = trigger, priority
        return best if best and best[1] >= least else None
