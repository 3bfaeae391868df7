"""The chip's task watchdog, kept by the host: a program that hangs cannot stop it."""

import time


class Watchdog:
    def __init__(self) -> None:
        self._timeout_sec = 0.0
        self._fed_at = 0.0

    def configure(self, timeout_ms: int) -> None:
        """Arm it, or change its timeout; either starts a new period."""
        self._timeout_sec = timeout_ms / 1000
        self.feed()

    def feed(self) -> None:
        self._fed_at = time.monotonic()

    def remaining_sec(self) -> float | None:
        """Time to the bite, 0 when it is due, None when it was never armed."""
        if not self._timeout_sec:
            return None
        return max(0.0, self._fed_at + self._timeout_sec - time.monotonic())
