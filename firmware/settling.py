"""Brings jobs to their end that a reset, or a card that failed, left on the way.

    recording ──cut to what is sound──▶ waiting        delivered ──▶ its file is deleted
    without its file ──▶ told once as FILE_MISSING

Invariant: a file is deleted after the journal has it as delivered, and never else.
"""

from errno import ENOENT

from firmware.clip_store import file_facts, sound_bytes
from firmware.job import DELIVERED, RECORDING
from firmware.upload_error import UploadError
from mpegts import PACKET_BYTES


class Settling:
    def __init__(self, scheduler, journal, *, deletes, on_failed, log):
        """`deletes`: whether delivered files go. on_failed(job, error, will_retry)."""
        self._scheduler = scheduler
        self._journal = journal
        self.deletes = deletes
        self._on_failed = on_failed
        self._log = log

    def settle(self, row, has_file=True):
        """Settle the job of a row; one that cannot be settled now is left for later."""
        try:
            self._settle(row, has_file)
        except OSError as error:
            self._log("left for later: journal row %d" % row, error)

    def _settle(self, row, has_file):
        job = self._journal.load(row)
        if job is None:
            return self._journal.drop(row)
        if job.state == RECORDING:
            return self.recover(job)
        if job.state == DELIVERED:
            return self._end(job, has_file)
        self._journal.remove(job)
        self._on_failed(job, UploadError("FILE_MISSING", "file is not on the card"), False)

    def _end(self, job, has_file):
        if self.deletes:
            # Written even if it is known: a card that takes no record must not be asked to delete.
            if self._journal.save(job):
                self._scheduler.delete_delivered(job)
        elif not job.is_kept:
            self._journal.save(job)
        elif not has_file:
            self._journal.remove(job)  # it was deleted by hand

    def recover(self, job):
        """Queue what there is of a recording that was never ended. Raises OSError."""
        size_bytes = self._sound_bytes(job.path)
        if not size_bytes:
            self._log("nothing was recorded before the power went: " + job.path)
            return self._journal.remove(job)
        self._log("recovered: %s, %d bytes" % (job.path, size_bytes))
        job.cut(size_bytes)
        self._scheduler.finish(job, at_once=True)

    def _sound_bytes(self, path):
        try:
            size_bytes = file_facts(path)[0]
        except OSError as error:
            if error.errno != ENOENT:
                raise
            return 0
        try:
            return sound_bytes(path, size_bytes)
        except OSError as error:  # whoever tries to upload it tells of that, and then it may go
            self._log("cannot be read: " + path, error)
            return size_bytes - size_bytes % PACKET_BYTES
