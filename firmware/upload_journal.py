"""The jobs, durably: every change of state is in the journal before anybody acts on it.

A job has the same row in the queue and in the journal. The queue knows enough of
it to choose; the job itself is read from the card when its turn comes. A file
that was delivered and deleted leaves an empty row. Every record also carries the
totals, so the newest one of all tells them after a reset.
"""

from binascii import crc32

from firmware.job import DELIVERED, FAILED, FREE, RECORDING, from_record, to_record
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
        self._has_totals = False

    def open(self):
        """Take up the jobs of earlier runs. OSError when the card cannot be read."""
        for _ in self.opening():
            pass

    def opening(self):
        """As open(), step by step, and for another card, too: what was known of jobs is forgotten.

        The totals are taken from a card once: later this camera knows better.
        """
        newest = -1
        self.queue.clear()
        for record in self._records.opening():
            if record is None:
                yield
                continue
            row, sequence, payload = record
            try:
                job, totals = from_record(payload, self._root)
            except ProtocolError as error:
                self._log("journal row %d: %s" % (row, error))
                continue
            if sequence > newest and not self._has_totals:
                newest = sequence
                self._totals.from_record(totals)
            if job:
                job.row = row
                self._next_order = max(self._next_order, job.order + 1)
                self.queue.put(row, job, _hash(job.path))
        self._has_totals = True

    def close(self):
        """Forget all jobs and leave the card alone until opened again."""
        self.queue.clear()
        self._records.close()

    def touch(self):
        """Write a record once more, to see whether the card takes one; OSError if it does not."""
        payload = self._records.read(0)
        self._records.write(0, self._record(None) if payload is None else payload)

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
        return self.keep(job)

    def keep(self, job):
        """As save(), whatever state the queue has the job in."""
        self.queue.set_priority(job.row, job.priority)
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
        """The job of a row, None if its record is damaged. OSError when the card cannot be read.

        `is_kept`: whether its record has the state that the queue has.
        """
        payload = self._records.read(row)
        if payload is None:
            return None
        try:
            job = from_record(payload, self._root)[0]
        except ProtocolError:
            return None
        if job:
            job.row, job.is_kept = row, job.state == self.queue.state(row)
            if job.state == FAILED and not job.is_kept:
                job.attempts = 0  # queued again
            if job.state != RECORDING:  # else how it ended is not known
                job.state = self.queue.state(row)
        return job

    def evict(self, job, remove_file):
        """Forget a job, then let its file go by `remove_file(path)`; OSError: both are as before.

        A power cut in between leaves a file that no record knows, which is adopted again.
        """
        self._records.write(job.row, self._record(None))
        try:
            remove_file(job.path)
        except OSError:
            self.save(job)
            raise
        self.queue.remove(job.row)

    def find(self, path):
        """The row of the job for this file, or None. OSError when the card cannot be read."""
        job = self.job_of(path)
        return job and job.row

    def job_of(self, path):
        """The job for this file, or None. OSError when the card cannot be read."""
        for row in self.rows_of(path):
            job = self.load(row)
            if job and job.path.lower() == path.lower():  # FAT tells no more apart
                return job
        return None

    def rows_of(self, path):
        """The rows that may have this path, told without the card."""
        return self.queue.rows_named(_hash(path))

    def drop(self, row):
        """Forget a row whose record is damaged; its file is found when the card is looked through."""
        self.queue.remove(row)

    def mark(self, path, marks):
        """Set `marks[row]` for the rows that may have this path; whether there is one."""
        is_known = False
        for row in self.rows_of(path):
            marks[row] = is_known = True
        return is_known

    def _record(self, job):
        return to_record(job, self._totals.to_record(), self._root, MOST_BYTES)


def _hash(path):
    """Of the name alone, in lower case: FAT tells no more apart."""
    return crc32(base_name(path).lower().encode()) or 1
