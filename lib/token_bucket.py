"""A rate that several senders share, as a debt measured in time.

    debt: | -burst_ms ....... 0 .......... |
          | saved up, no wait | wait so long |

Every byte adds to the debt what it takes at the rate, and time pays it off. Who
takes bytes always gets them, and is told how long to wait before sending them;
so nobody queues, and senders that take as much at a time get as much in the end.
What is less than a millisecond is carried along: the rate does not drift.

Invariant: a sender that waits as told exceeds the rate by `burst_bytes` at most,
however long it runs. All numbers stay below 2**30 for takes up to 64 KiB, so on
no board a take allocates.

Pure: no IO.
"""

from micropython import const

MOST_BYTES_PER_SEC = const(1000 * 1000 * 1000)

_LATE_MS = const(60000)  # ticks older than the last ones by more have wrapped round
_LONGEST_BURST_MS = const(3600 * 1000)


class TokenBucket:
    def __init__(self, bytes_per_sec, burst_bytes, ticks_diff):
        """Full at the beginning; ValueError for a rate that is none."""
        if not 1 <= bytes_per_sec <= MOST_BYTES_PER_SEC:
            raise ValueError("bytes_per_sec: allowed are 1..%d" % MOST_BYTES_PER_SEC)
        self._ticks_diff = ticks_diff
        self._rate = bytes_per_sec
        self._burst_ms = min(burst_bytes * 1000 // bytes_per_sec, _LONGEST_BURST_MS)
        self._last_ms = None
        self._debt_ms, self._rest = -self._burst_ms, 0

    def take(self, n_bytes, now_ms):
        """Take them; returns how many ms to wait before they are sent."""
        debt_ms = self._debt_at(now_ms)
        taken = n_bytes * 1000 + self._rest  # in thousandths of a byte
        debt_ms += taken // self._rate
        self._rest = taken % self._rate
        self._debt_ms = debt_ms
        return debt_ms if debt_ms > 0 else 0

    def _debt_at(self, now_ms):
        """The debt that is left, and from now on counted from now.

        After more than half a period of ticks (six days) the time since the last
        take looks shorter than it was or negative: then some debt is left that
        should not be, but never more than the last take was told to wait.
        """
        if self._last_ms is None:
            self._last_ms = now_ms
        passed_ms = self._ticks_diff(now_ms, self._last_ms)
        if passed_ms > 0 or passed_ms < -_LATE_MS:
            self._last_ms = now_ms
        if passed_ms <= 0:  # a sender that looked at the clock before another one did
            return self._debt_ms
        return max(self._debt_ms - passed_ms, -self._burst_ms)
