"""The hours of the day in which uploads of low and normal priority may begin.

    "01:00-06:00"    "22:30-05:00" (over midnight)    "" (any time)

A window is judged by the time of day as it is at that moment and nothing is
planned ahead, so a clock that is set or jumps opens and shuts it at once and
leaves nothing behind. While the time is unknown a window counts as shut: what
may wait for the night can wait for the clock. What has no window, and HIGH and
URGENT always, is open then as well.

Pure: no IO.
"""

from micropython import const

from firmware.trigger import LOW, NORMAL

_DAY_SEC = const(86400)
_ALLOWED = 'allowed are "" and "HH:MM-HH:MM", 00:00 to 23:59, with two different times'


class UploadWindows:
    def __init__(self, low, normal):
        """Two texts; ValueError says what is allowed."""
        self._low = parse_window(low)
        self._normal = parse_window(normal)

    def is_open(self, priority, local_sec_of_day):
        """Whether an upload may begin; the time is None while it is unknown."""
        return self.opens_in_sec(priority, local_sec_of_day) == 0

    def opens_in_sec(self, priority, local_sec_of_day):
        """How long until an upload may begin: 0 for now, None while the time is unknown.

        The clock may be set meanwhile: do not sleep for so long without looking again.
        """
        window = self._window(priority)
        if window is None:
            return 0
        if local_sec_of_day is None:
            return None
        if in_window(window, local_sec_of_day):
            return 0
        return (window[0] - local_sec_of_day) % _DAY_SEC

    def _window(self, priority):
        if priority == LOW:
            return self._low
        return self._normal if priority == NORMAL else None


def local_sec_of_day(unix_time, utc_offset_min):
    """Seconds since local midnight; None for a time that is unknown."""
    return None if unix_time is None else (unix_time + utc_offset_min * 60) % _DAY_SEC


def in_window(window, local_sec_of_day):
    """Whether a time of day lies in a window that `parse_window` gave."""
    begin, end = window
    return (local_sec_of_day - begin) % _DAY_SEC < (end - begin) % _DAY_SEC


def parse_window(text):
    """`(begin, end)` in seconds since midnight, the end being outside; None for any time.

    ValueError says what is allowed.
    """
    if not text:
        return None
    if len(text) != 11 or text[5] != "-":
        raise ValueError(_ALLOWED)
    begin, end = _seconds(text[:5]), _seconds(text[6:])
    if begin == end:
        raise ValueError(_ALLOWED)
    return begin, end


def _seconds(text):
    digits = text[:2] + text[3:]
    if text[2] != ":" or not all("0" <= c <= "9" for c in digits):
        raise ValueError(_ALLOWED)
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > 23 or minutes > 59:
        raise ValueError(_ALLOWED)
    return hours * 3600 + minutes * 60
