"""A card that gets full: who goes, who stays, who is told, and what a power cut leaves.

Cards are of 16 MiB, of which a quarter at most is kept free; the slack is 1 MiB.
"""

import asyncio
import os
import random

from firmware import age_limit, eviction
from firmware.clip import Clip
from firmware.clip_store import ClipStore
from firmware.intake import Intake
from firmware.job import DELIVERED, FAILED, HOPELESS, RECORDING, RUNNING, WAITING, Job
from firmware.retention import Retention
from firmware.trigger import (
    HIGH,
    LOW,
    MANUAL,
    MOTION,
    NORMAL,
    URGENT,
    default_priority,
    parse_clip_name,
)
from harness import eq, exists, raises, raises_async, tmp_dir
from tasks.journals import journal
from tasks.small_card import ENOSPC, small_card

CARD_MIB = 16
PLACES = 64  # in the journal; they run short with a quarter of them free
PLACES_MADE = 32
MIB = 1048576
KIB = 1024
NOW = 1800000000
DAY = 86400
EIO = 5
CHECKS_OF_REST = 16  # after them what was left alone is tried again
CHECKS_OF_CALM = 32


class Pauses:
    """In place of `asyncio` where clips go: others get their turn, but no time goes by."""

    def __init__(self):
        self.count = 0

    async def sleep_ms(self, ms):
        self.count += ms > 0
        await asyncio.sleep_ms(0)


class Rig:
    def __init__(self, reserve_mib=2, quota_mib=0, max_age_days=0, check_ms=1):
        self.pauses = eviction.asyncio = age_limit.asyncio = Pauses()
        self.card = small_card(CARD_MIB)
        self.folder = tmp_dir()
        self.directory = self.card.root + "/recordings"
        self.store = ClipStore(self.directory, self.log)
        self.store.open()
        self.lines, self.told, self.evicted = [], [], []
        self.looks = self.others = 0
        self.busy = None
        self.is_ready = True
        self.now = NOW
        self.file_unix = None
        self.lie_bytes = 0
        self.open_journal()
        files = self.store.files

        def counted():
            self.looks += 1
            return files()

        self.store.files = counted
        self.retention = Retention(
            self.store,
            self.journal,
            statvfs=self.statvfs,
            reserve_bytes=reserve_mib * MIB,
            quota_bytes=quota_mib * MIB,
            max_age_sec=max_age_days * DAY,
            unix_time=lambda: self.now,
            to_unix=lambda changed: self.file_unix,
            is_busy=lambda path: path == self.busy,
            on_evicted=self.evicted.append,
            on_stopped=lambda priority, reason: self.told.append(("stopped", priority, reason)),
            on_resumed=lambda: self.told.append("resumed"),
            log=self.log,
            is_ready=lambda: self.is_ready,
            check_ms=check_ms,
        )

    def open_journal(self):
        self.journal = journal(self.folder, self.log, PLACES, root=self.directory)
        self.journal.open()

    def statvfs(self):
        facts = self.card.statvfs()
        free = facts[4] + self.lie_bytes // facts[1]
        return facts[:3] + (free, free) + facts[5:]

    def log(self, text, error=None):
        self.lines.append(text)

    def path(self, name):
        return self.directory + "/" + name

    def clip(self, name, kib=700, priority=None, state=WAITING, since=NOW):
        """A clip on the card; state None: without a job."""
        path = self.path(name)
        self.card.write(path, kib * KIB)
        trigger = parse_clip_name(name)[0]
        if state is None:
            return path
        priority = default_priority(trigger) if priority is None else priority
        job = Job(path, kib * KIB, priority, trigger, state=state, started_unix=since)
        assert self.journal.add(job)
        return path

    def fill(self, names, **facts):
        for name in names:
            self.clip(name, **facts)

    def leave(self, kib):
        """Put something else on the card, so that so much is free."""
        self.others += 1
        path = "%s/other%d" % (self.card.root, self.others)
        self.card.write(path, (self.free_kib() - kib) * KIB)

    def free_kib(self):
        facts = self.card.statvfs()
        return facts[4] * facts[1] // KIB

    def names(self):
        return sorted(name for name, _ in ClipStore(self.directory, print).files())

    def gone(self):
        return [fact.path.split("/")[-1] for fact in self.evicted]

    async def checks(self, count):
        for _ in range(count):
            await self.retention.check()

    def reboot(self):
        """Records without a file, and files without a record."""
        self.open_journal()
        known = [self.journal.load(row) for row in self.journal.queue.rows_in(range(1, 7))]
        names = [job.path.split("/")[-1] for job in known]
        there = self.names()
        return (
            sorted(name for name in names if name not in there),
            [name for name in there if name not in names],
        )


def numbered(letter, first, count):
    return ["%s%07d.ts" % (letter, number) for number in range(first, first + count)]


async def test_with_room_nobody_looks_and_nothing_goes():
    rig = Rig()
    rig.fill(numbered("m", 1, 5))
    assert rig.retention.may_record(LOW)
    await rig.checks(10)
    eq((rig.gone(), rig.looks, rig.told), ([], 0, []))


async def test_what_was_uploaded_goes_first_then_by_priority_then_by_age():
    rig = Rig()
    rig.clip("s0000001.ts", 2000)  # urgent
    rig.clip("m0000002.ts", 2000)  # high
    rig.clip("r0000003.ts", 2000)  # normal
    rig.clip("h0000004.ts", 2000, state=FAILED)  # low
    rig.clip("m0000005.ts", 2000)
    rig.clip("s0000006.ts", 2000, state=DELIVERED)
    rig.clip("m0000007.ts", 2000, LOW)  # somebody queued it so
    for priority in (-1,) + (URGENT,) * 6:
        if priority >= 0:
            assert rig.retention.may_record(priority)
        rig.leave(1500)
        await rig.retention.check()
    eq(
        rig.gone(),
        ["s0000006.ts", "h0000004.ts", "m0000007.ts"]
        + ["r0000003.ts", "m0000002.ts", "m0000005.ts", "s0000001.ts"],
    )
    eq(rig.reboot(), ([], []))


async def test_all_is_told_of_what_goes():
    rig = Rig()
    rig.fill(numbered("r", 2, 6), kib=2300)
    path = rig.clip("m0000001.ts", 100, URGENT, DELIVERED)
    rig.leave(1500)
    rig.retention.may_record(NORMAL)
    await rig.retention.check()
    eq(rig.evicted[0], (path, 100 * KIB, URGENT, MOTION, True, "reserve"))
    eq(rig.evicted[1], (rig.path("r0000002.ts"), 2300 * KIB, NORMAL, MANUAL, False, "reserve"))
    eq(len(rig.evicted), 2)
    assert not exists(path)


async def test_room_is_made_with_some_slack():
    rig = Rig(reserve_mib=2)
    rig.fill(numbered("m", 1, 36), kib=400)
    rig.retention.may_record(HIGH)
    await rig.retention.check()
    assert 3 * KIB <= rig.free_kib() < 3 * KIB + 500, rig.free_kib()
    looks = rig.looks
    await rig.checks(5)
    eq((rig.looks, rig.told), (looks, []), "nothing changed")
    eq(rig.gone(), numbered("m", 1, len(rig.gone())), "oldest first")
    eq(rig.pauses.count, len(rig.gone()), "each is reported")


async def test_a_low_recording_costs_nothing_high():
    rig = Rig()
    rig.fill(numbered("m", 1, 18))
    rig.leave(1500)
    assert rig.retention.may_record(LOW), "before anybody looked"
    await rig.retention.check()
    eq([rig.retention.may_record(priority) for priority in (NORMAL, LOW)], [False, False])
    await rig.checks(40)
    eq((rig.gone(), rig.told), ([], [("stopped", NORMAL, "reserve")]))
    assert rig.retention.may_record(HIGH)
    await rig.retention.check()
    eq(rig.gone(), numbered("m", 1, 3))
    await rig.checks(CHECKS_OF_CALM)
    eq(rig.told[1:], ["resumed"])
    assert rig.retention.may_record(LOW)


async def test_a_high_recording_costs_nothing_urgent():
    rig = Rig()
    rig.fill(numbered("s", 1, 18))
    rig.leave(1500)
    await rig.retention.check()
    assert not rig.retention.may_record(HIGH)
    await rig.checks(40)
    eq((rig.gone(), rig.told), ([], [("stopped", HIGH, "reserve")]))
    assert rig.retention.may_record(URGENT)
    await rig.retention.check()
    eq(rig.gone(), numbered("s", 1, 3))


async def test_an_alarm_that_gets_worse_is_told_again_and_once():
    rig = Rig()
    rig.fill(numbered("m", 1, 18))
    rig.leave(1500)
    await rig.retention.check()
    for _ in range(3):
        assert not rig.retention.may_record(LOW)
        await rig.retention.check()
    while rig.retention.may_record(HIGH) and rig.names():
        await rig.retention.check()
        rig.clip("s%07d.ts" % (100 + len(rig.evicted)), rig.free_kib() - 1000)
    await rig.checks(3)
    eq(rig.told, [("stopped", LOW, "reserve"), ("stopped", HIGH, "reserve")])


async def test_an_alarm_does_not_flap():
    rig = Rig()
    rig.fill(numbered("m", 1, 18))
    rig.leave(1500)
    await rig.retention.check()
    for number in range(40):  # uploads make a little room, recording takes it
        rig.retention.may_record(NORMAL)
        if number % 2:
            os.remove(rig.path("other.log"))
        else:
            rig.card.write(rig.path("other.log"), 300 * KIB)
        await rig.retention.check()
    eq(rig.told, [("stopped", NORMAL, "reserve")])


async def test_what_is_in_use_and_what_is_no_clip_stays():
    rig = Rig()
    rig.busy = rig.clip("m0000001.ts", state=None)
    rig.clip("m0000002.ts", state=RECORDING)
    row = rig.journal.find(rig.clip("m0000003.ts"))
    rig.journal.queue.set_state(row, RUNNING)
    for other in ("holiday.jpg", "OLD-CA~4.TS", "m123.ts", "camera.log"):
        rig.card.write(rig.path(other), 10)
    os.mkdir(rig.path("m0000004.ts"))
    os.mkdir(rig.card.root + "/footage")
    rig.card.write(rig.card.root + "/config.json", 10)
    rig.card.write(rig.card.root + "/footage/m0000001.ts", 10)
    rig.clip("m0000005.ts")
    rig.leave(500)
    rig.retention.may_record(URGENT)
    await rig.retention.check()
    eq(rig.gone(), ["m0000005.ts"])
    assert not rig.retention.may_record(URGENT)
    await rig.checks(CHECKS_OF_REST + 2)
    eq((rig.gone(), rig.told), (["m0000005.ts"], [("stopped", URGENT, "reserve")]))
    assert exists(rig.card.root + "/footage/m0000001.ts")
    rig.busy = None
    assert not rig.retention.may_record(URGENT), "nobody has looked yet"
    await rig.checks(CHECKS_OF_REST)
    eq(rig.gone(), ["m0000005.ts", "m0000001.ts"])


async def test_an_upload_that_begins_during_the_look_keeps_its_file():
    rig = Rig()
    rig.fill(numbered("m", 1, 36), kib=400)
    row = rig.journal.find(rig.path("m0000001.ts"))
    rig.retention.may_record(HIGH)
    check = asyncio.create_task(rig.retention.check())
    while not rig.looks:
        await asyncio.sleep_ms(0)
    rig.journal.queue.set_state(row, RUNNING)
    await check
    assert rig.evicted and "m0000001.ts" not in rig.gone(), rig.gone()


async def test_without_uploads_the_name_tells_the_value():
    rig = Rig()
    for name in ("s0000001.ts", "m0000002.ts", "h0000003.ts", "m0000004.ts", "r0000005.ts"):
        rig.clip(name, 2500, state=None)
    rig.leave(1500)
    rig.retention.may_record(HIGH)
    await rig.retention.check()
    eq(rig.gone(), ["h0000003.ts"])
    eq((rig.evicted[0].priority, rig.evicted[0].is_uploaded), (LOW, False))
    rig.leave(1500)
    await rig.retention.check()
    eq(rig.gone(), ["h0000003.ts", "r0000005.ts"])


def delivered_in_part(rig, name, kib, delivered_kib, more=b"\x47" + bytes(187)):
    """A clip of which the card did not give more when it was uploaded, but does now."""
    path = rig.clip(name, kib, state=DELIVERED)
    job = rig.journal.job_of(path)
    job.size_bytes = delivered_kib * KIB // 188 * 188
    assert rig.journal.save(job)
    with open(path, "r+b") as file:
        file.seek(job.size_bytes)
        file.write(more * 4)
    return path


async def test_what_was_delivered_in_part_was_not_uploaded():
    rig = Rig()
    for name in numbered("s", 1, 9):
        delivered_in_part(rig, name, 500, 100)
    rig.clip("s0000010.ts", 500, state=DELIVERED)
    rig.clip("h0000011.ts", 900)
    rig.leave(1900)
    rig.retention.may_record(LOW)
    await rig.retention.check()
    eq(rig.gone(), ["s0000010.ts", "h0000011.ts"])
    eq([fact.is_uploaded for fact in rig.evicted], [True, False])
    rig.leave(1900)
    await rig.checks(CHECKS_OF_REST)
    assert not rig.retention.may_record(LOW)
    eq(len(rig.gone()), 2)
    assert rig.retention.may_record(URGENT)
    await rig.checks(CHECKS_OF_REST)
    eq(rig.gone()[2:], numbered("s", 1, 3))
    eq([fact.is_uploaded for fact in rig.evicted[2:]], [False] * 3)
    eq((rig.reboot(), rig.lines), (([], []), []))


async def test_what_is_behind_a_hole_was_never_promised():
    rig = Rig()
    delivered_in_part(rig, "s0000001.ts", 600, 570, bytes(188))
    delivered_in_part(rig, "s0000002.ts", 600, 599, b"\x47\x00")  # no whole packet more
    rig.leave(1900)
    await rig.retention.check()
    eq([fact[-2:] for fact in rig.evicted], [(True, "reserve")] * 2)


async def test_no_place_and_any_age_is_a_reason_for_what_was_delivered_in_part():
    rig = Rig(max_age_days=7)
    rig.fill(numbered("m", 1, 50), kib=1, state=DELIVERED, since=NOW)
    delivered_in_part(rig, "h0000000.ts", 3, 1)
    await rig.retention.check()
    eq(rig.gone(), numbered("m", 1, PLACES_MADE - 1))
    rig.now = NOW + 7 * DAY
    await rig.retention.check()
    eq(rig.evicted[PLACES_MADE - 1][2:], (LOW, "historical_recording", False, "age"))
    eq((rig.names(), rig.reboot()), ([], ([], [])))


async def test_random_cards_against_a_naive_model():
    random.seed(11)
    for _ in range(6):
        rig, naive = Rig(), []
        for number in range(1, 40):
            state = (DELIVERED, WAITING, FAILED, None, RUNNING)[random.getrandbits(8) % 5]
            letter, kib = "mstrh"[random.getrandbits(8) % 5], 1 + random.getrandbits(8)
            (name,) = numbered(letter, number, 1)
            priority = default_priority(parse_clip_name(name)[0])
            if state:
                priority = random.getrandbits(2)
            rig.clip(name, kib, priority, state)
            if state != RUNNING:
                naive.append((0 if state == DELIVERED else priority + 1, number, name, kib))
        rig.leave(1500)
        asked = random.getrandbits(8) % 5 - 1
        if asked >= 0:
            assert rig.retention.may_record(asked)
        await rig.retention.check()
        expected = [name for rank, _, name, _ in sorted(naive) if rank <= asked + 1]
        eq(rig.gone(), expected[: len(rig.gone())], "for priority %d" % asked)
        is_enough = rig.free_kib() >= 3 * KIB
        assert is_enough or rig.gone() == expected, (rig.gone(), expected)
        eq(rig.reboot()[0], [], "records without a file")


async def record(rig, number, kib, priority=HIGH):
    """As the recorder does; whether the clip was ended because it may not go on."""
    path = rig.path("m%07d.ts" % number)
    rig.busy = path
    parts = []

    def grown(size_bytes):
        parts.append(size_bytes)
        rig.retention.grew(size_bytes)

    try:
        rig.card.write(path, kib * KIB, grown)
    finally:
        rig.busy = None
    rig.retention.grew(parts[-1])
    job = Job(path, kib * KIB, priority, MOTION)
    assert rig.journal.add(job)


async def test_a_card_never_gets_full_while_something_may_go():
    rig = Rig(reserve_mib=2)
    for number in range(1, 80):
        assert rig.retention.may_record(HIGH)
        await record(rig, number, 600)
        await rig.retention.check()
        assert rig.free_kib() > KIB, rig.free_kib()
    left = rig.names()
    eq(left, numbered("m", 80 - len(left), len(left)), "the youngest")
    assert len(left) * 600 > (CARD_MIB - 5) * KIB, left
    eq((rig.told, rig.reboot()), ([], ([], [])))
    assert rig.looks < 40, "once for some slack, not for each clip"


async def test_a_file_system_that_claims_more_than_there_is():
    rig = Rig(reserve_mib=2)
    rig.lie_bytes = 5 * MIB
    failures = 0
    for number in range(1, 60):
        assert rig.retention.may_record(HIGH)
        try:
            await record(rig, number, 600)
        except OSError as error:
            eq(error.errno, ENOSPC)
            failures += 1
            rig.retention.card_is_full()
        await rig.retention.check()
    eq((failures, rig.told), (2, []), "once it is known")
    eq(rig.evicted[0].reason, "card_full")
    eq(rig.evicted[-1].reason, "reserve")
    assert rig.free_kib() >= 2 * KIB - 700


async def test_a_write_that_fails_for_want_of_room_though_there_is():
    """Something else was wrong: it costs the slack each time, and not all that is free."""
    rig = Rig(reserve_mib=2)
    rig.fill(numbered("s", 1, 3), kib=100)
    rig.fill(numbered("m", 4, 9))
    rig.retention.may_record(URGENT)
    rig.retention.card_is_full()
    await rig.checks(CHECKS_OF_CALM)
    eq((rig.gone(), rig.told), (numbered("m", 4, 2), []), "1,400 KiB")
    rig.retention.card_is_full()
    await rig.checks(CHECKS_OF_CALM)
    eq((len(rig.gone()), rig.told), (2, []), "there was room, so none of it was missing")
    number = 20
    while rig.free_kib() > 3 * KIB:
        assert rig.retention.may_record(HIGH)
        await record(rig, number, 600)
        await rig.retention.check()
        number += 1
    eq((len(rig.gone()), rig.told), (2, []), "all that is free is used")


async def test_a_file_system_that_stops_lying_costs_no_more_than_the_reserve():
    rig = Rig(reserve_mib=2)
    rig.fill(numbered("m", 1, 18))
    rig.lie_bytes = 8 * MIB
    rig.retention.may_record(HIGH)
    rig.retention.card_is_full()
    await rig.retention.check()
    free_kib = rig.free_kib()
    rig.lie_bytes = 0
    for _ in range(5):
        rig.retention.may_record(HIGH)
        await rig.retention.check()
    assert rig.free_kib() <= free_kib + 3 * KIB + 700, (free_kib, rig.free_kib())


async def test_a_full_card_is_looked_at_though_the_last_look_was_in_vain():
    rig = Rig()
    rig.fill(numbered("m", 1, 18))
    rig.clip("h0000099.ts", 10)
    rig.leave(1500)
    rig.retention.may_record(LOW)
    evicted = rig.evicted.append

    def full_again(facts):
        evicted(facts)
        rig.retention.card_is_full()

    rig.retention._eviction._on_evicted = full_again
    await rig.retention.check()
    looks = rig.looks
    await rig.retention.check()
    eq((rig.gone(), rig.looks), (["h0000099.ts"], looks + 1))


async def test_what_was_recorded_long_ago_costs_nothing():
    rig = Rig()
    rig.fill(numbered("r", 1, 18))
    rig.retention.may_record(URGENT)
    await rig.checks(CHECKS_OF_REST)
    rig.leave(1500)
    await rig.checks(3)
    eq(rig.gone(), [])


async def test_of_two_jobs_of_that_name_the_more_valuable_counts():
    rig = Rig()
    rig.clip("m0000001.ts", 8000)
    rig.clip("m0000002.ts", 2000)
    for priority, state in ((URGENT, WAITING), (LOW, DELIVERED)):
        elsewhere = Job("/elsewhere/M0000001.ts", 1, priority, MOTION, state=state)
        assert rig.journal.add(elsewhere)
    rig.leave(1500)
    rig.retention.may_record(HIGH)
    await rig.retention.check()
    eq(rig.gone(), ["m0000002.ts"])


async def test_a_full_card_with_nothing_that_may_go():
    rig = Rig()
    rig.fill(numbered("s", 1, 10))
    rig.lie_bytes = 100 * MIB
    rig.retention.may_record(NORMAL)
    rig.retention.card_is_full()
    await rig.retention.check()
    assert not rig.retention.may_record(NORMAL)
    await rig.retention.check()
    eq((rig.gone(), rig.told), ([], [("stopped", NORMAL, "card_full")]))


async def test_the_quota_counts_what_lies_in_the_directory():
    rig = Rig(reserve_mib=1, quota_mib=4)
    rig.fill(numbered("m", 1, 7))
    rig.retention.may_record(HIGH)
    await rig.retention.check()
    eq(rig.gone(), numbered("m", 1, 3))
    eq(rig.evicted[0].reason, "quota")
    looks = rig.looks
    await rig.checks(5)
    eq(rig.looks, looks)
    for number in (8, 9):  # what grows is known without a look
        await record(rig, number, 700)
        await rig.retention.check()
    eq(rig.gone(), numbered("m", 1, 5))
    assert rig.looks > looks


async def test_below_the_quota_nothing_goes_and_nobody_looks_again():
    rig = Rig(reserve_mib=1, quota_mib=4)
    rig.fill(numbered("m", 1, 3), state=DELIVERED)
    rig.retention.may_record(HIGH)
    await rig.retention.check()
    for number in (4, 5):
        await record(rig, number, 700)
        await rig.retention.check()
    eq((rig.gone(), rig.looks), ([], 1))


async def test_a_quota_that_is_nearly_used_up_is_kept():
    rig = Rig(reserve_mib=1, quota_mib=4)
    rig.fill(numbered("m", 1, 5), state=DELIVERED)
    await rig.retention.check()
    eq(rig.gone(), [])


async def test_what_was_uploaded_and_deleted_counts_no_more():
    rig = Rig(reserve_mib=1, quota_mib=4)
    for number in range(1, 30):
        rig.retention.may_record(HIGH)
        await record(rig, number, 700)
        await rig.retention.check()
        job = rig.journal.job_of(rig.path("m%07d.ts" % number))
        os.remove(job.path)
        rig.journal.remove(job)
    eq(rig.gone(), [])


async def test_age_counts_for_all_whose_age_is_known():
    rig = Rig(max_age_days=7)
    old, young = NOW - 7 * DAY, NOW - 7 * DAY + 60
    rig.clip("m0000001.ts", 1, state=DELIVERED, since=old)
    rig.clip("s0000002.ts", 1, since=old)
    rig.clip("m0000003.ts", 1, since=young)
    rig.clip("m0000004.ts", 1, since=None)
    rig.clip("m0000005.ts", 1, state=None)
    rig.clip("h0000006.ts", 1, since=old)
    rig.busy = rig.clip("m0000007.ts", 1, since=old)
    rig.now = None
    await rig.retention.check()
    eq((rig.gone(), rig.looks), ([], 0), "the time is unknown")
    rig.now = NOW
    await rig.retention.check()
    eq(rig.gone(), ["m0000001.ts", "s0000002.ts", "h0000006.ts"])
    eq([fact.reason for fact in rig.evicted], ["age"] * 3)
    eq([fact.is_uploaded for fact in rig.evicted], [True, False, False])
    looks = rig.looks
    await rig.checks(3)
    rig.now = NOW + 59
    await rig.checks(3)
    eq(rig.looks, looks)
    rig.now = NOW + 60
    await rig.retention.check()
    eq(rig.gone()[3:], ["m0000003.ts"])
    rig.file_unix, rig.busy = old, None  # what the file system knows
    rig.now = NOW + 3700
    await rig.retention.check()
    eq(rig.gone()[4:], ["m0000004.ts", "m0000005.ts", "m0000007.ts"])
    eq((rig.names(), rig.reboot()), ([], ([], [])))


async def test_old_clips_behind_many_without_a_time_are_found():
    rig = Rig(max_age_days=1)
    rig.fill(numbered("m", 1, 40), kib=1, since=None)
    rig.clip("m0000099.ts", 1, since=NOW - 2 * DAY)
    await rig.retention.check()
    eq(rig.gone(), ["m0000099.ts"])


async def test_a_clock_that_is_set_back_does_not_stop_the_age_limit():
    rig = Rig(max_age_days=1)
    rig.now = NOW + 3 * DAY
    await rig.retention.check()
    rig.now = NOW
    rig.clip("m0000001.ts", 1, since=NOW - 2 * DAY)
    await rig.retention.check()
    eq(rig.gone(), ["m0000001.ts"])


class Removing:
    """In place of `os` where files are deleted: `before(path)` may raise."""

    def __init__(self, before):
        self._before = before
        self.tried = []

    def remove(self, path):
        self.tried.append(path.split("/")[-1])
        self._before(path)
        os.remove(path)

    def __enter__(self):
        eviction.os = self
        return self

    def __exit__(self, *_):
        eviction.os = os


async def test_a_file_that_cannot_be_deleted_is_left_alone_for_a_while():
    rig = Rig()
    rig.fill(numbered("m", 1, 18))
    rig.leave(1500)
    rig.retention.may_record(HIGH)

    def fails(path):
        if path.endswith("m0000001.ts"):
            raise OSError(EIO, "card")

    with Removing(fails) as removing:
        await rig.retention.check()
        eq(rig.gone(), numbered("m", 2, 3))
        eq(removing.tried.count("m0000001.ts"), 1)
        eq(rig.lines, ["cannot be deleted: " + rig.path("m0000001.ts")])
        assert exists(rig.path("m0000001.ts"))
        job = rig.journal.job_of(rig.path("m0000001.ts"))
        eq((job.state, job.priority), (WAITING, HIGH), "still to be uploaded")
    rig.leave(1500)
    rig.retention.may_record(HIGH)
    await rig.retention.check()
    eq(rig.gone(), numbered("m", 2, 6))
    await rig.checks(CHECKS_OF_REST)
    rig.leave(1500)
    rig.retention.may_record(HIGH)
    await rig.retention.check()
    eq(rig.gone(), numbered("m", 2, 6) + ["m0000001.ts"] + numbered("m", 8, 2))
    eq(rig.reboot(), ([], []))


async def test_a_card_that_deletes_nothing_stops_recording():
    rig = Rig()
    rig.fill(numbered("m", 1, 36), kib=400)
    rig.retention.may_record(HIGH)

    def fails(path):
        raise OSError(30, "read-only")

    with Removing(fails) as removing:
        await rig.checks(3)
        assert len(removing.tried) <= 16, len(removing.tried)
        assert not rig.retention.may_record(HIGH)
        await rig.retention.check()
    eq((rig.told, len(rig.names())), ([("stopped", HIGH, "reserve")], 36))
    eq(rig.reboot(), ([], []))


class PowerCut(Exception):
    """Nothing that the camera does after it counts."""


async def test_the_power_goes_between_record_and_file():
    rig = Rig()
    rig.fill(numbered("m", 1, 18))
    rig.leave(1500)
    rig.retention.may_record(HIGH)

    def goes(path):
        if path.endswith("m0000002.ts"):
            raise PowerCut

    with Removing(goes):
        await raises_async(PowerCut, rig.retention.check())
    eq((rig.gone(), exists(rig.path("m0000002.ts"))), (["m0000001.ts"], True))
    eq(rig.reboot(), ([], ["m0000002.ts"]), "adopted at the next start")


async def test_the_record_cannot_be_written():
    rig = Rig()
    rig.fill(numbered("m", 1, 18))
    rig.leave(1500)
    rig.retention.may_record(HIGH)

    def fails(number, payload):
        raise OSError(EIO, "journal")

    rig.journal._records.write = fails
    await rig.retention.check()
    eq((rig.gone(), len(rig.names())), ([], 18))
    eq(rig.reboot(), ([], []))


async def test_an_uploaded_file_goes_before_its_record():
    rig = Rig()
    rig.fill(numbered("m", 1, 18), state=DELIVERED)
    rig.leave(1500)

    def goes(path):
        raise PowerCut

    with Removing(goes):
        await raises_async(PowerCut, rig.retention.check())
    eq(rig.reboot(), ([], []))


async def test_a_look_gives_way_to_others():
    rig = Rig()
    rig.fill(numbered("m", 1, 60), kib=200, state=None)
    rig.leave(1000)
    turns = []

    async def other():
        while True:
            turns.append(rig.looks)
            await asyncio.sleep_ms(0)

    task = asyncio.create_task(other())
    await rig.retention.check()
    task.cancel()
    assert turns.count(1) >= 1, turns


async def test_the_card_goes_during_a_look():
    rig = Rig()
    rig.fill(numbered("m", 1, 60), kib=200, state=None)
    rig.leave(1000)
    rig.retention.may_record(HIGH)
    run = asyncio.create_task(rig.retention.run())
    while not rig.looks:
        await asyncio.sleep_ms(0)
    assert rig.retention.is_looking
    rig.is_ready = False
    while rig.retention.is_looking:
        await asyncio.sleep_ms(0)
    eq((rig.gone(), rig.looks), ([], 1))
    eq(rig.lines, ["no room can be made: the card fails"])
    rig.is_ready = True
    rig.retention.restart()
    while not rig.evicted:
        await asyncio.sleep_ms(1)
    run.cancel()


async def test_run_looks_at_once_when_a_write_found_no_room():
    rig = Rig(check_ms=3600000)
    rig.fill(numbered("m", 1, 15))
    rig.lie_bytes = 50 * MIB
    run = asyncio.create_task(rig.retention.run())
    await asyncio.sleep_ms(0)
    rig.retention.may_record(HIGH)
    eq(rig.gone(), [])
    rig.retention.card_is_full()
    while not rig.evicted:
        await asyncio.sleep_ms(1)
    eq(rig.evicted[0].reason, "card_full")
    run.cancel()


async def test_run_looks_at_once_when_much_was_recorded():
    rig = Rig(check_ms=3600000)
    rig.fill(numbered("m", 1, 10))
    rig.leave(2500)
    rig.retention.may_record(HIGH)
    run = asyncio.create_task(rig.retention.run())
    while rig.retention._wake.is_set():
        await asyncio.sleep_ms(0)
    await asyncio.sleep_ms(0)
    eq(rig.gone(), [])
    await record(rig, 19, 1500)
    while not rig.evicted:
        await asyncio.sleep_ms(1)
    run.cancel()


async def test_a_card_that_fails_is_told_once_and_looked_at_again():
    rig = Rig()
    rig.fill(numbered("m", 1, 18))
    rig.leave(1500)
    rig.retention.may_record(HIGH)
    failing, asked = rig.statvfs, []

    def fails():
        asked.append(1)
        raise OSError(EIO, "card")

    rig.retention._statvfs = fails
    run = asyncio.create_task(rig.retention.run())
    while len(asked) < 3:
        await asyncio.sleep_ms(1)
    eq(rig.lines, ["no room can be made: the card fails"])
    rig.retention._statvfs = failing
    while not rig.evicted:
        await asyncio.sleep_ms(1)
    run.cancel()


async def test_uploaded_clips_go_when_the_journal_runs_short():
    """What has a place, by state: none goes but those, the oldest first."""
    for delivered, others, gone in (
        (47, {}, 0),
        (48, {}, PLACES_MADE),
        (64, {}, PLACES_MADE),
        (10, {WAITING: 37}, 0),
        (10, {WAITING: 38}, 10),
        (1, {WAITING: 60, RUNNING: 2, RECORDING: 1}, 1),
        (0, {WAITING: 40, FAILED: 20, HOPELESS: 4}, 0),
        (0, {WAITING: 61, RUNNING: 2, RECORDING: 1}, 0),
    ):
        case, rig, first = "%d, %r" % (delivered, others), Rig(), 1
        for state in others:  # older than all that was uploaded
            rig.fill(numbered("h", first, others[state]), kib=1, state=state)
            first += others[state]
        names = numbered("s", first, delivered)
        rig.fill(reversed(names), kib=1, state=DELIVERED)  # the last was queued first
        await rig.retention.check()
        eq(rig.gone(), names[:gone], case)
        for fact in rig.evicted:
            eq((fact.is_uploaded, fact.reason, fact.priority), (True, "journal_full", URGENT))
        eq((rig.looks, rig.pauses.count), (1 if gone else 0, gone), case)
        eq(len(rig.journal.queue), delivered + sum(others.values()) - gone, case)
        eq((rig.reboot(), rig.told), (([], []), []), case)


async def test_a_camera_that_keeps_all_goes_on_uploading():
    rig = Rig()
    for name in numbered("m", 1, 300):
        rig.clip(name, 1, state=DELIVERED)  # there is a place for each
        await rig.retention.check()
    left = rig.names()
    eq(left, numbered("m", 301 - len(left), len(left)), "the youngest")
    assert PLACES - 16 - PLACES_MADE <= len(left) < PLACES - 16, left
    eq(rig.looks, (300 - len(left)) // PLACES_MADE, "once for many")


class Scheduler:
    """Does with the journal what the scheduler does."""

    def __init__(self, kept):
        self._journal = kept

    def add(self, job, at_once=False):
        return self._journal.add(job)

    def finish(self, job):
        return self._journal.save(job)


def taking_in(rig, deletes):
    """An Intake on that card, told of what goes."""
    config = {
        "enable_cloud_upload": True,
        "auto_upload_motion_recordings": True,
        "auto_upload_new_recordings": True,
        "delete_after_upload": deletes,
    }
    intake = Intake(
        Scheduler(rig.journal),
        rig.journal,
        rig.store,
        config=config,
        live_from_bytes=None,
        unix_time=lambda: NOW,
        clock_quality=lambda: None,
        to_unix=lambda changed: NOW,
        on_failed=print,
        log=rig.log,
    )
    intake.open()

    def on_evicted(facts):
        rig.evicted.append(facts)
        intake.look_again()

    rig.retention._eviction._on_evicted = on_evicted
    return intake


def deliver(rig, deletes):
    """Upload the oldest clip that waits, if one does; its name."""
    waiting = [rig.journal.load(row) for row in rig.journal.queue.rows_in((WAITING,))]
    if not waiting:
        return None
    job = min(waiting, key=lambda job: job.order)
    job.state = DELIVERED
    assert rig.journal.save(job)
    if deletes:
        os.remove(job.path)
        rig.journal.remove(job)
    return job.path.split("/")[-1]


async def test_a_camera_that_was_offline_for_weeks_loses_nothing():
    """More clips than the journal has places for: no upload, no loss, whether they are kept or not."""
    for deletes in (True, False):
        rig = Rig()
        intake = taking_in(rig, deletes)
        names, size_bytes = numbered("m", 1, 110), 47 * KIB  # whole packets
        for name in names:
            path = rig.path(name)
            assert rig.retention.may_record(HIGH)
            intake.started(path, MOTION, HIGH)
            rig.card.write(path, size_bytes)
            intake.clip(
                Clip(path, size_bytes, None, MOTION, HIGH, NOW, 1000, 25, 1280, 720, 25, 0, 0, 0)
            )
            await rig.retention.check()
        eq((rig.gone(), rig.looks, rig.told), ([], 0, []), "not for places alone")
        eq((rig.names(), len(rig.journal.queue)), (names, PLACES))
        left_out = {line for line in rig.lines if line.startswith("queue is full")}
        eq(len(left_out), len(names) - PLACES)
        uploaded, more = [], True
        while more:
            more = deliver(rig, deletes)
            if more:
                uploaded.append(more)
                intake.look_again()
            await rig.retention.check()
        eq(sorted(uploaded), names, "once each")
        eq(rig.gone(), [] if deletes else names[: len(rig.evicted)], "oldest first")
        assert all(fact[-2:] == (True, "journal_full") for fact in rig.evicted), rig.evicted
        eq(rig.names(), names[len(names) if deletes else len(rig.evicted) :])


async def test_places_that_cannot_be_made_are_looked_for_now_and_then():
    rig = Rig()
    rig.fill(numbered("m", 1, 60), kib=1)
    job = Job(rig.path("holiday.jpg"), 1024, LOW, MANUAL, state=DELIVERED)
    rig.card.write(job.path, 1024)
    assert rig.journal.add(job)
    await rig.checks(CHECKS_OF_REST - 1)
    eq((rig.looks, rig.gone()), (1, []), "no clip: it stays")
    await rig.retention.check()
    eq(rig.looks, 2)
    rig.journal.queue.set_state(rig.journal.find(rig.path("m0000009.ts")), DELIVERED)
    await rig.checks(CHECKS_OF_REST - 1)
    eq((rig.looks, rig.gone()), (3, ["m0000009.ts"]))
    assert exists(job.path)


async def test_an_uploaded_clip_that_cannot_be_deleted_keeps_its_place():
    rig = Rig()
    rig.fill(numbered("m", 1, 50), kib=1, state=DELIVERED)

    def fails(path):
        if path.endswith("m0000001.ts"):
            raise OSError(EIO, "card")

    with Removing(fails):
        await rig.retention.check()
    eq(rig.gone(), numbered("m", 2, 31))
    eq((rig.journal.job_of(rig.path("m0000001.ts")).state, rig.reboot()), (DELIVERED, ([], [])))


def test_a_small_card_gets_full():
    card = small_card(2)
    eq(raises(OSError, card.write, card.root + "/big", 3 * MIB).errno, ENOSPC)
