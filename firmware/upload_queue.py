"""Who is next, among any number of jobs: what must be known of each to choose, and no more.

A job is a row of a few numbers; the job itself stays in the journal, at the same
row. Order is priority, then age. A waiting job may have to wait until a certain
tick; recording, running and failed ones are not chosen.

Pure: no IO.
"""

import struct
from array import array

from micropython import const

from firmware.job import FREE, RUNNING, WAITING

_GROWTH = const(64)  # rows at a time
_NAME_BYTES = const(4)
_MANY = const(128)


class UploadQueue:
    """`most` is the number of rows there may be."""

    def __init__(self, *, most, ticks_add, ticks_diff):
        self.most = most
        self._ticks_add = ticks_add
        self._ticks_diff = ticks_diff
        self._paused_until_ms = None
        self.clear()

    def clear(self):
        """Forget all rows."""
        self._states = bytearray()
        self._priorities = bytearray()
        self._names = bytearray()  # a hash of the path each
        self._orders = array("I")  # lower is older
        self._due = array("I")  # not before this tick; 0 for at once
        self._used = 0

    def __len__(self):
        return self._used

    def free_row(self):
        """A row for a new job, None when there is room for no more."""
        row = self._states.find(bytes((FREE,)))
        if row < 0 and len(self._states) < self.most:
            row = len(self._states)
            self._extend_to(row)
        return row if row >= 0 else None

    def put(self, row, job, name):
        """Fill a row; `name` is the hash of the path."""
        self._extend_to(row)
        if self._states[row] == FREE:
            self._used += 1
        self._states[row] = job.state
        self._priorities[row] = job.priority
        self._orders[row] = job.order
        self._due[row] = 0
        struct.pack_into("<I", self._names, row * _NAME_BYTES, name)

    def remove(self, row):
        if self._states[row] != FREE:
            self._used -= 1
        self._states[row] = FREE
        self._names[row * _NAME_BYTES : (row + 1) * _NAME_BYTES] = bytes(_NAME_BYTES)

    def state(self, row):
        return self._states[row]

    def set_priority(self, row, priority):
        self._priorities[row] = priority

    def set_state(self, row, state):
        self._states[row] = state

    def postpone(self, row, now_ms, delay_ms):
        """Let the job wait, not to be chosen before the delay is over."""
        self._states[row] = WAITING
        self._due[row] = (self._ticks_add(now_ms, delay_ms) or 1) if delay_ms > 0 else 0

    def rows_named(self, name):
        """The rows that may have the path with this hash."""
        key = struct.pack("<I", name)
        at = self._names.find(key)
        while at >= 0:
            row, rest = divmod(at, _NAME_BYTES)
            if not rest and self._states[row] != FREE:
                yield row
            at = self._names.find(key, at + 1)

    def rows_in(self, states):
        """All rows in one of these states, in no order."""
        for row in range(len(self._states)):
            if self._states[row] in states:
                yield row

    def has(self, state):
        """Whether a row is in that state."""
        return self._states.find(bytes((state,))) >= 0

    def has_room(self):
        """Whether there is room for a good many more: of few rows a quarter, or at least one."""
        return self.most - self._used > min(_MANY, self.most // 4)

    def take(self, now_ms, is_open):
        """The row of the next job whose time has come, now running; None if there is none.

        `is_open(priority)`: whether jobs of that priority may start now.
        """
        row = self.next_row(now_ms, is_open)
        if row is not None:
            self._states[row] = RUNNING
        return row

    def next_row(self, now_ms, is_open):
        """The row that take() would choose."""
        if self._pause_ms(now_ms):
            return None
        best = None
        for row in self.rows_in((WAITING,)):
            if best is not None and not self._is_before(row, best):
                continue
            if self._wait_ms(row, now_ms) == 0 and is_open(self._priorities[row]):
                best = row
        return best

    def priority(self, row):
        return self._priorities[row]

    def next_due_ms(self, now_ms):
        """How long until a job is due: 0 for at once, None when nothing waits."""
        soonest = None
        for row in self.rows_in((WAITING,)):
            wait_ms = self._wait_ms(row, now_ms)
            if soonest is None or wait_ms < soonest:
                soonest = wait_ms
        return None if soonest is None else max(soonest, self._pause_ms(now_ms))

    def pause(self, now_ms, delay_ms):
        """Choose nothing for that long."""
        self._paused_until_ms = self._ticks_add(now_ms, delay_ms)

    def _is_before(self, row, other):
        if self._priorities[row] != self._priorities[other]:
            return self._priorities[row] > self._priorities[other]
        return self._orders[row] < self._orders[other]

    def _extend_to(self, row):
        if row < len(self._states):
            return
        more = min(row // _GROWTH * _GROWTH + _GROWTH, self.most) - len(self._states)
        self._states.extend(bytes((FREE,)) * more)
        self._priorities.extend(bytes(more))
        self._names.extend(bytes(more * _NAME_BYTES))
        self._orders.extend(array("I", bytes(more * 4)))
        self._due.extend(array("I", bytes(more * 4)))

    def _wait_ms(self, row, now_ms):
        if self._due[row]:
            wait_ms = self._ticks_diff(self._due[row], now_ms)
            if wait_ms > 0:
                return wait_ms
            self._due[row] = 0  # due for good: ticks wrap, a due job stays due
        return 0

    def _pause_ms(self, now_ms):
        if self._paused_until_ms is not None:
            pause_ms = self._ticks_diff(self._paused_until_ms, now_ms)
            if pause_ms > 0:
                return pause_ms
            self._paused_until_ms = None
        return 0
