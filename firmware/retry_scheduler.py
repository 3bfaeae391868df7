"""When each clip is uploaded, how often it is tried, and when its file may go.

The journal keeps the jobs and tells who is next; slots run. A slot takes a due job
only while the camera is `ready` (link up, clock known), so time spent offline
costs no attempt, and an attempt that stored another part of a file costs none.

Invariant: a file is deleted after its Outcome, that is after the store's proof,
once the journal has it as delivered, and never else.
"""

import asyncio
from errno import ENOENT

from micropython import const

from firmware.job import DELIVERED, RECORDING, RUNNING, WAITING
from firmware.revival import Revival
from firmware.trigger import URGENT
from firmware.upload_error import PAUSE, RENEW, SUSPEND, UploadError

_RENEWALS = const(2)  # new URLs within one attempt, should the store's clock disagree with ours
_CHECK_MS = const(500)  # how often a slot looks whether the camera is ready
_UNREADABLE_MS = const(1000)  # until a job is looked for again that the card did not give


class RetryScheduler:
    def __init__(
        self,
        upload,
        journal,
        policy,
        *,
        slots,
        is_ready,
        is_open,
        remove_file,
        ticks_ms,
        upload_delay_ms,
        delete_after_upload,
        statistics,
        on_completed,
        on_failed,
        on_suspended,
        log,
    ):
        """`await upload(job, slot)` gives an Outcome or raises UploadError.

        `journal` is an UploadJournal, `policy` a RetryPolicy; `is_open(priority)` tells whether its window is open.
        `statistics` is an UploadStatistics that the journal keeps. on_completed(job, outcome),
        on_failed(job, error, will_retry) and on_suspended(job) are plain callables, as
        are is_ready(), remove_file(path, delivered_bytes), log(text, error=None).
        """
        self._upload = upload
        self._journal = journal
        self._queue = journal.queue
        self._policy = policy
        self._slots = slots
        self._is_ready = is_ready
        self._is_open = is_open
        self._remove_file = remove_file
        self._ticks_ms = ticks_ms
        self._upload_delay_ms = upload_delay_ms
        self._delete_after_upload = delete_after_upload
        self._statistics = statistics
        self._on_completed = on_completed
        self._on_failed = on_failed
        self._on_suspended = on_suspended
        self._log = log
        self._running = {}  # row: job
        self._growing = {}  # row: job of a clip that goes out while it is recorded
        self._revival = Revival(journal, ticks_ms=ticks_ms, log=log)
        self._wake = asyncio.Event()

    def add(self, job, *, at_once=False):
        """Keep and queue a job, after the upload delay; False when there is room for no more.

        OSError when the card does not take it, ProtocolError for too long a path.
        """
        if not self._journal.add(job):
            return False
        if job.state == WAITING:
            self._release(job.row, at_once)
        return True

    def grow(self, job):
        """A clip that was added as RECORDING goes out while it grows (`job.growth`)."""
        self._growing[job.row] = job
        self._queue.postpone(job.row, self._ticks_ms(), 0)
        self.wake()

    def finish(self, job, *, at_once=False):
        """The recording of a job that was added as RECORDING ended; whether the job is kept so."""
        is_live = self._growing.pop(job.row, None) is not None
        if job.row in self._running:
            job.state = RUNNING
        is_kept = self._journal.save(job)
        if job.state == RUNNING:
            return is_kept
        if is_kept:
            self._release(job.row, is_live or at_once)
        else:  # the next start finds it
            self._queue.set_state(job.row, RECORDING)
        return is_kept

    def requeue_failed(self, even_hopeless=True):
        """Try failed jobs again, as if new; returns how many there are."""
        count = self._revival.begin(even_hopeless)
        self.wake()
        return count

    def network_is_back(self):
        """Try again what failed, but not in step with all other cameras."""
        self._queue.pause(self._ticks_ms(), self._policy.spread_ms())
        self.requeue_failed(even_hopeless=False)

    @property
    def is_running(self):
        """Whether a slot has a job, and so may have its file open."""
        return bool(self._running)

    def forget(self):
        """The card is gone, and the jobs with it."""
        self._growing.clear()
        self._revival.forget()

    def wake(self):
        """Look at the queue now: something changed."""
        self._wake.set()

    def must_suspend(self, job):
        """Whether a job should give up its slot at a part's end: for an URGENT one, or for its window."""
        if not self._is_open(job.priority):
            return True
        if len(self._running) < self._slots or job.priority == URGENT:
            return False
        row = self._queue.next_row(self._ticks_ms(), self._is_open)
        if row is None or self._queue.priority(row) < URGENT:
            return False
        return job is min(self._running.values(), key=lambda one: one.priority)

    async def run(self):
        """Serve the queue with all slots, for ever."""
        slots = [asyncio.create_task(self._serve(slot)) for slot in range(self._slots)]
        try:
            await asyncio.gather(*slots)
        finally:
            for task in slots:
                task.cancel()
            await asyncio.gather(*slots, return_exceptions=True)

    async def _serve(self, slot):
        while True:
            while self._revival.go_on():
                await asyncio.sleep_ms(0)
            job = self._take() if self._is_ready() else None
            if job is None:
                await self._rest()
                continue
            self._running[job.row] = job
            try:
                await self._attempt(job, slot)
            except BaseException:
                if self._queue.state(job.row) == RUNNING:  # else it has come to its end
                    self._queue.postpone(job.row, self._ticks_ms(), 0)
                raise
            finally:
                del self._running[job.row]

    def _take(self):
        """The next job, from the card; None if there is none, or the card does not give it."""
        row = self._queue.take(self._ticks_ms(), self._is_open)
        if row is None:
            return None
        if row in self._growing:
            job = self._growing[row]
            job.state = RUNNING
            return job
        try:
            job = self._journal.load(row)
        except OSError as error:
            self._log("queue cannot be read", error)
            self._queue.postpone(row, self._ticks_ms(), _UNREADABLE_MS)
            return None
        if job is None:
            self._log("queue: a damaged record is left out")
            self._journal.drop(row)
            return None
        if job.state == RECORDING:  # its end could not be kept: the intake looks what there is
            self._queue.set_state(row, RECORDING)
            return None
        return job

    async def _rest(self):
        self._wake.clear()
        due_ms = self._queue.next_due_ms(self._ticks_ms())
        wait_ms = min(due_ms or _CHECK_MS, _CHECK_MS)  # 0: due, but the camera is not ready
        try:
            await asyncio.wait_for_ms(self._wake.wait(), wait_ms)
        except asyncio.TimeoutError:
            return

    async def _attempt(self, job, slot):
        """One attempt, with as many URLs as it needs."""
        renewals, parts_before = 0, job.parts_done
        while True:
            try:
                outcome = await self._upload(job, slot)
            except UploadError as error:
                if job.parts_done > parts_before:
                    job.attempts = 0
                if error.retry == RENEW and renewals < _RENEWALS:
                    renewals += 1
                    continue
                return self._failed(job, error)
            except MemoryError:
                return self._failed(job, UploadError("NO_MEMORY", "out of memory"))
            return self._completed(job, outcome)

    def _completed(self, job, outcome):
        job.state = DELIVERED
        self._statistics.delivered(outcome.sent_bytes, outcome.duration_ms)
        is_kept = self._journal.save(job)
        self._on_completed(job, outcome)
        if self._delete_after_upload and is_kept:
            self.delete_delivered(job)

    def delete_delivered(self, job):
        """Delete the file of a job that the journal has as delivered."""
        try:
            self._remove_file(job.path, job.size_bytes)
        except OSError as error:
            if error.errno != ENOENT:  # tried again at the next start
                return self._log("delivered, but cannot be deleted: " + job.path, error)
        self._journal.remove(job)

    def _failed(self, job, error):
        now_ms, row = self._ticks_ms(), job.row
        state, attempts, delay_ms = self._policy.judge(error, job.attempts)
        will_retry, is_spent = state == WAITING, attempts > job.attempts
        job.attempts = attempts
        if is_spent:
            self._statistics.failed(will_retry)
        if error.code == "FILE_MISSING":
            self._journal.remove(job)
        elif is_spent:
            job.state = state
            self._journal.save(job)
        if error.retry == PAUSE:
            self._queue.pause(now_ms, delay_ms)
        if will_retry:
            self._queue.postpone(row, now_ms, delay_ms)
        if error.retry == SUSPEND:
            return self._on_suspended(job)
        self._on_failed(job, error, will_retry)

    def _release(self, row, at_once):
        self._queue.postpone(row, self._ticks_ms(), 0 if at_once else self._upload_delay_ms)
        self.wake()
