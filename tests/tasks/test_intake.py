"""Which recordings become uploads, and what becomes of those that a reset interrupted."""

import asyncio
import os

from firmware import clip_store
from firmware.clip import Clip
from firmware.clip_store import ClipStore
from firmware.intake import Intake
from firmware.job import DELIVERED, RECORDING, WAITING, Job
from firmware.trigger import HIGH, MANUAL, MOTION, SECURITY, URGENT
from harness import eq, exists, raises, raises_async, tmp_dir
from tasks.journals import jobs, journal

UNIX = 1700000000
PACKET = b"\x47" + bytes(187)
LIVE_FROM_BYTES = 65536


class Scheduler:
    """Does with the journal what the scheduler does."""

    def __init__(self, kept):
        self._journal = kept
        self.calls = []

    def add(self, job, at_once=False):
        self.calls.append(("add", job.path.split("/")[-1], at_once))
        return self._journal.add(job)

    def finish(self, job, at_once=False):
        self.calls.append(("finish", job.path.split("/")[-1], at_once))
        return self._journal.save(job)

    def grow(self, job):
        self.calls.append(("grow", job.path.split("/")[-1], job.growth.size_bytes))

    def delete_delivered(self, job):
        os.remove(job.path)
        self._journal.remove(job)

    def forget(self):
        self.calls.append(("forget",))


class Rig:
    def __init__(self, folder=None, slots=32, **changes):
        config = {
            "enable_cloud_upload": True,
            "auto_upload_motion_recordings": True,
            "auto_upload_new_recordings": True,
            "delete_after_upload": True,
        }
        config.update(changes)
        self.folder = folder or tmp_dir()
        self.directory = self.folder + "/recordings"
        self.lines, self.failed = [], []
        self.journal = journal(self.folder, self.log, slots, root=self.directory)
        self.scheduler = Scheduler(self.journal)
        self.intake = Intake(
            self.scheduler,
            self.journal,
            ClipStore(self.directory, self.log),
            config=config,
            live_from_bytes=LIVE_FROM_BYTES,
            unix_time=lambda: UNIX,
            clock_quality=lambda: "ntp",
            to_unix=lambda changed: UNIX - 5,
            on_failed=lambda job, error, will_retry: self.failed.append((job.path, error.code)),
            log=self.log,
        )
        self.intake.open()

    def log(self, text, error=None):
        self.lines.append(text)

    def reboot(self, **changes):
        return Rig(self.folder, **changes)

    def path(self, name):
        return self.directory + "/" + name

    def file(self, name, size_bytes=376):
        with open(self.path(name), "wb") as file:
            file.write((PACKET * (size_bytes // 188 + 1))[:size_bytes])
        return self.path(name)

    def start(self, name="m0000001.ts", trigger=MOTION, priority=HIGH):
        self.intake.started(self.path(name), trigger, priority)

    def record(self, name="m0000001.ts", trigger=MOTION, size_bytes=376):
        self.start(name, trigger)
        path = self.file(name, size_bytes)
        return self.intake.clip(
            Clip(path, size_bytes, b"m" * 16, trigger, HIGH, UNIX, 2000, 50, 1280, 720, 25, 0, 0, 0)
        )

    def jobs(self):
        return [(job.path.split("/")[-1], job.state, job.size_bytes) for job in jobs(self.journal)]


def test_a_clip_goes_by_the_switch_of_its_kind():
    for changes, motion, others in (
        ({}, 1, 1),
        ({"auto_upload_motion_recordings": False}, 0, 1),
        ({"auto_upload_new_recordings": False}, 1, 0),
        ({"enable_cloud_upload": False}, 0, 0),
    ):
        rig = Rig(**changes)
        rig.record()
        eq(len(rig.jobs()), motion, changes)
        rig.record("s0000002.ts", SECURITY)
        eq(len(rig.jobs()), motion + others, changes)


def test_a_clip_is_kept_from_its_first_moment():
    rig = Rig()
    rig.start()
    eq(rig.jobs(), [("m0000001.ts", RECORDING, 0)])


def test_a_clip_keeps_what_the_recorder_knows():
    rig = Rig()
    assert rig.record("r0000001.ts", MANUAL)
    job = jobs(rig.reboot().journal)[0]
    eq((job.path, job.priority, job.trigger), (rig.path("r0000001.ts"), HIGH, MANUAL))
    eq((job.size_bytes, job.md5, job.duration_ms, job.height), (376, b"m" * 16, 2000, 720))
    eq((job.state, job.started_unix, job.is_recovered), (WAITING, UNIX, False))
    eq(rig.scheduler.calls[-1], ("finish", "r0000001.ts", False))


def test_a_recording_that_a_reset_broke_off_is_cut_to_whole_packets():
    rig = Rig()
    rig.start()
    rig.file("m0000001.ts", 188 * 3 + 100)
    rig = rig.reboot()
    eq(rig.jobs(), [("m0000001.ts", WAITING, 564)])
    eq(rig.scheduler.calls, [("finish", "m0000001.ts", True)])
    job = jobs(rig.reboot().journal)[0]
    eq((job.is_recovered, job.md5, job.priority), (True, None, HIGH))


def test_a_recording_of_which_nothing_reached_the_card_is_forgotten():
    for size_bytes in (None, 0, 187):
        rig = Rig()
        rig.start()
        if size_bytes is not None:
            rig.file("m0000001.ts", size_bytes)
        rig = rig.reboot()
        eq((rig.jobs(), rig.failed), ([], []))
        eq(exists(rig.path("m0000001.ts")), size_bytes is not None, "nothing unproven is deleted")
        rig.reboot()


def test_a_recording_that_failed_goes_out_as_far_as_it_came():
    rig = Rig()
    rig.start()
    rig.file("m0000001.ts", 1000)
    rig.intake.broken()
    eq(rig.jobs(), [("m0000001.ts", WAITING, 940)])
    rig.intake.broken()  # nothing is being recorded


def test_files_that_no_record_knows_are_adopted_once():
    rig = Rig()
    rig.file("s0000003.ts")
    rig.file("m0000001.ts", 1000)
    rig.file("m0000002.ts", 0)
    rig.file("holiday.jpg")
    rig = rig.reboot()
    eq(rig.jobs(), [("m0000001.ts", WAITING, 940), ("s0000003.ts", WAITING, 376)])
    eq([job.priority for job in jobs(rig.journal)], [HIGH, URGENT])
    eq([job.started_unix for job in jobs(rig.journal)], [UNIX - 5] * 2)
    eq(rig.scheduler.calls, [("add", "m0000001.ts", True), ("add", "s0000003.ts", True)])
    rig = rig.reboot()
    eq((len(rig.jobs()), rig.scheduler.calls), (2, []))


def test_a_file_that_is_gone_is_told_once():
    rig = Rig()
    rig.record()
    os.remove(rig.path("m0000001.ts"))
    rig = rig.reboot()
    eq((rig.failed, rig.jobs()), ([(rig.path("m0000001.ts"), "FILE_MISSING")], []))
    eq(rig.reboot().failed, [])


def deliver(rig):
    rig.record()
    job = jobs(rig.journal)[0]
    job.state = DELIVERED
    rig.journal.save(job)


def test_a_delivered_file_whose_deletion_was_interrupted_goes():
    rig = Rig()
    deliver(rig)
    rig = rig.reboot()
    eq((rig.jobs(), rig.failed, exists(rig.path("m0000001.ts"))), ([], [], False))


def test_a_delivered_file_that_stays_is_not_delivered_again():
    rig = Rig()
    deliver(rig)
    rig = rig.reboot(delete_after_upload=False)
    eq((rig.jobs(), rig.scheduler.calls), ([("m0000001.ts", DELIVERED, 376)], []))
    os.remove(rig.path("m0000001.ts"))
    rig = rig.reboot(delete_after_upload=False)
    eq((rig.jobs(), rig.failed), ([], []))


def test_what_the_queue_has_no_room_for_is_found_later():
    rig = Rig(slots=2)
    for number in range(3):
        rig.record("m000000%d.ts" % number)
    eq([name for name, _, _ in rig.jobs()], ["m0000000.ts", "m0000001.ts"])
    rig.intake.look_again()
    eq(len(rig.jobs()), 2)
    first = jobs(rig.journal)[0]
    os.remove(first.path)
    rig.journal.remove(first)
    rig.intake.look_again()
    eq([name for name, _, _ in rig.jobs()], ["m0000001.ts", "m0000002.ts"])


def test_a_live_clip_grows_from_a_certain_size_on():
    rig = Rig()
    rig.start()
    for size_bytes in (0, 32768, 65536, 131072):
        rig.intake.grown(size_bytes)
    grown = [call for call in rig.scheduler.calls if call[0] == "grow"]
    eq(grown, [("grow", "m0000001.ts", 65536)])
    eq(rig.intake._job.growth.size_bytes, 131072)


def test_a_file_that_is_being_recorded_is_refused():
    rig = Rig(auto_upload_motion_recordings=False)
    rig.start()
    rig.file("m0000001.ts")
    for path in ("m0000001.ts", rig.path("m0000001.ts")):
        assert "being recorded" in str(raises(ValueError, rig.intake.file, path, 3))
    eq(rig.jobs(), [])
    rig.record("m0000001.ts")
    rig.intake.file("m0000001.ts", 3)
    eq(len(rig.jobs()), 1)


def test_a_file_by_hand_in_the_directory_only():
    rig = Rig()
    rig.file("m0000001.ts")
    rig.file("camera.log", 100)
    rig.intake.file(rig.path("m0000001.ts"), 0)
    rig.intake.file("camera.log", 1)
    eq([name for name, _, _ in rig.jobs()], ["m0000001.ts", "camera.log"])
    for wrong in ("/etc/passwd", rig.directory + "/../x.ts", "../x.ts", rig.directory + "/", ""):
        raises(ValueError, rig.intake.file, wrong, 0)
    raises(OSError, rig.intake.file, "m0000009.ts", 0)
    assert "already" in str(raises(ValueError, rig.intake.file, "m0000001.ts", 0))
    rig.file("n" * 101)
    raises(ValueError, rig.intake.file, "n" * 101, 0)


def test_a_file_by_hand_without_room_or_cloud():
    rig = Rig(slots=1)
    rig.record("m0000001.ts")
    rig.file("m0000002.ts")
    assert "full" in str(raises(ValueError, rig.intake.file, "m0000002.ts", 0))
    rig = Rig(enable_cloud_upload=False)
    rig.file("m0000002.ts")
    assert "off" in str(raises(ValueError, rig.intake.file, "m0000002.ts", 0))


def test_a_job_is_a_job():
    eq(Job("p", 1, HIGH, MOTION).state, WAITING)


def test_a_card_that_cannot_be_listed_is_looked_through_later():
    rig = Rig(slots=1)
    rig.record("m0000001.ts")
    rig.record("m0000002.ts")
    rig.journal.remove(jobs(rig.journal)[0])
    os.rename(rig.directory, rig.directory + "_away")
    rig.intake.look_again()
    assert "recordings cannot be looked through" in rig.lines
    os.rename(rig.directory + "_away", rig.directory)
    rig.intake.look_again()
    eq(len(rig.jobs()), 1)


def test_a_file_is_the_same_whatever_the_case_of_its_name():
    rig = Rig()
    rig.file("camera.log", 100)
    rig.file("CAMERA.LOG", 100)  # one and the same on a FAT card
    rig.intake.file("camera.log", 1)
    assert "already" in str(raises(ValueError, rig.intake.file, "CAMERA.LOG", 1))


def test_a_long_queue_is_not_looked_at_for_every_place_that_gets_free():
    rig = Rig(slots=8)
    for number in range(9):
        rig.record("m000000%d.ts" % number)
    seen = []

    def look(marks, busy):
        seen.append(len(rig.jobs()))
        return ()

    rig.intake._adoption.look_through = look
    while rig.jobs():
        first = jobs(rig.journal)[0]
        os.remove(first.path)
        rig.journal.remove(first)
        rig.intake.look_again()
    eq(seen, [5])


def test_a_recording_that_is_raised_goes_as_what_it_is_now():
    for wanted, found in (({}, 1), ({"auto_upload_motion_recordings": False}, 1)):
        rig = Rig(**wanted)
        rig.start()
        rig.intake.raised(rig.path("m0000001.ts"), SECURITY, URGENT)
        eq(rig.journal.queue.priority(0), URGENT)
        rig.file("m0000001.ts")
        rig = rig.reboot()
        eq([(job.trigger, job.priority) for job in jobs(rig.journal)], [(SECURITY, URGENT)] * found)


class refusing:
    """While entered, the journal takes no record: its card is write-protected."""

    def __init__(self, rig):
        self._records = rig.journal._records

    def __enter__(self):
        def refuse(number, payload):
            raise OSError(30, "EROFS")

        self._records.write = refuse

    def __exit__(self, *_):
        del self._records.write


def hole(path, at, data):
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(data)


def test_a_recording_that_a_reset_broke_off_ends_before_its_first_hole():
    for size_bytes, at, data, kept in (
        (131072, 98304, bytes(512), 98136),
        (131072, 98304, b"\xa5" * 8192, 98136),
        (131072, 130560, bytes(512), 130472),
        (65536, 0, bytes(512), 0),
        (1024, 512, bytes(512), 376),
        (98512, 96256, bytes(512), 96256),  # a packet and a sector begin there
        (400000, 1024, bytes(512), 400000 - 400000 % 188),  # flushed long ago: the card is damaged
    ):
        rig = Rig()
        rig.start()
        hole(rig.file("m0000001.ts", size_bytes), at, data)
        rig = rig.reboot()
        eq(rig.jobs(), [("m0000001.ts", WAITING, kept)] if kept else [], "hole at %d" % at)
        if kept:
            eq(jobs(rig.reboot().journal)[0].size_bytes, kept, "it does not change again")


def test_a_file_that_was_broken_off_is_adopted_up_to_its_first_hole():
    rig = Rig()
    hole(rig.file("m0000001.ts", 65536), 1024, bytes(512))
    hole(rig.file("m0000002.ts", 188 * 100), 1024, bytes(512))
    rig = rig.reboot()
    eq(rig.jobs(), [("m0000001.ts", WAITING, 940), ("m0000002.ts", WAITING, 18800)])


class BadSectors:
    """In place of open(): these bytes of a file cannot be read."""

    def __init__(self, begin, end):
        self._begin, self._end = begin, end

    def __enter__(self):
        clip_store.open = lambda path, mode: _Bad(open(path, mode), self._begin, self._end)

    def __exit__(self, *_):
        del clip_store.open


class _Bad:
    def __init__(self, file, begin, end):
        self._file, self._begin, self._end = file, begin, end

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()

    def seek(self, position):
        return self._file.seek(position)

    def read(self, n):
        self._touch(n)
        return self._file.read(n)

    def readinto(self, piece):
        self._touch(len(piece))
        return self._file.readinto(piece)

    def _touch(self, n):
        at = self._file.tell()
        if at < self._end and at + n > self._begin:
            raise OSError(5, "EIO")


def test_a_recording_that_was_broken_off_goes_as_far_as_the_card_gives_it():
    for size_bytes, begin, end, least, most in (
        (131072, 98304, 98816, 97000, 98304),  # in what is looked through
        (131072, 130560, 131072, 129000, 130560),  # at its end
        (1024, 512, 1024, 376, 376),
        (1128, 0, 1128, 1128, 1128),  # nothing of it: who uploads it says so
    ):
        rig = Rig()
        rig.start()
        rig.file("m0000001.ts", size_bytes)
        with BadSectors(begin, end):
            rig = rig.reboot()
        job = jobs(rig.journal)[0]
        eq((job.state, job.size_bytes % 188, job.is_recovered), (WAITING, 0, True))
        assert least <= job.size_bytes <= most, (begin, job.size_bytes)


class Turns:
    """Counts the turns that others have."""

    async def __aenter__(self):
        self.count = 0
        self._task = asyncio.create_task(self._run())
        await asyncio.sleep_ms(0)
        return self

    async def __aexit__(self, *_):
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self):
        while True:
            self.count += 1
            await asyncio.sleep_ms(0)


async def test_others_have_their_turns_while_a_card_is_looked_through():
    for mends in (False, True):
        rig = Rig()
        for number in range(20):
            rig.file("m%07d.ts" % (number + 1))
        if mends:
            rig.intake._adoption.has_left_out = True
        else:
            rig.intake.close()
        at, whole = [], rig.scheduler.add
        async with Turns() as turns:

            def add(job, at_once=False, turns=turns, at=at, whole=whole):
                at.append(turns.count)
                return whole(job, at_once)

            rig.scheduler.add = add
            await (rig.intake.mend() if mends else rig.intake.reopen())
        eq((len(at), len(set(at))), (20, 20))


def test_few_are_adopted_in_one_turn():
    rig, found = Rig(), []
    for number in range(20):
        rig.file("m%07d.ts" % (number + 1))
    rig.intake.look_again(True)
    while len(rig.jobs()) not in found:
        found.append(len(rig.jobs()))
        rig.intake.look_again()
    eq(found, [8, 16, 20])
    names = [name for name, _, _ in rig.jobs()]
    eq(names, sorted(names), "the oldest first")


async def test_a_directory_is_not_looked_through_for_each_failure():
    rig = Rig()
    rig.record()
    rig.file("m0000002.ts")
    await rig.intake.mend()
    eq(len(rig.jobs()), 1)


async def test_a_file_that_is_queued_by_hand_meanwhile_is_queued_once():
    rig = Rig()
    for number in range(3):
        rig.file("m%07d.ts" % (number + 1))
    rig.intake._adoption.has_left_out = True
    mending = asyncio.create_task(rig.intake.mend())
    while not rig.jobs():
        await asyncio.sleep_ms(0)
    rig.intake.file("m0000003.ts", URGENT)
    await mending
    eq(sorted(name for name, _, _ in rig.jobs()), ["m000000%d.ts" % n for n in (1, 2, 3)])


async def test_what_a_failing_card_did_not_take_is_done_when_it_is_well():
    rig = Rig()
    deliver(rig)
    rig.record("m0000002.ts")
    with refusing(rig):
        rig.start("m0000003.ts")  # its job cannot be kept
        rig.file("m0000003.ts")
        rig.intake.broken()
        await raises_async(OSError, rig.intake.mend())
    assert exists(rig.path("m0000001.ts"))
    rig.start("m0000004.ts")
    rig.file("m0000004.ts")
    await rig.intake.mend()
    eq(exists(rig.path("m0000001.ts")), False, "delivered, and not yet deleted")
    names = [
        ("m0000002.ts", WAITING, 376),
        ("m0000004.ts", RECORDING, 0),
        ("m0000003.ts", WAITING, 376),
    ]
    eq(rig.jobs(), names)


async def test_a_recording_whose_end_was_not_kept_is_recovered():
    rig = Rig()
    rig.start()
    rig.file("m0000001.ts", 1000)
    job = jobs(rig.journal)[0]
    rig.intake._job = None
    rig.journal.queue.set_state(job.row, WAITING)
    eq(rig.journal.load(job.row).state, RECORDING, "what the record says")
    rig.journal.queue.set_state(job.row, RECORDING)
    await rig.intake.mend()
    eq(rig.jobs(), [("m0000001.ts", WAITING, 940)])


async def test_a_delivery_that_was_not_kept_is_kept_before_the_file_goes():
    rig = Rig()
    rig.record()
    job = jobs(rig.journal)[0]
    job.state = DELIVERED
    with refusing(rig):
        rig.journal.save(job)
    kept = []
    rig.scheduler.delete_delivered = lambda job: kept.append(rig.reboot_journal_state(job.row))
    rig.reboot_journal_state = lambda row: state_on_card(rig, row)
    await rig.intake.mend()
    eq(kept, [DELIVERED])


def state_on_card(rig, row):
    other = journal(rig.folder, rig.log, root=rig.directory)
    other.open()
    return other.queue.state(row)


async def test_another_card_has_its_own_jobs():
    rig, other = Rig(), Rig()
    rig.record("m0000001.ts")
    rig.record("m0000002.ts")
    other.record("s0000001.ts", SECURITY)
    other.start("m0000009.ts")
    other.file("m0000009.ts", 1000)
    other.file("m0000004.ts")
    other.intake.close()
    rig.intake.close()
    raises(ValueError, rig.intake.file, "m0000001.ts", 3)
    swap(rig, other)
    await rig.intake.reopen()
    expected = [("m0000009.ts", WAITING, 940), ("m0000004.ts", WAITING, 376)]
    eq(rig.jobs(), [("s0000001.ts", WAITING, 376)] + expected)
    rig.record("m0000010.ts")
    rig.intake.close()
    swap(rig, other)
    await rig.intake.reopen()
    eq([name for name, _, _ in rig.jobs()], ["m0000001.ts", "m0000002.ts"])


def swap(rig, other):
    """The two cards change places."""
    for name in ("recordings", "queue_a", "queue_b"):
        ours, theirs = rig.folder + "/" + name, other.folder + "/" + name
        os.rename(ours, ours + "_away")
        os.rename(theirs, ours)
        os.rename(ours + "_away", theirs)


async def test_an_empty_card_gets_what_it_needs():
    rig = Rig()
    rig.record()
    rig.intake.close()
    for name in ("recordings", "queue_a", "queue_b"):
        os.rename(rig.folder + "/" + name, rig.folder + "/old_" + name)
    await rig.intake.reopen()
    eq(rig.jobs(), [])
    rig.record("m0000002.ts")
    eq([name for name, _, _ in rig.reboot().jobs()], ["m0000002.ts"])
