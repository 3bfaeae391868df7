"""Exponential backoff with full jitter.

The ceiling doubles with every attempt up to a cap; the delay is drawn evenly
from zero to the ceiling, so that a fleet that lost the same server does not
come back in step.

Pure: no IO.
"""

_MAX_DOUBLINGS = 16


def ceiling_ms(base_ms, cap_ms, attempt):
    """The longest wait before retry number `attempt` (the first is 0)."""
    return min(cap_ms, base_ms << min(attempt, _MAX_DOUBLINGS))


def full_jitter(base_ms, cap_ms, attempt, randbits):
    """A wait of 0..ceiling ms; `randbits(n)` gives n random bits."""
    return randbits(24) * (ceiling_ms(base_ms, cap_ms, attempt) + 1) >> 24
