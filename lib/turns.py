"""Giving other tasks their turn, for the price of looking whether one is due.

A task that goes through the loop only to find itself alone pays ten times that.
"""

from asyncio import core  # type: ignore[attr-defined]  # not in the stubs
from time import ticks_diff, ticks_ms


def others_due():
    """Tells with every next() whether another task could run now.

    Then the caller should `await asyncio.sleep_ms(0)`. Belongs to one run of the
    event loop, whose queues it looks into, and allocates nothing once it runs.
    """
    ready, first = core._io_queue.poller.ipoll, core._task_queue.peek
    while True:
        is_due = False
        for _ in ready(0):
            is_due = True
        task = first()
        yield is_due or (task is not None and ticks_diff(task.ph_key, ticks_ms()) <= 0)
