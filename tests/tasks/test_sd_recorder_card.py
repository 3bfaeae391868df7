"""What clips hold, to the byte, and a recorder on a card that fails in every way it can.

A script is a list of pictures and of functions that are called between them.
"""

import asyncio
from hashlib import md5

import block_writer
from firmware.sd_recorder import SdRecorder
from harness import eq, exists, raises_async, tmp_dir
from mpegts import BUFFER_BYTES
from nal_units import IDR, idr_unit, slice_nal, units
from tasks.recorder_rig import holds, inserted

FPS = 10
STEP_90K = 9000
EIO = 5
PTS_END = 1 << 33


class ScriptedSource:
    codec = "h264"
    width, height, fps = 320, 240, FPS

    def __init__(self, script):
        self._script = iter(script)
        self.stops = 0

    async def start(self):
        self.stops = 0

    async def next(self):
        for step in self._script:
            await asyncio.sleep_ms(0)
            if isinstance(step, Exception):
                raise step
            if isinstance(step, tuple):
                return step
            step()
        return None

    def stop(self):
        self.stops += 1


class Rig:
    """A recorder with a scripted source and a directory; `events` tells what it reported."""

    def __init__(self, max_clip_ms=60000):
        self.folder = tmp_dir()
        self.max_clip_ms = max_clip_ms
        self.now_unix = 1763856000
        self.events, self.clips, self.errors, self.sources = [], [], [], []
        self.names = 0
        self.card_is_there = True
        self._files = {}

    async def play(self, script):
        self.source = ScriptedSource(script)
        self.recorder = SdRecorder(
            self.source,
            ring=None,
            buffer=bytearray(BUFFER_BYTES),
            unix_time=lambda: self.now_unix,
            on_started=self._started,
            on_clip=self._done,
            on_error=self._failed,
            on_source=self.sources.append,
            may_record=lambda priority: True,
            max_clip_ms=self.max_clip_ms,
            pre_roll_ms=0,
            stall_ms=5000,
            new_path=self._new_path,
            ticks_ms=lambda: 0,
            randbits=lambda count: 0,
        )
        try:
            await self.recorder.run()
        finally:
            eq((self.recorder.is_recording, self.source.stops), (False, 1))

    def start(self, trigger="motion_detection", priority=2):
        return lambda: self.recorder.start(trigger, priority)

    def stop(self):
        self.recorder.stop()

    def read(self, clip):
        return self._files[clip.path]

    def verbs(self):
        return [event[0] for event in self.events]

    def _new_path(self, trigger):
        self.names += 1
        folder = self.folder if self.card_is_there else self.folder + "/gone"
        return "%s/%s%07d.ts" % (folder, trigger[0], self.names)

    def _started(self, path, trigger, priority):
        assert not exists(path), "told of before there is a file"
        self.events.append(("started", path))

    def _done(self, clip):
        with open(clip.path, "rb") as file:  # all of it must be there by now
            data = self._files[clip.path] = file.read()
        eq((clip.size_bytes, clip.md5), (len(data), md5(data).digest()))
        assert not self.recorder.is_recording
        self.events.append(("clip", clip.path))
        self.clips.append(clip)

    def _failed(self, path, error):
        assert isinstance(error, OSError)
        assert not self.recorder.is_recording
        self.events.append(("error", path))
        self.errors.append(error)


def timed(pieces, first_90k=0):
    return [
        (unit, (first_90k + number * STEP_90K) % PTS_END, is_key)
        for number, (unit, is_key) in enumerate(pieces)
    ]


def film(count, size=700, first_90k=0):
    return timed(units(count, 5, size), first_90k)


async def test_every_byte_of_every_picture():
    for size in (20, 700, 8000, 16000):
        rig, shown = Rig(), film(12, size)
        await rig.play(inserted(shown, (1, rig.start()), (11, rig.stop)))
        (clip,) = rig.clips
        holds(rig, clip, shown[5:11])


async def test_clips_one_after_the_other_hold_nothing_of_each_other():
    rig, shown = Rig(max_clip_ms=1000), film(33, 3000, first_90k=PTS_END - 3 * STEP_90K)
    await rig.play([rig.start()] + shown)
    eq([clip.frames for clip in rig.clips], [10, 10, 10, 3])
    for number, clip in enumerate(rig.clips):
        holds(rig, clip, shown[10 * number : 10 * number + 10], shown[0][1])


async def test_the_split_is_at_the_first_idr_that_is_late_enough():
    for max_clip_ms, frames in ((1000, [10, 10]), (1001, [15, 5]), (999, [10, 10])):
        rig = Rig(max_clip_ms)
        await rig.play([rig.start()] + film(20))
        eq([clip.frames for clip in rig.clips], frames, "%d ms" % max_clip_ms)


async def test_start_after_stop_between_two_pictures_goes_on():
    rig, shown = Rig(), film(20)

    def stop_and_start():
        rig.recorder.stop()
        rig.recorder.start("motion_detection", 1)

    await rig.play(inserted(shown, (0, rig.start()), (8, stop_and_start)))
    (clip,) = rig.clips
    holds(rig, clip, shown)
    eq(clip.priority, 2)


async def test_a_start_that_was_taken_back_counts_no_more():
    rig = Rig()
    high, low = rig.start("security_alert", 3), rig.start("motion_detection", 1)
    await rig.play([high, rig.stop, low] + film(10))
    eq([(clip.trigger, clip.priority) for clip in rig.clips], [("motion_detection", 1)])


async def test_what_is_told_of_a_running_clip():
    rig, told = Rig(), []

    def tell():
        told.append((rig.recorder.is_recording, len(rig.clips)))

    steps = (1, rig.start()), (5, tell), (6, tell), (9, rig.stop), (9, tell), (10, tell)
    await rig.play(inserted(film(12), *steps))
    eq(told, [(False, 0), (True, 0), (True, 0), (False, 1)])


async def test_an_unknown_time_stays_unknown():
    rig = Rig()
    rig.now_unix = None
    await rig.play([rig.start()] + film(5))
    eq(rig.clips[0].started_unix, None)


async def test_an_idr_picture_without_parameter_sets_gets_them():
    rig = Rig()
    shown = timed([(idr_unit(0), True), (slice_nal(IDR, 1), True), (slice_nal(IDR, 2), True)])
    await rig.play([rig.start()] + shown)
    holds(rig, rig.clips[0], shown)
    sets = idr_unit(0)[: -len(slice_nal(IDR, 0))]
    eq(len(rig.read(rig.clips[0]).split(sets[4:])) - 1, 3, "parameter sets in the file")


async def test_the_source_is_stopped_when_nobody_takes_the_clip():
    rig = Rig()

    def refuse(clip):
        raise MemoryError

    rig._done = refuse
    await raises_async(MemoryError, rig.play([rig.start()] + film(5)))


class Card:
    """In place of block_writer's open(): real files; the nth `verb` fails, or calls `instead`."""

    def __init__(self, verb, nth=1, instead=None):
        self._verb, self._left = verb, nth
        self._instead = instead
        self.failed = None
        self.used_again = 0

    def __enter__(self):
        block_writer.open = self._open
        return self

    def __exit__(self, *_):
        del block_writer.open

    def _open(self, path, mode):
        return CardFile(self, open(path, mode))

    def note(self, verb, file):
        if file is self.failed:
            self.used_again += verb != "close"
        elif verb == self._verb:
            self._left -= 1
            if self._left == 0 and self._instead:
                self._instead()
            elif self._left == 0:
                self.failed = file
                raise OSError(EIO, "card")


class CardFile:
    def __init__(self, card, file):
        self._card, self._file = card, file

    def write(self, data):
        self._card.note("write", self)
        return self._file.write(data)

    def flush(self):
        self._card.note("flush", self)
        self._file.flush()

    def seek(self, position):
        self._card.note("seek", self)
        return self._file.seek(position)

    def close(self):
        self._file.close()
        self._card.note("close", self)


async def test_a_cancelled_recorder_completes_the_picture():
    """Cancelled while it gives way between two blocks of one picture."""
    rig, shown = Rig(), film(2, 100000)
    begun = asyncio.Event()
    with Card("write", 2, begun.set):
        play = asyncio.create_task(rig.play([rig.start()] + shown))
        await asyncio.wait_for_ms(begun.wait(), 2000)
        play.cancel()
        await raises_async(asyncio.CancelledError, play)
    holds(rig, rig.clips[0], shown[:1])


async def fail(card, script_of):
    rig = Rig()
    with card:
        await rig.play(script_of(rig))
    path = rig.folder + "/m0000001.ts"
    eq(rig.events, [("started", path), ("error", path)])
    eq((rig.errors[0].args[0], card.used_again), (EIO, 0))
    assert exists(path), "what was flushed must stay"


async def test_the_card_fails_in_a_clip():
    for card in (Card("write"), Card("write", 7), Card("flush")):
        await fail(card, lambda rig: [rig.start()] + film(40, 4000))


async def test_the_card_fails_at_the_end_of_the_source():
    for card in (Card("write"), Card("flush"), Card("close")):
        await fail(card, lambda rig: [rig.start()] + film(5, 50))


async def test_the_card_fails_at_stop():
    for card in (Card("write"), Card("flush"), Card("close")):
        await fail(card, lambda rig: inserted(film(20, 50), (0, rig.start()), (7, rig.stop)))


async def test_a_failed_clip_is_followed_by_a_whole_one():
    rig, shown = Rig(), film(80, 3000)
    with Card("write", 3):
        await rig.play([rig.start()] + shown)
    eq(rig.verbs(), ["started", "error", "started", "clip"])
    holds(rig, rig.clips[0], shown[60:])  # failed in picture 7, five seconds are 50


async def test_a_split_that_fails_ends_in_a_pause_too():
    rig, shown = Rig(max_clip_ms=1000), film(70)
    with Card("close"):
        await rig.play([rig.start()] + shown)
    eq(rig.verbs(), ["started", "error", "started", "clip"])
    holds(rig, rig.clips[0], shown[60:])


async def test_a_card_that_comes_back():
    rig, shown = Rig(), film(100)
    rig.card_is_there = False

    def put_in():
        rig.card_is_there = True

    await rig.play(inserted(shown, (2, rig.start()), (10, put_in)))
    gone, back = rig.folder + "/gone/m0000001.ts", rig.folder + "/m0000002.ts"
    eq(rig.events, [("started", gone), ("error", gone), ("started", back), ("clip", back)])
    holds(rig, rig.clips[0], shown[55:])


async def test_no_second_try_when_nobody_wants_it():
    rig = Rig()
    rig.card_is_there = False
    await rig.play(inserted(film(100), (0, rig.start()), (20, rig.stop)))
    eq(rig.verbs(), ["started", "error"])
