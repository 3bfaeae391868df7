"""Clips: where they begin and end, what is said of them, and what a failing card does."""

import asyncio
from errno import EIO
from hashlib import md5

import block_writer
from firmware.sd_recorder import SdRecorder
from harness import eq, exists, raises_async, tmp_dir
from mpegts import BUFFER_BYTES

LONG = b"\x00\x00\x00\x01"
SETS = LONG + b"\x67\x42\xc0\x15\xd9" + LONG + b"\x68\xcb\x83\xcb"
FPS = 10
GOP = 10
FRAME_90K = 9000
CLOCK = 1 << 33
MOTION, ALERT = ("motion_detection", 2), ("security_alert", 3)


class Source:
    """`count` frames, an IDR picture every second; `script` acts just before a frame is given."""

    fps, width, height, codec = FPS, 640, 272, "h264"

    def __init__(self, count, script=(), *, first_90k=0, unit_bytes=400):
        self.count = count
        self.script = dict(script)
        self.first_90k = first_90k
        self.unit_bytes = unit_bytes
        self.calls = []

    async def start(self):
        self.calls.append("start")
        self.number = 0

    async def next(self):
        await asyncio.sleep_ms(0)
        number = self.number
        if number in self.script:
            self.script[number]()
        if number == self.count:
            return None
        self.number += 1
        is_key = number % GOP == 0
        header = SETS + LONG + b"\x65\x88" if is_key else LONG + b"\x41\x9a"
        unit = header + bytes([1 + number % 200]) * self.unit_bytes
        return unit, (self.first_90k + number * FRAME_90K) % CLOCK, is_key

    def stop(self):
        self.calls.append("stop")


class Rig:
    """A recorder in a directory of its own, and what it says."""

    def __init__(self, source, max_clip_ms=60000):
        self.source = source
        self.folder = tmp_dir()
        self.started, self.clips, self.errors, self.sources = [], [], [], []
        self.raised = []
        self.names = 0
        self.recorder = SdRecorder(
            source,
            ring=None,
            buffer=bytearray(BUFFER_BYTES),
            unix_time=lambda: 1752244800 + source.number,
            on_started=lambda *facts: self.started.append(facts),
            on_raised=lambda *facts: self.raised.append(facts),
            on_clip=self.on_clip,
            on_error=lambda path, error: self.errors.append((path, error.errno)),
            on_source=self.sources.append,
            may_record=lambda priority: True,
            max_clip_ms=max_clip_ms,
            pre_roll_ms=0,
            stall_ms=5000,
            new_path=self.new_path,
            ticks_ms=lambda: 0,
            randbits=lambda count: 0,
        )

    def new_path(self, trigger):
        self.names += 1
        return self.path(self.names, trigger)

    def path(self, number, trigger="motion_detection"):
        return "%s/%s%07d.ts" % (self.folder, trigger[0], number)

    def on_clip(self, clip):
        content = read(clip.path)
        eq((clip.size_bytes, clip.md5), (len(content), md5(content).digest()), "on the card")
        self.clips.append(clip)

    def start(self, trigger=MOTION):
        return lambda: self.recorder.start(*trigger)

    def stop(self):
        self.recorder.stop()


def read(path):
    with open(path, "rb") as file:
        return file.read()


def numbers_in(path, before=0):
    """The frames in a clip, by the number that fills each of them; `before`: frames in earlier parts."""
    content = read(path)
    eq(len(content) % 188, 0)
    found, pcrs = [], []
    for at in range(0, len(content), 188):
        packet = content[at : at + 188]
        if packet[1] == 0x41:
            pcrs.append((packet[6] << 24 | packet[7] << 16 | packet[8] << 8 | packet[9]) * 2)
            found.append(packet[187] - 1)
    eq(pcrs, [(before + i) * FRAME_90K for i in range(len(pcrs))], "the recording's own time")
    return found


def frames_of(rig):
    found, before = [], 0
    for clip in rig.clips:
        if clip.part == 0:
            before = 0
        found.append(numbers_in(clip.path, before))
        before += clip.frames
    return found


async def test_a_clip_is_from_the_first_idr_after_start_to_the_last_unit_before_stop():
    source = Source(50)
    rig = Rig(source)
    source.script = {3: rig.start(), 25: rig.stop}
    await rig.recorder.run()
    eq(frames_of(rig), [list(range(10, 25))])
    clip = rig.clips[0]
    eq(rig.started, [(rig.path(1),) + MOTION])
    eq(
        (clip.path, clip.trigger, clip.priority, clip.started_unix),
        (rig.path(1),) + MOTION + (1752244811,),
    )
    eq((clip.duration_ms, clip.frames, clip.width, clip.height, clip.fps), (1500, 15, 640, 272, 10))
    eq((clip.pre_roll_ms, clip.part), (0, 0))
    eq((rig.errors, rig.recorder.is_recording, source.calls), ([], False, ["start", "stop"]))


async def test_time_stamps_that_wrap_make_no_difference():
    source = Source(50, first_90k=CLOCK - 12 * FRAME_90K)
    rig = Rig(source, max_clip_ms=2000)
    source.script = {0: rig.start()}
    await rig.recorder.run()
    eq(frames_of(rig), [list(range(20)), list(range(20, 40)), list(range(40, 50))])
    eq([clip.duration_ms for clip in rig.clips], [2000, 2000, 1000])


async def test_without_an_idr_between_start_and_stop_there_is_no_clip():
    source = Source(40)
    rig = Rig(source)
    source.script = {1: rig.start(), 9: rig.stop, 15: rig.start(), 16: rig.stop}
    await rig.recorder.run()
    eq((rig.started, rig.clips, rig.errors, rig.names), ([], [], [], 0))


async def test_a_long_recording_is_split_at_idrs_and_loses_no_frame():
    source = Source(75)
    rig = Rig(source, max_clip_ms=2500)
    source.script = {0: rig.start(), 70: rig.stop}
    await rig.recorder.run()
    eq(frames_of(rig), [list(range(30)), list(range(30, 60)), list(range(60, 70))])
    eq([clip.priority for clip in rig.clips], [2, 2, 2])
    eq([path for path, _, _ in rig.started], [clip.path for clip in rig.clips])
    eq([clip.duration_ms for clip in rig.clips], [3000, 3000, 1000])


async def test_of_several_starts_the_highest_priority_counts():
    source = Source(60)
    rig = Rig(source)
    source.script = {
        0: rig.start(MOTION),
        5: rig.start(ALERT),
        7: rig.start(("historical_recording", 0)),
        15: rig.stop,
        21: rig.start(MOTION),
        35: rig.stop,
    }
    await rig.recorder.run()
    eq([(clip.trigger, clip.priority) for clip in rig.clips], [ALERT, MOTION])
    eq([trigger for _, trigger, _ in rig.started], ["motion_detection", "motion_detection"])
    eq(rig.raised, [(rig.path(1),) + ALERT])
    eq(frames_of(rig), [list(range(15)), list(range(30, 35))])


async def test_the_end_of_the_source_ends_the_clip():
    source = Source(13)
    rig = Rig(source)
    source.script = {0: rig.start()}
    await rig.recorder.run()
    eq(frames_of(rig), [list(range(13))])
    eq(rig.clips[0].duration_ms, 1300)
    eq(source.calls, ["start", "stop"])


async def test_the_recorder_can_be_run_again_and_goes_on_recording():
    source = Source(13)
    rig = Rig(source)
    rig.recorder.start(*MOTION)
    await rig.recorder.run()
    await rig.recorder.run()
    eq(frames_of(rig), [list(range(13))] * 2)


async def test_a_failing_source_ends_the_clip_and_the_task():
    def fail():
        raise ValueError("camera unplugged")

    source = Source(50)
    rig = Rig(source)
    source.script = {0: rig.start(), 12: fail}
    await raises_async(ValueError, rig.recorder.run())
    eq(frames_of(rig), [list(range(12))])
    eq(source.calls, ["start", "stop"])


async def test_a_cancelled_recorder_leaves_a_whole_clip():
    source = Source(50, unit_bytes=50000)
    rig = Rig(source)
    rig.recorder.start(*MOTION)
    task = asyncio.create_task(rig.recorder.run())
    turns = 0
    while turns < 9:  # an access unit of this size takes six
        await asyncio.sleep_ms(0)
        turns += bool(rig.started)
    task.cancel()
    await raises_async(asyncio.CancelledError, task)
    assert source.number > 1
    eq(frames_of(rig), [list(range(source.number))])
    eq(source.calls, ["start", "stop"])


async def test_others_run_between_the_blocks_of_a_large_unit():
    source = Source(1, unit_bytes=100000)
    rig = Rig(source)
    rig.recorder.start(*MOTION)
    writes = []
    turns = [0]

    async def other():
        while True:
            turns[0] += 1
            await asyncio.sleep_ms(0)

    write_block = rig.recorder._clip._writer.write_block

    def noted(*args):
        writes.append(turns[0])
        return write_block(*args)

    rig.recorder._clip._writer.write_block = noted
    task = asyncio.create_task(other())
    await rig.recorder.run()
    task.cancel()
    assert len(writes) > 10, writes
    eq(sorted(set(writes)), writes, "turns taken at each block")


class Card:
    """Stands for open() while a test runs: the numbered calls of the card fail."""

    def __init__(self, *fail):
        self.fail = fail
        self.calls = 0
        self.open_files = 0

    def __enter__(self):
        block_writer.open = self.open
        return self

    def __exit__(self, *failure):
        del block_writer.open

    def open(self, path, mode):
        self.note()
        self.open_files += 1
        return CardFile(self, open(path, mode))

    def note(self):
        self.calls += 1
        if self.calls - 1 in self.fail:
            raise OSError(EIO, "as told")


class CardFile:
    def __init__(self, card, file):
        self.card = card
        self.file = file

    def write(self, data):
        self.card.note()
        return self.file.write(data)

    def flush(self):
        self.card.note()
        self.file.flush()

    def close(self):
        self.card.open_files -= 1
        self.file.close()


async def test_a_card_error_ends_the_clip_is_reported_and_recording_goes_on_later():
    # Calls of the card: open, a block of 8 KiB every 14 frames, and a flush when two seconds are over.
    for fail, failed_at in ((0, 0), (1, 13), (2, 20), (3, 28)):
        source = Source(100)
        rig = Rig(source)
        source.script = {0: rig.start(), 95: rig.stop}
        with Card(fail) as card:
            await rig.recorder.run()
        eq(rig.errors, [(rig.path(1), EIO)])
        eq([path for path, _, _ in rig.started], [rig.path(1), rig.path(2)])
        later = (failed_at + 50 + GOP - 1) // GOP * GOP  # the first IDR after five seconds
        eq(frames_of(rig), [list(range(later, 95))], "card call %d fails" % fail)
        eq([clip.path for clip in rig.clips], [rig.path(2)])
        eq(card.open_files, 0)


async def test_a_card_error_at_the_end_of_a_clip():
    for fail in (1, 2):  # the tail, its flush
        source = Source(80)
        rig = Rig(source)
        source.script = {0: rig.start(), 5: rig.stop, 21: rig.start(ALERT), 75: rig.stop}
        with Card(fail) as card:
            await rig.recorder.run()
        eq(rig.errors, [(rig.path(1), EIO)])
        eq([(clip.path, clip.priority) for clip in rig.clips], [(rig.path(2, "security"), 3)])
        eq(frames_of(rig), [list(range(60, 75))])
        eq(card.open_files, 0)


async def test_a_card_that_stays_broken_is_tried_every_five_seconds():
    source = Source(200)
    rig = Rig(source)
    rig.recorder.start(*MOTION)
    with Card(*range(99)):
        await rig.recorder.run()
    eq((len(rig.errors), rig.clips), (4, []))
    eq([path for path, _, _ in rig.started], [path for path, _ in rig.errors])


async def test_a_clip_that_nothing_came_into_is_a_failed_one():
    def refuse(path, trigger, priority):
        raise MemoryError

    rig = Rig(Source(5))
    rig.recorder._clips._on_started = refuse
    rig.recorder.start(*MOTION)
    await raises_async(MemoryError, rig.recorder.run())
    eq((rig.clips, rig.errors, exists(rig.path(1))), ([], [(rig.path(1), EIO)], False))
