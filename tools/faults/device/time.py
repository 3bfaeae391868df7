"""Stand-in for `time`: a clock that moves only while nobody has anything to do.

So a wait costs nothing, and the same script gives the same order of events whenever it runs.
MicroPython's scheduler is native and stamps tasks that are ready with the real ticks: these ticks
are always ahead of those, and still fit 32 bits.
"""

import utime
from utime import gmtime, localtime, mktime, ticks_add, ticks_diff

__all__ = (
    "gmtime",
    "localtime",
    "mktime",
    "ticks_add",
    "ticks_diff",
    "ticks_ms",
    "time",
)

_AHEAD_MS = 60_000_000  # longer than any process of these lives
_FIRST_UNIX_SEC = 1_799_999_996  # four seconds before the hour
_BOOT_SEC = 3600  # from one boot to the next

_start_ms = _now_ms = utime.ticks_ms() + _AHEAD_MS
_unix_sec = _FIRST_UNIX_SEC


def ticks_ms():
    return _now_ms


def elapsed_ms():
    """Since the last restart."""
    return _now_ms - _start_ms


def time():
    return _unix_sec + elapsed_ms() // 1000


def advance(ms):
    global _now_ms
    _now_ms += ms


def restart(number):
    """Begin the boot of that number, always at the same ticks."""
    global _now_ms, _unix_sec
    _now_ms = _start_ms
    _unix_sec = _FIRST_UNIX_SEC + number * _BOOT_SEC
