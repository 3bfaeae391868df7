"""Gives failed jobs another chance: all of them at once, and yet the loop is never held up.

Failed jobs only need to be chosen again. Hopeless ones have a record to be written,
which takes tens of milliseconds each: a few are written at once, the others one by one
whenever a slot asks for work.
"""

from micropython import const

from firmware.job import FAILED, HOPELESS, WAITING

_AT_ONCE = const(8)


class Revival:
    def __init__(self, journal, *, ticks_ms, log):
        self._journal = journal
        self._ticks_ms = ticks_ms
        self._log = log
        self.forget()

    def forget(self):
        """Leave alone what is left."""
        self._left = ()

    def begin(self, even_hopeless):
        """Queue failed jobs again, as if new; returns how many there are."""
        queue, count = self._journal.queue, 0
        for row in queue.rows_in((FAILED, HOPELESS) if even_hopeless else (FAILED,)):
            count += 1
            if queue.state(row) == FAILED:
                queue.postpone(row, self._ticks_ms(), 0)
        if even_hopeless:
            self._left = queue.rows_in((HOPELESS,))
            self.go_on(_AT_ONCE)
        return count

    def go_on(self, most=1):
        """Queue so many of the hopeless jobs that are left; whether there may be more of them."""
        for row in self._left:
            try:
                self._revive(row)
            except OSError as error:
                self._log("stays as it is: journal row %d" % row, error)
            most -= 1
            if not most:
                return True
        return False

    def _revive(self, row):
        job = self._journal.load(row)
        if job:
            job.state, job.attempts = WAITING, 0
            self._journal.save(job)
            self._journal.queue.postpone(row, self._ticks_ms(), 0)
