"""How many uploads a device has in hand, by what this process has granted.

Best effort, by design: it is in memory, of one process, and a slot whose `complete` went to another
process ends with its time. It keeps one broken camera from asking for ever; it is no quota.
Pure: no IO.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from tools.cloud_service.messages import RATE_LIMITED, Refusal


class Slots:
    """Up to `most` paths for each device, each for `lifetime_sec` after it was asked for last."""

    def __init__(self, most: int, lifetime_sec: float, now: Callable[[], float]) -> None:
        self._most = most
        self._lifetime_sec = lifetime_sec
        self._now = now
        self._ends: dict[str, dict[str, float]] = {}  # device -> path -> end

    def take(self, device_id: str, path: str) -> bool:
        """Take a slot or renew it, and tell whether it is new; Refusal when all are in use."""
        now = self._now()
        held = {known: end for known, end in self._ends.get(device_id, {}).items() if end > now}
        is_new = path not in held
        if is_new and len(held) >= self._most:
            self._ends[device_id] = held
            retry_after = max(1, math.ceil(min(held.values()) - now))
            told = f"{self._most} uploads are in hand already"
            raise Refusal(RATE_LIMITED, told, retry_after)
        held[path] = now + self._lifetime_sec
        self._ends[device_id] = held
        return is_new

    def free(self, device_id: str, path: str) -> None:
        """Give it back; harmless when it is not held."""
        held = self._ends.get(device_id, {})
        held.pop(path, None)
        if not held:
            self._ends.pop(device_id, None)

    def held(self) -> int:
        """Slots that are in use now, of all devices."""
        now = self._now()
        return sum(end > now for paths in self._ends.values() for end in paths.values())
