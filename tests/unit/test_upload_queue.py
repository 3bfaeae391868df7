"""Order, time and states of the jobs that wait for the cloud."""

from firmware.job import DELIVERED, FAILED, FREE, RECORDING, RUNNING, WAITING, Job
from firmware.trigger import HIGH, LOW, MOTION, NORMAL, URGENT
from firmware.upload_queue import UploadQueue
from harness import eq

_PERIOD = 1 << 30


def _ticks_add(ticks, delta):
    return (ticks + delta) % _PERIOD


def _ticks_diff(end, start):
    return (end - start + _PERIOD // 2) % _PERIOD - _PERIOD // 2


class Rig:
    def __init__(self, most=200):
        self.queue = UploadQueue(most=most, ticks_add=_ticks_add, ticks_diff=_ticks_diff)
        self.orders = 0

    def add(self, priority=NORMAL, state=WAITING, name=1, now_ms=0, delay_ms=0):
        job = Job("x", 1, priority, MOTION, state=state)
        self.orders += 1
        job.order = self.orders
        row = self.queue.free_row()
        if row is not None:
            self.queue.put(row, job, name)
            if state == WAITING:
                self.queue.postpone(row, now_ms, delay_ms)
        return row

    def taken(self, now_ms, is_open=lambda priority: True):
        rows = []
        row = self.queue.take(now_ms, is_open)
        while row is not None:
            rows.append(row)
            row = self.queue.take(now_ms, is_open)
        return rows


def test_priority_then_age():
    rig = Rig()
    rows = [rig.add(priority) for priority in (LOW, HIGH, URGENT, HIGH, NORMAL)]
    eq(rig.taken(0), [rows[i] for i in (2, 1, 3, 4, 0)])


def test_age_counts_though_rows_are_used_again():
    rig = Rig()
    first, second = rig.add(), rig.add()
    rig.queue.remove(first)
    eq(rig.add(), first, "its row")
    eq(rig.taken(0), [second, first])


def test_not_before_its_time():
    rig = Rig()
    late, now = rig.add(URGENT, delay_ms=100), rig.add(LOW)
    eq(rig.taken(0), [now])
    eq(rig.queue.next_due_ms(40), 60)
    eq(rig.taken(100), [late])
    eq(rig.queue.next_due_ms(100), None, "nothing waits")


def test_a_due_job_stays_due_when_ticks_wrap():
    rig = Rig()
    rig.add(delay_ms=100)
    eq(rig.queue.next_due_ms(100), 0)
    eq(rig.queue.next_due_ms(_PERIOD // 2 + 200), 0, "half a period later")


def test_a_tick_of_zero_is_a_time_like_others():
    rig = Rig()
    rig.add(now_ms=_PERIOD - 100, delay_ms=100)
    eq(rig.taken(_PERIOD - 1), [])
    eq(len(rig.taken(1)), 1)


def test_a_running_job_is_not_taken_twice_and_comes_back():
    rig = Rig()
    row = rig.add()
    eq(rig.taken(0), [row])
    eq(rig.queue.state(row), RUNNING)
    rig.queue.postpone(row, 0, 50)
    eq(rig.taken(49), [])
    eq(rig.taken(50), [row])
    rig.queue.remove(row)
    eq((len(rig.queue), rig.queue.state(row)), (0, FREE))


def test_only_waiting_jobs_are_taken():
    rig = Rig()
    rig.add(state=RECORDING)
    rig.add(state=FAILED)
    eq(rig.taken(0), [])
    eq(rig.queue.next_due_ms(0), None)
    eq(list(rig.queue.rows_in((FAILED,))), [1])


def test_shut_windows_hold_their_priorities_alone():
    rig = Rig()
    low, high = rig.add(LOW), rig.add(HIGH)
    eq(rig.taken(0, lambda priority: priority >= HIGH), [high])
    eq(rig.taken(0), [low])


def test_a_pause_holds_everything():
    rig = Rig()
    row = rig.add(URGENT)
    rig.queue.pause(0, 100)
    eq(rig.taken(99), [])
    eq(rig.queue.next_due_ms(40), 60)
    eq(rig.taken(100), [row])


def test_rows_by_name():
    rig = Rig()
    names = (0x01020304, 0x02030401, 0x03040102, 0x01020304)
    rows = [rig.add(name=name) for name in names]
    eq(list(rig.queue.rows_named(0x01020304)), [rows[0], rows[3]])
    eq(list(rig.queue.rows_named(0x02030401)), [rows[1]])
    rig.queue.remove(rows[0])
    eq(list(rig.queue.rows_named(0x01020304)), [rows[3]])
    eq(list(rig.queue.rows_named(5)), [])


def test_it_is_full_when_it_is_full():
    rig = Rig(most=70)
    rows = [rig.add() for _ in range(70)]
    eq(rows, list(range(70)))
    eq(rig.add(), None)
    rig.queue.remove(33)
    eq(rig.add(), 33)
    eq(len(rig.queue), 70)


def test_room_for_a_good_many():
    for most, used, has_room in (
        (2048, 1919, True),
        (2048, 1920, False),
        (8, 5, True),
        (8, 6, False),
        (2, 1, True),
        (2, 2, False),
    ):
        rig = Rig(most)
        for row in range(used):
            eq(rig.add(), row)
        eq(rig.queue.has_room(), has_room, (most, used))
    rig.queue.remove(0)
    assert rig.queue.has_room(), "again"


def test_whether_a_row_is_in_a_state():
    rig = Rig()
    rig.add()
    row = rig.add(state=DELIVERED)
    eq([rig.queue.has(state) for state in (WAITING, DELIVERED, FAILED)], [True, True, False])
    rig.queue.remove(row)
    assert not rig.queue.has(DELIVERED)
