"""The clips that wait for the cloud: who is next, and who may try again when.

Order is priority, then age. A job is `waiting` (perhaps not before a certain
tick), `running` in a slot, or `failed` until somebody re-queues it; delivered
jobs are gone. Jobs hold what a request needs and nothing of the file.

Pure: no IO.
"""

_WAITING = "waiting"
_RUNNING = "running"
_FAILED = "failed"


class Job:
    """One file to deliver; `started_unix` is None while the clock was unknown."""

    def __init__(
        self, path, size_bytes, priority, trigger, *, md5=None, clip=None, started_unix=None
    ):
        self.path = path
        self.size_bytes = size_bytes
        self.priority = priority
        self.trigger = trigger
        self.md5 = md5
        self.duration_ms = clip.duration_ms if clip else 0
        self.height = clip.height if clip else 0
        self.started_unix = started_unix
        self.attempts = 0
        self.state = _WAITING
        self.is_hopeless = False  # failed in a way that trying again does not mend
        self.not_before_ms = None


class UploadQueue:
    def __init__(self, *, ticks_add, ticks_diff):
        self._ticks_add = ticks_add
        self._ticks_diff = ticks_diff
        self._jobs = []  # oldest first
        self._paused_until_ms = None

    def __len__(self):
        return len(self._jobs)

    def find(self, path):
        for job in self._jobs:
            if job.path == path:
                return job
        return None

    def add(self, job, now_ms, delay_ms=0):
        """Queue a job; a path that is already there is not queued twice (returns False)."""
        if self.find(job.path):
            return False
        self._jobs.append(job)
        self._postpone(job, now_ms, delay_ms)
        return True

    def take(self, now_ms):
        """The next job whose time has come, now running; None if there is none."""
        if self._pause_ms(now_ms):
            return None
        best = None
        for job in self._jobs:
            if job.state == _WAITING and self._wait_ms(job, now_ms) == 0:
                if best is None or job.priority > best.priority:
                    best = job
        if best:
            best.state = _RUNNING
        return best

    def next_due_ms(self, now_ms):
        """How long until a job is due: 0 for at once, None when nothing waits."""
        soonest = None
        for job in self._jobs:
            if job.state == _WAITING:
                wait_ms = self._wait_ms(job, now_ms)
                if soonest is None or wait_ms < soonest:
                    soonest = wait_ms
        return None if soonest is None else max(soonest, self._pause_ms(now_ms))

    def pause(self, now_ms, delay_ms):
        """Hand out nothing for that long."""
        self._paused_until_ms = self._ticks_add(now_ms, delay_ms)

    def done(self, job):
        self._jobs.remove(job)

    def retry(self, job, now_ms, delay_ms):
        self._postpone(job, now_ms, delay_ms)

    def fail(self, job, is_hopeless):
        job.state = _FAILED
        job.is_hopeless = is_hopeless

    def requeue_failed(self, now_ms, even_hopeless):
        """Give failed jobs their attempts back; returns how many there were."""
        failed = [
            job
            for job in self._jobs
            if job.state == _FAILED and (even_hopeless or not job.is_hopeless)
        ]
        for job in failed:
            job.attempts = 0
            self._postpone(job, now_ms, 0)
        return len(failed)

    def _postpone(self, job, now_ms, delay_ms):
        job.state = _WAITING
        job.not_before_ms = self._ticks_add(now_ms, delay_ms) if delay_ms else None

    def _wait_ms(self, job, now_ms):
        if job.not_before_ms is not None:
            wait_ms = self._ticks_diff(job.not_before_ms, now_ms)
            if wait_ms > 0:
                return wait_ms
            job.not_before_ms = None  # due for good: ticks wrap, a due job stays due
        return 0

    def _pause_ms(self, now_ms):
        if self._paused_until_ms is not None:
            pause_ms = self._ticks_diff(self._paused_until_ms, now_ms)
            if pause_ms > 0:
                return pause_ms
            self._paused_until_ms = None
        return 0
