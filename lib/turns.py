"""Giving other tasks their turn, for the price of looking whether one is due.

A task that goes through the loop only to find itself alone pays six times that.
"""

from asyncio import core  # type: ignore[attr-defined]  # not in the stubs
from time import ticks_diff, ticks_ms


class Turns:
    """Belongs to one run of the event loop, whose queues it looks into. It allocates nothing."""

    def __init__(self):
        self._ready = core._io_queue.poller.ipoll
        self._first = core._task_queue.peek

    def others_are_due(self):
        """Whether another task could run now: then the caller should `await asyncio.sleep_ms(0)`."""
        for _ in self._ready(0):
            return True
        task = self._first()
        return task is not None and ticks_diff(task.ph_key, ticks_ms()) <= 0
