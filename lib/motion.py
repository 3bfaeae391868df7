"""Motion as a state machine: from a level that flickers to one event.

    pin --steady for debounce--> level

    quiet --level high for hold_off--> moving --level low for post_roll--> quiet
                                                     (then deaf for cool_down)

The post-roll starts anew whenever the level rises again, so motion that goes
on keeps one event alive. Time arrives as ticks and may wrap.

Pure: no IO.
"""

STARTED = "started"
STOPPED = "stopped"


class Debounce:
    """The level of a pin without its glitches, high ones and low ones; low at first."""

    def __init__(self, steady_ms, ticks_diff):
        self._steady_ms = steady_ms
        self._ticks_diff = ticks_diff
        self._level = False
        self._since = None  # when the pin left the level

    def update(self, pin, now_ms):
        """The level, given the pin now; it follows a pin that was seen the same for `steady_ms`."""
        pin = bool(pin)
        if pin == self._level:
            self._since = None
            return self._level
        if self._since is None:
            self._since = now_ms
        if self._ticks_diff(now_ms, self._since) >= self._steady_ms:
            self._level, self._since = pin, None
        return self._level


class MotionDetector:
    def __init__(self, *, hold_off_ms, post_roll_ms, cool_down_ms, ticks_diff):
        self._ticks_diff = ticks_diff
        self._hold_off_ms = hold_off_ms
        self._post_roll_ms = post_roll_ms
        self._cool_down_ms = cool_down_ms
        self._moving = False
        self._since = None  # when the level rose (quiet) or fell (moving)
        self._deaf_from = None

    def update(self, level, now_ms):
        """STARTED, STOPPED or None, given the level now."""
        if self._moving:
            return self._while_moving(level, now_ms)
        return self._while_quiet(level, now_ms)

    def _while_quiet(self, level, now_ms):
        if self._deaf_from is not None:
            if self._ticks_diff(now_ms, self._deaf_from) < self._cool_down_ms:
                return None
            self._deaf_from = None
        if not level:
            self._since = None
            return None
        if self._since is None:
            self._since = now_ms
        if self._ticks_diff(now_ms, self._since) < self._hold_off_ms:
            return None
        self._moving, self._since = True, None
        return STARTED

    def _while_moving(self, level, now_ms):
        if level:
            self._since = None
            return None
        if self._since is None:
            self._since = now_ms
        if self._ticks_diff(now_ms, self._since) < self._post_roll_ms:
            return None
        self._moving, self._since = False, None
        self._deaf_from = now_ms if self._cool_down_ms else None
        return STOPPED
