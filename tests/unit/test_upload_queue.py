"""Order, time and states of the jobs that wait for the cloud."""

from firmware.trigger import HIGH, LOW, MOTION, NORMAL, URGENT
from firmware.upload_queue import Job, UploadQueue
from harness import eq

_PERIOD = 1 << 30


def _ticks_add(ticks, delta):
    return (ticks + delta) % _PERIOD


def _ticks_diff(end, start):
    return (end - start + _PERIOD // 2) % _PERIOD - _PERIOD // 2


def queue():
    return UploadQueue(ticks_add=_ticks_add, ticks_diff=_ticks_diff)


def job(path, priority=NORMAL):
    return Job(path, 1000, priority, MOTION)


def taken(q, now_ms):
    paths = []
    while True:
        one = q.take(now_ms)
        if one is None:
            return paths
        paths.append(one.path)


def test_priority_then_age():
    q = queue()
    for path, priority in (("a", LOW), ("b", HIGH), ("c", URGENT), ("d", HIGH), ("e", NORMAL)):
        assert q.add(job(path, priority), 0)
    eq(taken(q, 0), ["c", "b", "d", "e", "a"])


def test_a_file_is_queued_once():
    q = queue()
    assert q.add(job("a"), 0)
    assert not q.add(job("a", URGENT), 0)
    eq(len(q), 1)


def test_not_before_its_time():
    q = queue()
    q.add(job("late", URGENT), 0, 100)
    q.add(job("now", LOW), 0)
    eq(taken(q, 0), ["now"])
    eq(q.next_due_ms(40), 60)
    eq(taken(q, 100), ["late"])
    eq(q.next_due_ms(100), None, "nothing waits")


def test_a_due_job_stays_due_when_ticks_wrap():
    q = queue()
    q.add(job("a"), 0, 100)
    eq(q.next_due_ms(100), 0)
    eq(q.next_due_ms(_PERIOD // 2 + 200), 0, "half a period later")


def test_a_running_job_is_not_taken_twice_and_comes_back():
    q = queue()
    q.add(job("a"), 0)
    one = q.take(0)
    eq(q.take(0), None)
    q.retry(one, 0, 50)
    eq(q.take(49), None)
    eq(q.take(50), one)
    q.done(one)
    eq(len(q), 0)


def test_failed_jobs_wait_for_a_word():
    q = queue()
    for path in ("lost", "denied"):
        q.add(job(path), 0)
    lost, denied = q.take(0), q.take(0)
    lost.attempts = denied.attempts = 3
    q.fail(lost, False)
    q.fail(denied, True)
    eq(q.next_due_ms(0), None)
    eq(q.requeue_failed(0, False), 1)
    eq(lost.attempts, 0)
    eq(taken(q, 0), ["lost"])
    eq(q.requeue_failed(0, True), 1)
    eq(taken(q, 0), ["denied"])


def test_a_pause_holds_everything():
    q = queue()
    q.add(job("a", URGENT), 0)
    q.pause(0, 100)
    eq(q.take(99), None)
    eq(q.next_due_ms(40), 60)
    eq(taken(q, 100), ["a"])
