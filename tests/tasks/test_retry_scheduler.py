"""The scheduler: attempts, back-off, slots, and a file that goes only after the proof."""

import asyncio
from time import ticks_add, ticks_diff, ticks_ms

from firmware.retry_scheduler import RetryScheduler
from firmware.trigger import HIGH, LOW, MOTION, URGENT
from firmware.upload_error import CLASSES, NEVER, PAUSE, RENEW, RETRY, WAIT, UploadError
from firmware.upload_queue import Job, UploadQueue
from harness import eq


class Rig:
    """A scheduler whose uploads follow a script: per path a list of errors, then success."""

    def __init__(self, script=(), **settings):
        self.script = dict(script)
        self.events = []
        self.running = self.most_running = 0
        self.is_ready = True
        given = {"slots": 1, "retry_delay_ms": 0, "max_attempts": 3, "delete_after_upload": True}
        given.update(settings)
        self.scheduler = RetryScheduler(
            self.upload,
            UploadQueue(ticks_add=ticks_add, ticks_diff=ticks_diff),
            is_ready=lambda: self.is_ready,
            remove_file=lambda path: self.events.append(("removed", path)),
            ticks_ms=ticks_ms,
            randbits=lambda bits: (1 << bits) - 1,
            upload_delay_ms=0,
            on_completed=lambda job, outcome: self.events.append(("completed", job.path)),
            on_failed=self.on_failed,
            log=lambda text, error=None: self.events.append(("log", text)),
            **given,
        )

    async def upload(self, job, slot):
        self.events.append(("try", job.path))
        self.running += 1
        self.most_running = max(self.running, self.most_running)
        await asyncio.sleep_ms(1)
        self.running -= 1
        errors = self.script.get(job.path)
        if errors:
            code = errors.pop(0)
            raise UploadError(code, "as the script says")
        return "proof"

    def on_failed(self, job, error, will_retry):
        self.events.append(("failed", job.path, error.code, job.attempts, will_retry))

    def add(self, path, priority=HIGH):
        return self.scheduler.add(Job(path, 1, priority, MOTION))

    async def run_until(self, *event, limit_ms=3000):
        task = asyncio.create_task(self.scheduler.run())
        started_ms = ticks_ms()
        while event not in self.events:
            assert ticks_diff(ticks_ms(), started_ms) < limit_ms, (event, self.events)
            await asyncio.sleep_ms(1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_deleted_after_the_proof_and_not_before():
    rig = Rig({"a": ["CONNECTION_LOST"]})
    rig.add("a")
    await rig.run_until("completed", "a")
    eq(
        rig.events,
        [
            ("try", "a"),
            ("failed", "a", "CONNECTION_LOST", 1, True),
            ("try", "a"),
            ("removed", "a"),
            ("completed", "a"),
        ],
    )


async def test_kept_when_so_configured():
    rig = Rig(delete_after_upload=False)
    rig.add("a")
    await rig.run_until("completed", "a")
    assert ("removed", "a") not in rig.events


async def test_gives_up_after_the_last_attempt_and_starts_again_on_request():
    rig = Rig({"a": ["TIMEOUT"] * 3})
    rig.add("a")
    await rig.run_until("failed", "a", "TIMEOUT", 3, False)
    assert ("removed", "a") not in rig.events
    eq(rig.scheduler.requeue_failed(), 1)
    await rig.run_until("completed", "a")


async def test_every_class_does_what_it_says():
    seen = set()
    for code in sorted(CLASSES):
        rig = Rig({"a": [code]}, max_attempts=5)
        rig.add("a")
        kind = CLASSES[code]
        seen.add(kind)
        if kind == NEVER:
            await rig.run_until("failed", "a", code, 1, False)
        elif kind == RETRY:
            await rig.run_until("failed", "a", code, 1, True)
        elif kind == RENEW:
            await rig.run_until("completed", "a")
            eq(rig.events.count(("try", "a")), 2, code)
        else:
            await rig.run_until("failed", "a", code, 0, True)
    eq(seen, {RETRY, RENEW, WAIT, PAUSE, NEVER})


async def test_new_urls_are_bounded_within_an_attempt():
    rig = Rig({"a": ["URL_EXPIRED"] * 9})
    rig.add("a")
    await rig.run_until("failed", "a", "URL_EXPIRED", 3, False)
    eq(rig.events.count(("try", "a")), 9, "three URLs in each of three attempts")


async def test_priority_decides_who_is_next():
    rig = Rig()
    for path, priority in (("low", LOW), ("high", HIGH), ("urgent", URGENT)):
        rig.add(path, priority)
    await rig.run_until("completed", "low")
    tries = [event[1] for event in rig.events if event[0] == "try"]
    eq(tries, ["urgent", "high", "low"])


async def test_slots_work_side_by_side():
    rig = Rig(slots=2)
    for path in ("a", "b", "c", "d"):
        rig.add(path)
    await rig.run_until("completed", "d")
    eq(rig.most_running, 2)


async def test_nothing_is_tried_while_not_ready():
    rig = Rig()
    rig.is_ready = False
    rig.add("a")
    task = asyncio.create_task(rig.scheduler.run())
    await asyncio.sleep_ms(30)
    eq(rig.events, [])
    rig.is_ready = True
    rig.scheduler.wake()
    await asyncio.sleep_ms(30)
    task.cancel()
    eq(rig.events, [("try", "a"), ("removed", "a"), ("completed", "a")])


async def test_a_file_that_cannot_be_deleted_is_delivered_all_the_same():
    rig = Rig()

    def refuse(path):
        raise OSError(30)

    rig.scheduler._remove_file = refuse
    rig.add("a")
    await rig.run_until("completed", "a")
    assert ("log", "delivered, but cannot be deleted: a") in rig.events


async def test_a_dying_upload_leaves_its_job_in_the_queue():
    rig = Rig()
    rig.add("a")

    async def die(job, slot):
        raise RuntimeError("a bug")

    rig.scheduler._upload, alive = die, rig.scheduler._upload
    try:
        await rig.scheduler.run()
        raise AssertionError("the scheduler swallowed a bug")
    except RuntimeError:
        rig.scheduler._upload = alive
    await rig.run_until("completed", "a")
