"""What is recorded when nothing happens: at the hours of the schedule, always, or not at all.

The schedule is judged by the time of day as it is at that moment, and nothing is planned
ahead. While the time is unknown no hour is one of the schedule's.

Pure: no IO.
"""

from firmware.trigger import HISTORICAL, SCHEDULED
from firmware.upload_windows import in_window, parse_window


class RecordingPlan:
    def __init__(self, schedule, is_continuous):
        """`schedule`: texts such as "08:00-18:00"; ValueError says what is allowed."""
        self._windows = [parse_window(text) for text in schedule]
        self._otherwise = HISTORICAL if is_continuous else None

    def background(self, local_sec_of_day):
        """The trigger to record as, or None; the time is None while it is unknown."""
        if local_sec_of_day is not None:
            for window in self._windows:
                if window is None or in_window(window, local_sec_of_day):
                    return SCHEDULED
        return self._otherwise
