"""Frames from a file: in order, on time, over and over."""

import asyncio
from time import ticks_add

from firmware.sources.replay import ReplaySource
from harness import eq, raises_async, tmp_dir
from protocol_error import ProtocolError

LONG, SHORT = b"\x00\x00\x00\x01", b"\x00\x00\x01"
# 640x272, as x264 writes it.
SPS = LONG + b"\x67\x42\xc0\x15\xd9\x00\xa0\x23\xb0\x11\x00\x00\x03\x00\x01\x00\x00\x03\x00\x32"
SPS += b"\x0f\x16\x2e\x48"
PPS = LONG + b"\x68\xcb\x83\xcb\x20"
CLOCK = 1 << 33


def film(pictures, gop=3):
    """Access units, each of another size, the first of every `gop` an IDR picture."""
    units = []
    for i in range(pictures):
        body = bytes([0x80 | i]) * (20 + 7 * i)
        is_key = i % gop == 0
        units.append((SPS + PPS + SHORT + b"\x65" if is_key else LONG + b"\x41") + body)
    return units


class Time:
    """Ticks that pass only when somebody sleeps, or is slow."""

    def __init__(self, now_ms=0):
        self.now_ms = now_ms
        self.slept_ms = []
        asyncio.sleep_ms = self.sleep_ms

    def ticks_ms(self):
        return self.now_ms

    async def sleep_ms(self, ms):
        assert ms >= 0, ms
        if ms:
            self.slept_ms.append(ms)
        self.pass_ms(ms)

    def pass_ms(self, ms):
        self.now_ms = ticks_add(self.now_ms, ms)


def source_of(units, time=None, fps=25, pace="fast", loop=False, buffer_bytes=4096):
    path = tmp_dir() + "/film.h264"
    with open(path, "wb") as file:
        for unit in units:
            file.write(unit)
    time = time or Time()
    return ReplaySource(
        path, fps=fps, pace=pace, loop=loop, buffer_bytes=buffer_bytes, ticks_ms=time.ticks_ms
    )


async def take(source, count):
    """The next frames; fewer at the end of the file."""
    frames = []
    while len(frames) < count:
        frame = await source.next()
        if frame is None:
            break
        frames.append((bytes(frame[0]), frame[1], frame[2]))
    return frames


async def test_every_access_unit_comes_once_in_order():
    units = film(10)
    source = source_of(units)
    await source.start()
    eq((source.width, source.height, source.fps, source.codec), (640, 272, 25, "h264"))
    expected = [(unit, i * 3600, i % 3 == 0) for i, unit in enumerate(units)]
    eq(await take(source, 99), expected)
    eq((await source.next(), await source.next()), (None, None))
    source.stop()


async def test_a_file_larger_than_the_buffer_passes_through_it():
    units = film(100)
    longest = max([len(unit) for unit in units])
    source = source_of(units, buffer_bytes=longest + 6)
    await source.start()
    eq([unit for unit, _, _ in await take(source, 999)], units)
    source.stop()


async def test_an_access_unit_larger_than_the_buffer_is_named():
    source = source_of(film(100), buffer_bytes=600)
    await source.start()
    error = await raises_async(ProtocolError, take(source, 999))
    assert "600 bytes" in str(error), error
    source.stop()


async def test_a_loop_goes_on_without_a_break():
    units = film(4)
    source = source_of(units, loop=True, fps=30)
    await source.start()
    frames = await take(source, 11)
    eq([unit for unit, _, _ in frames], units + units + units[:3])
    eq([pts for _, pts, _ in frames], [i * 3000 for i in range(11)])
    source.stop()


async def test_time_stamps_do_not_drift_and_wrap_at_33_bits():
    source = source_of(film(2), loop=True, fps=7)
    await source.start()
    eq([pts for _, pts, _ in await take(source, 15)], [i * 90000 // 7 for i in range(15)])
    await source.start()
    source._second_90k = CLOCK - 90000
    eq([pts for _, pts, _ in await take(source, 9)][6:], [CLOCK - 12858, 0, 12857])
    source.stop()


async def test_start_begins_anew():
    units = film(5)
    source = source_of(units)
    for _ in range(2):
        await source.start()
        eq([frame[:2] for frame in await take(source, 3)], [(units[i], i * 3600) for i in range(3)])
    source.stop()
    source.stop()


async def test_frames_come_at_their_pace():
    for begin_ms in (0, (1 << 30) - 100):  # ticks wrap
        time = Time(begin_ms)
        source = source_of(film(2), time, fps=30, pace="realtime", loop=True)
        await source.start()
        await take(source, 61)
        eq(time.now_ms, ticks_add(begin_ms, 2000))
        eq(time.slept_ms, ([33, 33, 34] * 20))
        source.stop()


async def test_time_lost_is_made_up_for():
    time = Time()
    source = source_of(film(2), time, fps=10, pace="realtime", loop=True)
    await source.start()
    await take(source, 1)
    time.pass_ms(350)
    await take(source, 5)
    eq((time.now_ms, time.slept_ms), (500, [50, 100]))
    source.stop()


async def test_a_fast_source_never_waits_but_lets_others_run():
    time = Time()
    source = source_of(film(50), time, pace="fast")
    await source.start()
    await take(source, 50)
    eq(time.slept_ms, [])
    source.stop()


async def test_other_tasks_run_while_a_file_is_replayed():
    source = source_of(film(50))
    turns = []

    async def other():
        while True:
            turns.append(1)
            await asyncio.sleep(0)

    asyncio.sleep_ms = lambda ms: asyncio.sleep(0)
    task = asyncio.create_task(other())
    await source.start()
    before = len(turns)
    await take(source, 50)
    assert len(turns) - before >= 50, "%d turns" % len(turns)
    task.cancel()
    source.stop()


async def test_a_file_without_pictures_is_refused():
    for content in ([], [b"no stream at all"], [SPS + PPS], [LONG + b"\x65\x88\x80"]):
        source = source_of(content)
        await raises_async(ProtocolError, source.start())
        source.stop()


async def test_a_missing_file():
    source = ReplaySource(
        tmp_dir() + "/no.h264", fps=25, pace="fast", loop=False, buffer_bytes=64, ticks_ms=int
    )
    await raises_async(OSError, source.start())
    source.stop()
