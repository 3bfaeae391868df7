"""A recorder with a scripted source, a directory and a clock of its own, for the tests of it.

A take is what the source gives from a start to the next one: a list of pictures
(unit, pts_90k, is_key), functions that are called between them, errors that are raised, and
events that are waited for. After the last take the source has ended.
"""

import asyncio
import gc
from hashlib import md5

import block_writer
from firmware.sd_recorder import SdRecorder
from gop_ring import GopRing
from harness import eq, exists, tmp_dir
from mpegts import BUFFER_BYTES, PTS_DELAY_90K
from nal_units import units
from tasks.ts_reader import pictures, slices

FPS = 10
GOP = 5
STEP_90K = 9000
PTS_END = 1 << 33
ENOSPC = 28
NOW_UNIX = 1763856000
MOTION, ALERT, SCHEDULED = ("motion_detection", 2), ("security_alert", 3), ("scheduled", 1)
ALWAYS = "historical", 0


def film(count, size=700, first_90k=0, gop=GOP, first=0):
    """`count` pictures, numbered from `first` on."""
    made = units(first + count, gop, size)[first:]
    return [
        (unit, (first_90k + number * STEP_90K) % PTS_END, is_key)
        for number, (unit, is_key) in enumerate(made)
    ]


def inserted(script, *steps):
    """The script with functions put in: (number of the picture they come before, function)."""
    made = list(script)
    for number, function in reversed(steps):
        made.insert(number, function)
    return made


class ScriptedSource:
    codec = "h264"
    width, height, fps = 320, 240, FPS

    def __init__(self, takes):
        self._takes = list(takes)
        self.starts = self.stops = 0

    async def start(self):
        self.starts += 1
        take = self._takes.pop(0) if self._takes else []
        if isinstance(take, Exception):
            raise take
        self._script = iter(take)

    async def next(self):
        for step in self._script:
            await asyncio.sleep_ms(0)
            if isinstance(step, Exception):
                raise step
            if isinstance(step, tuple):
                return step
            if isinstance(step, asyncio.Event):
                await step.wait()
            else:
                step()
        return None

    def stop(self):
        self.stops += 1


class Rig:
    def __init__(
        self,
        *,
        ring_bytes=0,
        most_units=999,
        pre_roll_ms=0,
        max_clip_ms=60000,
        stall_ms=60000,
        request_key=None,
        **limits,
    ):
        self.folder = tmp_dir()
        self.ring = GopRing(bytearray(ring_bytes), most_units) if ring_bytes else None
        self.pre_roll_ms, self.max_clip_ms, self.stall_ms = pre_roll_ms, max_clip_ms, stall_ms
        self.now_unix, self.now_ms = NOW_UNIX, 0
        self.events, self.clips, self.errors, self.grown = [], [], [], []
        self.seen, self.log = [], []
        self.request_key, self.limits = request_key, limits
        self.may_record, self.least = True, 0  # the lowest priority that may
        self.asked = []  # the priorities that may_record was asked for
        self.told = asyncio.Event()  # of the source, since it was cleared
        self.names = 0

    async def play(self, *takes):
        gc.collect()
        await self.build(*takes).run()
        eq(self.recorder.is_recording, False)

    def build(self, *takes):
        self.source = ScriptedSource(takes)
        if self.request_key:
            self.source.request_key = self.request_key
        self.recorder = SdRecorder(
            self.source,
            ring=self.ring,
            buffer=bytearray(BUFFER_BYTES),
            unix_time=lambda: self.now_unix,
            on_started=self._started,
            on_raised=lambda *facts: self.events.append(("raised",) + facts),
            on_clip=self._done,
            on_error=self._failed,
            on_source=self._source_told,
            on_unit=lambda *facts: self.seen.append(facts),
            on_grown=self.grown.append,
            may_record=self._may_record,
            max_clip_ms=self.max_clip_ms,
            pre_roll_ms=self.pre_roll_ms,
            stall_ms=self.stall_ms,
            new_path=self._new_path,
            ticks_ms=lambda: self.now_ms,
            randbits=lambda count: 0,
            log=self.log.append,
            **self.limits,
        )
        return self.recorder

    def start(self, trigger=MOTION):
        return lambda: self.recorder.start(*trigger)

    def switch(self, trigger):
        return lambda: self.recorder.switch(*trigger)

    def stop(self):
        self.recorder.stop()

    def wait_60_s(self):
        self.now_ms += 60000

    def allow(self, may_record):
        def act():
            self.may_record = may_record

        return act

    def allow_from(self, priority):
        def act():
            self.least = priority

        return act

    def read(self, clip):
        with open(clip.path, "rb") as file:
            return file.read()

    def verbs(self):
        return [event[0] for event in self.events]

    def told_of_source(self):
        """What was said of it: names of errors, and None."""
        return [event[1] for event in self.events if event[0] == "source"]

    def _may_record(self, priority):
        self.asked.append(priority)
        return self.may_record and priority >= self.least

    def _new_path(self, trigger):
        self.names += 1
        return "%s/%s%07d.ts" % (self.folder, trigger[0], self.names)

    def _started(self, path, trigger, priority):
        assert not exists(path), "told of before there is a file"
        self.events.append(("started", path, trigger, priority))

    def _done(self, clip):
        eq((clip.size_bytes, clip.md5), digest(clip.path), "all of it is there by now")
        assert not self.recorder.is_recording
        self.events.append(("clip", clip.path))
        self.clips.append(clip)

    def _failed(self, path, error):
        assert not self.recorder.is_recording
        self.events.append(("error", path))
        self.errors.append(error)

    def _source_told(self, error):
        self.events.append(("source", error and type(error).__name__))
        self.told.set()


class FullCard:
    """In place of block_writer's open(): a card that is full after so many bytes."""

    def __init__(self, free_bytes):
        self.free_bytes = free_bytes
        self.at_write = None  # is called once, before anything of the next block is there

    def __enter__(self):
        block_writer.open = lambda path, mode: FullCardFile(self, open(path, mode))
        return self

    def __exit__(self, *_):
        del block_writer.open


class FullCardFile:
    def __init__(self, card, file):
        self._card, self._file = card, file
        self.flush, self.close = file.flush, file.close

    def write(self, data):
        if self._card.at_write:
            at_write, self._card.at_write = self._card.at_write, None
            at_write()
        self._card.free_bytes -= len(data)
        if self._card.free_bytes < 0:
            raise OSError(ENOSPC, "full")
        return self._file.write(data)


def digest(path):
    """`(size_bytes, md5)`, read in pieces: heaps are small."""
    found, size_bytes = md5(), 0
    with open(path, "rb") as file:
        while True:
            piece = file.read(4096)
            if not piece:
                return size_bytes, found.digest()
            found.update(piece)
            size_bytes += len(piece)


def holds(rig, clip, script, first_90k=None):
    """The clip must hold these pictures, no more, no less; its recording began at `first_90k`."""
    first_90k = script[0][1] if first_90k is None else first_90k
    found = pictures(rig.read(clip))
    eq((len(found), clip.frames), (len(script), len(script)), "pictures in the file")
    for (picture, pts_90k), (unit, shown_90k, _) in zip(found, script):
        eq(picture[:4], slices(unit)[:4], "number of the picture")
        assert picture == slices(unit), "not all bytes of a picture"
        eq(pts_90k, (shown_90k - first_90k + PTS_DELAY_90K) % PTS_END)


def is_one_stream(rig, clips):
    """Counters and clock go on from clip to clip; each begins with its tables. No gap is over a second."""
    counters, pcr = {}, -1
    for clip in clips:
        content = rig.read(clip)
        eq(content[:3] + content[188:191], b"\x47\x40\x00\x47\x50\x00", "PAT, PMT")
        for at in range(0, len(content), 188):
            packet = content[at : at + 188]
            pid, has_payload = (packet[1] & 0x1F) << 8 | packet[2], packet[3] >> 4 & 1
            counter = counters.get(pid, -1) + has_payload & 15
            eq(packet[3] & 15, counter, "counter of %d at %d of %s" % (pid, at, clip.path))
            counters[pid] = counter
            if packet[3] & 0x20 and packet[4] and packet[5] & 0x10:
                now = (packet[6] << 24 | packet[7] << 16 | packet[8] << 8 | packet[9]) * 2
                now += packet[10] >> 7
                assert pcr < 0 or 0 <= (now - pcr) % PTS_END <= 9000, "PCR at %d" % at
                pcr = now
