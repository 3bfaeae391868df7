"""When each clip is uploaded, how often it is tried, and when its file may go.

The queue orders; slots run. A slot takes a due job only while the camera is
`ready` (link up, clock known), so time spent offline costs no attempt. A file
is deleted after its Outcome, that is after the store's proof, and never else.
"""

import asyncio

from micropython import const

from backoff import full_jitter
from firmware.upload_error import NEVER, PAUSE, RENEW, WAIT, UploadError

_RENEWALS = const(2)  # new URLs within one attempt, should the store's clock disagree with ours
_CHECK_MS = const(500)  # how often a slot looks whether the camera is ready
_SHORTEST_PAUSE_MS = const(1000)  # before a try that costs no attempt
_LONGEST_BACKOFF_MS = const(3600 * 1000)


class RetryScheduler:
    def __init__(
        self,
        upload,
        queue,
        *,
        slots,
        is_ready,
        remove_file,
        ticks_ms,
        randbits,
        upload_delay_ms,
        retry_delay_ms,
        max_attempts,
        delete_after_upload,
        on_completed,
        on_failed,
        log,
    ):
        """`await upload(job, slot)` gives an Outcome or raises UploadError.

        on_completed(job, outcome) and on_failed(job, error, will_retry) are
        plain callables, as are is_ready(), remove_file(path), log(text, error=None).
        """
        self._upload = upload
        self._queue = queue
        self._slots = slots
        self._is_ready = is_ready
        self._remove_file = remove_file
        self._ticks_ms = ticks_ms
        self._randbits = randbits
        self._upload_delay_ms = upload_delay_ms
        self._retry_delay_ms = retry_delay_ms
        self._max_attempts = max_attempts
        self._delete_after_upload = delete_after_upload
        self._on_completed = on_completed
        self._on_failed = on_failed
        self._log = log
        self._wake = asyncio.Event()

    def add(self, job, *, at_once=False):
        """Queue a job after the upload delay; False if its file is queued already."""
        is_new = self._queue.add(job, self._ticks_ms(), 0 if at_once else self._upload_delay_ms)
        self.wake()
        return is_new

    def requeue_failed(self, even_hopeless=True):
        """Try failed jobs again, as if new; returns how many there are."""
        count = self._queue.requeue_failed(self._ticks_ms(), even_hopeless)
        self.wake()
        return count

    def wake(self):
        """Look at the queue now: something changed."""
        self._wake.set()

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
            job = self._queue.take(self._ticks_ms()) if self._is_ready() else None
            if job is None:
                await self._rest()
                continue
            try:
                await self._attempt(job, slot)
            except BaseException:
                self._queue.retry(job, self._ticks_ms(), 0)
                raise

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
        renewals = 0
        while True:
            try:
                outcome = await self._upload(job, slot)
            except UploadError as error:
                if error.retry == RENEW and renewals < _RENEWALS:
                    renewals += 1
                    continue
                return self._failed(job, error)
            except MemoryError:
                return self._failed(job, UploadError("NO_MEMORY", "out of memory"))
            return self._completed(job, outcome)

    def _completed(self, job, outcome):
        self._queue.done(job)
        if self._delete_after_upload:
            try:
                self._remove_file(job.path)
            except OSError as error:
                self._log("delivered, but cannot be deleted: " + job.path, error)
        self._on_completed(job, outcome)

    def _failed(self, job, error):
        now_ms = self._ticks_ms()
        if error.retry == NEVER:
            job.attempts += 1
            self._queue.fail(job, True)
            return self._on_failed(job, error, False)
        if error.retry in (WAIT, PAUSE):
            delay_ms = max(error.retry_after_sec * 1000, self._retry_delay_ms, _SHORTEST_PAUSE_MS)
            if error.retry == PAUSE:
                self._queue.pause(now_ms, delay_ms)
            self._queue.retry(job, now_ms, delay_ms)
            return self._on_failed(job, error, True)
        job.attempts += 1
        will_retry = job.attempts < self._max_attempts
        if will_retry:
            self._queue.retry(job, now_ms, self._delay_ms(job, error))
        else:
            self._queue.fail(job, False)
        self._on_failed(job, error, will_retry)

    def _delay_ms(self, job, error):
        jittered = full_jitter(
            self._retry_delay_ms, _LONGEST_BACKOFF_MS, job.attempts - 1, self._randbits
        )
        return max(jittered, error.retry_after_sec * 1000)
