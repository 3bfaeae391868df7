"""The scheduler: attempts, back-off, slots, and a file that goes only after the proof."""

import asyncio
from time import ticks_diff, ticks_ms

from firmware.growth import Growth
from firmware.job import DELIVERED, FAILED, HOPELESS, RECORDING, WAITING, Job
from firmware.retry_policy import RetryPolicy
from firmware.retry_scheduler import RetryScheduler
from firmware.trigger import HIGH, LOW, MOTION, URGENT
from firmware.upload_error import (
    CLASSES,
    NEVER,
    PAUSE,
    RENEW,
    RETRY,
    SUSPEND,
    WAIT,
    UploadError,
)
from firmware.upload_statistics import UploadStatistics
from harness import eq, tmp_dir
from tasks.journals import jobs, journal


class OUTCOME:
    size_bytes, sent_bytes, duration_ms = 1000, 1000, 20


class Rig:
    """A scheduler whose uploads follow a script: per path a list of errors, then success."""

    def __init__(self, script=(), folder=None, **settings):
        self.script = dict(script)
        self.events = []
        self.running = self.most_running = 0
        self.is_ready = True
        self.shut = ()  # priorities whose window is shut
        given = {"slots": 1, "delete_after_upload": True}
        policy = {"retry_delay_ms": 0, "max_attempts": 3}
        for name, value in settings.items():
            (policy if name in policy else given)[name] = value
        self.folder = folder or tmp_dir()
        self.statistics = UploadStatistics()
        self.journal = journal(self.folder, log=self.log, totals=self.statistics)
        self.journal.open()
        self.scheduler = RetryScheduler(
            self.upload,
            self.journal,
            RetryPolicy(randbits=lambda bits: (1 << bits) - 1, **policy),
            is_ready=lambda: self.is_ready,
            is_open=lambda priority: priority not in self.shut,
            remove_file=lambda path, size_bytes: self.events.append(("removed", path)),
            ticks_ms=ticks_ms,
            upload_delay_ms=0,
            on_completed=lambda job, outcome: self.events.append(("completed", job.path)),
            on_failed=self.on_failed,
            on_suspended=lambda job: self.events.append(("gave way", job.path)),
            statistics=self.statistics,
            log=self.log,
            **given,
        )

    def log(self, text, error=None):
        self.events.append(("log", text))

    def reboot(self, **settings):
        """Another scheduler on the same card."""
        return Rig(self.script, self.folder, **settings)

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
        return OUTCOME

    def on_failed(self, job, error, will_retry):
        self.events.append(("failed", job.path, error.code, job.attempts, will_retry))

    def add(self, path, priority=HIGH):
        job = Job(path, 1, priority, MOTION)
        assert self.scheduler.add(job)
        return job

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
    await rig.run_until("removed", "a")
    eq(
        rig.events,
        [
            ("try", "a"),
            ("failed", "a", "CONNECTION_LOST", 1, True),
            ("try", "a"),
            ("completed", "a"),
            ("removed", "a"),
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
        elif kind == SUSPEND:
            await rig.run_until("completed", "a")
            eq([event for event in rig.events if event[0] == "failed"], [], "nobody is told")
        else:
            await rig.run_until("failed", "a", code, 0, True)
    eq(seen, {RETRY, RENEW, WAIT, PAUSE, SUSPEND, NEVER})


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
    eq(rig.events, [("try", "a"), ("completed", "a"), ("removed", "a")])


async def test_a_file_that_cannot_be_deleted_is_delivered_all_the_same():
    rig = Rig()

    def refuse(path, delivered_bytes):
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


def states(rig):
    return [(job.path, job.state, job.attempts) for job in jobs(rig.journal)]


async def test_every_change_is_in_the_journal():
    rig = Rig({"a": ["TIMEOUT", "TIMEOUT", "TIMEOUT"], "b": ["ACCESS_DENIED"]})
    rig.add("a")
    eq(states(rig.reboot()), [("a", WAITING, 0)])
    rig.add("b")
    await rig.run_until("failed", "b", "ACCESS_DENIED", 1, False)
    await rig.run_until("failed", "a", "TIMEOUT", 3, False)
    eq(states(rig.reboot()), [("a", FAILED, 3), ("b", HOPELESS, 1)])


async def test_a_delivered_and_deleted_clip_leaves_nothing():
    rig = Rig()
    rig.add("a")
    await rig.run_until("removed", "a")
    eq(states(rig), [])
    eq(states(rig.reboot()), [])


async def test_a_delivered_clip_that_stays_is_known_as_such():
    rig = Rig(delete_after_upload=False)
    rig.add("a")
    await rig.run_until("completed", "a")
    again = rig.reboot(delete_after_upload=False)
    eq(states(again), [("a", DELIVERED, 0)])


async def test_nothing_is_deleted_that_the_journal_has_not_as_delivered():
    rig = Rig()
    job = rig.add("a")
    whole = rig.journal._records.write

    def refuse(row, payload):
        raise OSError(5, "card")

    rig.journal._records.write = refuse
    await rig.run_until("completed", "a")
    rig.journal._records.write = whole
    assert ("removed", "a") not in rig.events
    eq(states(rig.reboot()), [("a", WAITING, 0)], "delivered again, to a store that has it")
    eq(job.path, "a")


async def test_an_attempt_that_stored_a_part_is_not_spent():
    rig = Rig(max_attempts=2)
    rig.add("a")
    tries = []

    async def one_part_each(job, slot):
        tries.append(job.attempts)
        job.parts_done += 1
        rig.journal.save(job)
        if job.parts_done < 6:
            raise UploadError("CONNECTION_LOST", "again")
        return OUTCOME

    rig.scheduler._upload = one_part_each
    await rig.run_until("completed", "a")
    eq(tries, [0, 1, 1, 1, 1, 1])


async def test_what_the_store_has_wrong_is_sent_once_more():
    rig = Rig({"a": ["INTEGRITY"] * 5}, max_attempts=5)
    rig.add("a")
    await rig.run_until("failed", "a", "INTEGRITY", 2, False)


async def test_failed_jobs_start_again_with_the_network_hopeless_ones_by_command():
    script = {"lost": ["TIMEOUT"], "denied": ["ACCESS_DENIED"]}
    rig = Rig(script, max_attempts=1)
    rig.add("lost")
    rig.add("denied")
    await rig.run_until("failed", "denied", "ACCESS_DENIED", 1, False)
    rig = rig.reboot()
    rig.scheduler.network_is_back()
    await rig.run_until("completed", "lost")
    eq(states(rig), [("denied", HOPELESS, 1)])
    eq(rig.scheduler.requeue_failed(), 1)
    eq(states(rig.reboot()), [("denied", WAITING, 0)], "the command survives a reset")
    await rig.run_until("completed", "denied")


async def test_cameras_come_back_at_different_times():
    rig = Rig(retry_delay_ms=80)
    rig.add("a")
    started_ms = ticks_ms()
    rig.scheduler.network_is_back()
    await rig.run_until("completed", "a")
    assert ticks_diff(ticks_ms(), started_ms) >= 80, "the most that this dice gives"


async def test_shut_windows_hold_jobs_back():
    rig = Rig()
    rig.shut = (LOW,)
    rig.add("low", LOW)
    rig.add("high", HIGH)
    await rig.run_until("removed", "high")
    eq(states(rig), [("low", WAITING, 0)])


async def test_an_urgent_job_takes_the_slot_of_the_lowest_at_a_part_s_end():
    rig = Rig(slots=2)
    asked = []

    async def in_parts(job, slot):
        rig.events.append(("try", job.path))
        while job.parts_done < 4:
            await asyncio.sleep_ms(2)
            job.parts_done += 1
            rig.journal.save(job)
            if job.path == "low" and job.parts_done == 2 and not asked:
                asked.append(job)
                rig.add("urgent", URGENT)
            if rig.scheduler.must_suspend(job):
                rig.events.append(("suspended", job.path, job.parts_done))
                raise UploadError("SUSPENDED", "as asked")
        return OUTCOME

    rig.scheduler._upload = in_parts
    rig.add("low", LOW)
    rig.add("high", HIGH)
    await rig.run_until("removed", "low")
    if ("completed", "urgent") not in rig.events:
        await rig.run_until("completed", "urgent")
    suspended = [event for event in rig.events if event[0] == "suspended"]
    eq(suspended, [("suspended", "low", 2)])
    after = rig.events[rig.events.index(suspended[0]) + 1 :]
    eq(after[:2], [("gave way", "low"), ("try", "urgent")])
    assert ("completed", "urgent") in after
    eq(rig.events.count(("try", "low")), 2)
    eq([event for event in rig.events if event[0] == "failed"], [])


async def test_a_window_that_shuts_suspends_at_a_part_s_end():
    rig = Rig()
    job = rig.add("low", LOW)
    eq(rig.scheduler.must_suspend(job), False)
    rig.shut = (LOW,)
    eq(rig.scheduler.must_suspend(job), True)


class Clip:
    size_bytes, md5, duration_ms, height = 5000, b"m" * 16, 1000, 720
    fps, frames, pre_roll_ms, poster_bytes, started_unix = 25, 25, 0, 0, None


def recording(rig, path="a"):
    job = Job(path, 0, HIGH, MOTION, state=RECORDING)
    assert rig.scheduler.add(job)
    return job


async def test_a_recording_waits_for_its_end():
    rig = Rig()
    job = recording(rig)
    eq(states(rig.reboot()), [("a", RECORDING, 0)])
    rig.add("b")
    await rig.run_until("removed", "b")
    assert ("try", "a") not in rig.events
    job.finish(Clip)
    assert rig.scheduler.finish(job)
    eq(states(rig.reboot()), [("a", WAITING, 0)])
    await rig.run_until("removed", "a")


async def test_a_recording_goes_out_while_it_grows():
    rig = Rig()
    job = recording(rig)
    job.growth = Growth()
    seen = []

    async def follow(running, slot):
        assert running is job
        while not job.growth.is_done:
            await job.growth.changed()
            seen.append(job.growth.size_bytes)
            rig.journal.save(job)
            if len(seen) == 1:
                eq(states(rig.reboot()), [("a", RECORDING, 0)], "a reset finds it as such")
                job.finish(Clip)
                rig.scheduler.finish(job)
        eq((job.size_bytes, job.md5), (Clip.size_bytes, Clip.md5))
        return OUTCOME

    rig.scheduler._upload = follow
    job.growth.reach(2000)
    rig.scheduler.grow(job)
    await rig.run_until("removed", "a")
    eq((seen, job.growth.size_bytes), ([2000], 5000))
    eq(states(rig), [])


async def test_a_recording_whose_end_cannot_be_kept_is_left_for_the_next_start():
    rig = Rig()
    job = recording(rig)

    def refuse(row, payload):
        raise OSError(5, "card")

    rig.journal._records.write, whole = refuse, rig.journal._records.write
    job.finish(Clip)
    eq(rig.scheduler.finish(job), False)
    rig.journal._records.write = whole
    rig.add("b")
    await rig.run_until("removed", "b")
    assert ("try", "a") not in rig.events
    eq(states(rig.reboot()), [("a", RECORDING, 0)])


async def test_statistics_survive_a_reset():
    rig = Rig({"a": ["TIMEOUT"], "b": ["ACCESS_DENIED"]})
    rig.add("a")
    rig.add("b")
    await rig.run_until("failed", "b", "ACCESS_DENIED", 1, False)
    if ("removed", "a") not in rig.events:
        await rig.run_until("removed", "a")
    figures = rig.reboot().statistics.report()
    for name, value in (("successful_uploads", 1), ("failed_uploads", 1), ("retries", 1)):
        eq(figures[name], value, name)
    eq(figures["total_bytes_uploaded"], 1000)


async def test_a_missing_file_is_told_once():
    rig = Rig({"a": ["FILE_MISSING"]})
    rig.add("a")
    await rig.run_until("failed", "a", "FILE_MISSING", 1, False)
    eq(states(rig.reboot()), [])


async def test_a_failure_after_the_end_does_not_bring_a_job_back():
    rig = Rig({"a": ["FILE_MISSING"]})
    rig.add("a")

    def die(job, error, will_retry):
        raise RuntimeError("a bug behind the end")

    rig.scheduler._on_failed, alive = die, rig.scheduler._on_failed
    try:
        await rig.scheduler.run()
        raise AssertionError("the scheduler swallowed a bug")
    except RuntimeError:
        rig.scheduler._on_failed = alive
    rig.add("b")
    await rig.run_until("removed", "b")
    eq(rig.events.count(("try", "a")), 1)
    eq(states(rig), [])


async def test_many_hopeless_jobs_are_revived_in_turns():
    """The loop is not held up by their records; all are queued again in the end."""
    rig = Rig()
    for number in range(20):
        job = rig.add("j%02d" % number)
        job.state = HOPELESS
        rig.journal.save(job)
    whole, written = rig.journal.save, []

    def save(job):
        written.append(job.path)
        return whole(job)

    rig.journal.save = save
    eq(rig.scheduler.requeue_failed(), 20)
    assert 0 < len(written) < 10, written
    rig.is_ready = False
    task = asyncio.create_task(rig.scheduler.run())
    while len(written) < 20:
        await asyncio.sleep_ms(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    eq(states(rig.reboot()), [("j%02d" % number, WAITING, 0) for number in range(20)])


async def test_a_job_whose_end_was_not_kept_is_not_tried_as_it_was():
    rig = Rig()
    job = recording(rig)
    rig.journal.queue.set_state(job.row, WAITING)  # how it ended is in no record
    rig.add("b")
    await rig.run_until("removed", "b")
    assert ("try", "a") not in rig.events
    eq(rig.journal.queue.state(job.row), RECORDING)
