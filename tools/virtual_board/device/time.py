"""Stand-in for `time`: the board's own clock, which machine.RTC sets, in whole seconds.

The unix port counts from 1970 and in floats; a board counts in integers, and from 2000. The epoch
stays 1970 here, because the file systems of the unix port date their files so.
"""

import _wires
import utime
from utime import (
    mktime,
    sleep,
    sleep_ms,
    sleep_us,
    ticks_add,
    ticks_cpu,
    ticks_diff,
    ticks_ms,
    ticks_us,
)

__all__ = (
    "gmtime",
    "localtime",
    "mktime",
    "sleep",
    "sleep_ms",
    "sleep_us",
    "ticks_add",
    "ticks_cpu",
    "ticks_diff",
    "ticks_ms",
    "ticks_us",
    "time",
    "time_ns",
)


def time_ns():
    return utime.time_ns() + _wires.clock_offset_sec() * 1_000_000_000


def time():
    return time_ns() // 1_000_000_000


def gmtime(*when):
    sec = _wires.only(when) if when else None
    return utime.gmtime(time() if sec is None else sec)[:8]


localtime = gmtime
