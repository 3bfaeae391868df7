"""The jobs, durably: every change of state is in the journal before anybody acts on it.

A job has the same row in the queue and in the journal. The queue knows enough of
it to choose; the job itself is read from the card when its turn comes. A file
that was delivered and deleted leaves an empty row. Every record also carries the
totals, so the newest one of all tells them after a reset.
"""

from binascii import crc32

from firmware.job import DELIVERED, FAILED, FREE, HOPELESS, from_record, to_record
from firmware.messages import base_name
from journal_codec import MOST_BYTES
from protocol_error import ProtocolError


class UploadJournal:
    """`records` is a SlotJournal, `queue` an UploadQueue of as many rows; both are this object's own."""

    def __init__(self, records, queue, *, root, totals, log):
        """`root`: the directory most files lie in; `totals` has to_record() -> ints, from_record(ints)."""
        self._records = records
        self.queue = queue
        self.most = queue.most
        self._root = root and root + "/"
        self._totals = totals
        self._log = log
        self._next_order = 1

    def open(self):
        """Take up the jobs of earlier runs. OSError when the card cannot be read."""
        newest = -1
        for row, sequence, payload in self._records.open():
            try:
                job, totals = from_record(payload, self._root)
            except ProtocolError as error:
                self._log("journal row %d: %s" % (row, error))
                continue
            if sequence > newest:
                newest = sequence
                self._totals.from_record(totals)
            if job:
                job.row = row
                self._next_order = max(self._next_order, job.order + 1)
                self.queue.put(row, job, _hash(job.path))

    def add(self, job):
        """Keep a new job, the youngest; False when there is room for no more.

        OSError when it cannot be kept, ProtocolError when its path is too long.
        """
        row = self.queue.free_row()
        if row is None:
            return False
        job.row, job.order = row, self._next_order
        self._records.write(row, self._record(job))
        self._next_order += 1
        self.queue.put(row, job, _hash(job.path))
        return True

    def save(self, job):
        """Keep what changed of a job; whether that will survive a reset."""
        self.queue.set_state(job.row, job.state)
        try:
            self._records.write(job.row, self._record(job))
        except OSError as error:
            self._log("cannot be kept: %s" % job.path, error)
            return False
        return True

    def remove(self, job):
        """The job is over."""
        job.state = FREE
        try:
            self._records.write(job.row, self._record(None))
        except OSError as error:
            # The row stays taken: its old record must not meet another file of that name.
            self.queue.set_state(job.row, DELIVERED)
            return self._log("cannot be kept as delivered: %s" % job.path, error)
        self.queue.remove(job.row)

    def load(self, row):
        """The job of a row, None if its record is damaged. OSError when the card cannot be read."""
        payload = self._records.read(row)
        if payload is None:
            return None
        try:
            job = from_record(payload, self._root)[0]
        except ProtocolError:
            return None
        if job:
            if job.state == FAILED and self.queue.state(row) != FAILED:
                job.attempts = 0  # queued again
            job.row, job.state = row, self.queue.state(row)
        return job

    def find(self, path):
        """The row of the job for this file, or None. OSError when the card cannot be read."""
        for row in self.queue.rows_named(_hash(path)):
            job = self.load(row)
            if job and job.path.lower() == path.lower():  # FAT tells no more apart
                return row
        return None

    def drop(self, row):
        """Forget a row whose record is damaged; its file is found when the card is looked through."""
        self.queue.remove(row)

    def mark(self, path, marks):
        """Set `marks[row]` for the rows that may have this path; whether there is one."""
        is_known = False
        for row in self.queue.rows_named(_hash(path)):
            marks[row] = is_known = True
        return is_known

    def _record(self, job):
        return to_record(job, self._totals.to_record(), self._root, MOST_BYTES)

    def failed_rows(self, even_hopeless):
        return self.queue.rows_in((FAILED, HOPELESS) if even_hopeless else (FAILED,))


def _hash(path):
    """Of the name alone, in lower case: FAT tells no more apart."""
    return crc32(base_name(path).lower().encode()) or 1
