"""What becomes of a job whose attempt failed: tried again, when, or given up.

An attempt is spent on failures of the upload itself, not on time without a
network. The wait doubles with every attempt spent and is drawn evenly below that,
so that cameras that lost the same server do not come back in step.

Pure: no IO.
"""

from micropython import const

from backoff import full_jitter
from firmware.job import FAILED, HOPELESS, WAITING
from firmware.upload_error import NEVER, PAUSE, SUSPEND, WAIT

_SHORTEST_PAUSE_MS = const(1000)  # before a try that costs no attempt
_LONGEST_BACKOFF_MS = const(3600 * 1000)
_LONGEST_SPREAD_MS = const(10000)  # over which a fleet's cameras come back after an outage
_INTEGRITY_ATTEMPTS = const(2)


class RetryPolicy:
    def __init__(self, *, retry_delay_ms, max_attempts, randbits):
        self._retry_delay_ms = retry_delay_ms
        self._max_attempts = max_attempts
        self._randbits = randbits

    def judge(self, error, attempts):
        """`(state, attempts, delay_ms)` of a job that failed so after so many attempts spent."""
        if error.retry == SUSPEND:
            return WAITING, attempts, 0
        asked_ms = error.retry_after_sec * 1000
        if error.retry in (WAIT, PAUSE):
            return WAITING, attempts, max(asked_ms, self._retry_delay_ms, _SHORTEST_PAUSE_MS)
        attempts += 1
        if error.retry == NEVER:
            return HOPELESS, attempts, 0
        if attempts >= self._most_attempts(error):
            return FAILED, attempts, 0
        jittered_ms = full_jitter(
            self._retry_delay_ms, _LONGEST_BACKOFF_MS, attempts - 1, self._randbits
        )
        return WAITING, attempts, max(asked_ms, jittered_ms)

    def spread_ms(self):
        """How long this camera waits when the network is back."""
        longest_ms = min(self._retry_delay_ms, _LONGEST_SPREAD_MS)
        return full_jitter(longest_ms, longest_ms, 0, self._randbits)

    def _most_attempts(self, error):
        """One more try from the beginning for what the store has wrong, however many others get."""
        if error.code == "INTEGRITY":
            return min(self._max_attempts, _INTEGRITY_ATTEMPTS)
        return self._max_attempts
