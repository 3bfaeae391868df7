"""Stand-in for `machine` on an ESP32-P4, over what the unix port has of it.

Arguments are named, keyword-only and checked as in ports/esp32 and its stubs, so that a call that
passes here passes there. Effects end in the host: pins in shared memory, the watchdog and resets
in the process that runs the board.
"""

import time

import _wires
import utime
from _pin import Pin
from _sdcard import SDCard
from umachine import Signal, idle, mem8, mem16, mem32, time_pulse_us

__all__ = (
    "DEEPSLEEP_RESET",
    "HARD_RESET",
    "PWRON_RESET",
    "RTC",
    "SOFT_RESET",
    "WDT",
    "WDT_RESET",
    "Pin",
    "SDCard",
    "Signal",
    "freq",
    "idle",
    "mem16",
    "mem32",
    "mem8",
    "reset",
    "reset_cause",
    "soft_reset",
    "time_pulse_us",
    "unique_id",
)

PWRON_RESET = 1
HARD_RESET = 2
WDT_RESET = 3
DEEPSLEEP_RESET = 4
SOFT_RESET = 5

_SETTABLE_HZ = 20_000_000, 40_000_000, 80_000_000, 160_000_000, 240_000_000
_cpu_hz = 400_000_000


def reset():
    _wires.tell(b"reset\n")
    _wires.wait_for_the_end()


def soft_reset():
    raise SystemExit


def reset_cause():
    return _wires.read(_wires.RESET_CAUSE)


def unique_id():
    return _wires.read_bytes(_wires.MAC, 6)


def freq(*hz):
    """CPU clock; the port can set fewer speeds than the chip starts with."""
    global _cpu_hz
    if not hz:
        return _cpu_hz
    wanted_hz = _wires.only(hz)
    if wanted_hz not in _SETTABLE_HZ:
        raise ValueError("frequency must be 20MHz, 40MHz, 80Mhz, 160MHz or 240MHz")
    _cpu_hz = wanted_hz


class RTC:
    """The clock behind time.time(). It goes on through resets and, on this board, power cuts."""

    def __init__(self):
        """No arguments: without this, MicroPython would take any."""

    def datetime(self, *date):
        """(year, month, day, weekday, hour, minute, second, microsecond), read or set."""
        if not date:
            now_ns = time.time_ns()
            y, mo, d, h, mi, s, weekday, _ = time.gmtime(now_ns // 1_000_000_000)
            return y, mo, d, weekday, h, mi, s, now_ns // 1000 % 1_000_000
        y, mo, d, _, h, mi, s, _ = _wires.only(date)
        _wires.set_clock_offset(time.mktime((y, mo, d, h, mi, s, 0, 0)) - int(utime.time()))
        return None


class WDT:
    """The task watchdog: one for the chip, never stopped, reconfigured by making another.

    Source: ports/esp32/machine_wdt.c. It goes on through a soft reset.
    """

    def __init__(self, *, id=0, timeout=5000):
        if id != 0:
            raise ValueError
        if timeout <= 0:
            raise ValueError("WDT timeout too short")
        _wires.tell(b"wdt %d\n" % timeout)

    def feed(self):
        _wires.tell(b"feed\n")
