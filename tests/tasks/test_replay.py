"""Replayed footage: every picture in order, in time, over and over, from one buffer."""

import time
from errno import EIO

from firmware.sources import replay
from firmware.sources.replay import ReplaySource
from harness import eq, raises_async, tmp_dir
from nal_units import IDR, SLICE, idr_unit, pps, slice_nal, units
from protocol_error import ProtocolError


class Clock:
    """Ticks that pass only by sleeping on them; `naps` are the lengths of the sleeps."""

    def __init__(self, now_ms=0):
        self.now_ms = now_ms
        self.naps = []

    def ticks_ms(self):
        return self.now_ms

    def advance(self, by_ms):
        self.now_ms = time.ticks_add(self.now_ms, by_ms)

    async def sleep_ms(self, duration_ms):
        self.naps.append(duration_ms)
        self.advance(duration_ms)


def stored(data):
    path = tmp_dir() + "/film.h264"
    with open(path, "wb") as file:
        file.write(data)
    return path


def source(data, clock=None, *, fps=10, pace="fast", loop=False, buffer_bytes=2048):
    """A source of these bytes, or of these pictures, that sleeps on the clock."""
    if not isinstance(data, bytes):
        data = b"".join([unit for unit, _ in data])
    clock = replay.asyncio = clock or Clock()
    return ReplaySource(
        stored(data),
        fps=fps,
        pace=pace,
        loop=loop,
        buffer_bytes=buffer_bytes,
        ticks_ms=clock.ticks_ms,
    )


async def take(film, count):
    """The next `count` pictures as [(bytes, pts_90k, is_key)]."""
    taken = []
    for _ in range(count):
        unit, pts_90k, is_key = await film.next()
        taken.append((bytes(unit), pts_90k, is_key))
    return taken


async def test_every_picture_in_order_then_none():
    pictures = units(55, 10, size=90)
    film = source(pictures)
    await film.start()
    taken = await take(film, 55)
    eq([(unit, is_key) for unit, _, is_key in taken], pictures)
    eq([pts for _, pts, _ in taken], [9000 * n for n in range(55)])
    eq((await film.next(), await film.next()), (None, None))
    film.stop()


async def test_what_it_says_of_the_picture():
    film = source(units(3, 3), fps=25)
    await film.start()
    eq((film.codec, film.fps, film.width, film.height), ("h264", 25, 320, 240))
    film.stop()


async def test_time_goes_on_when_the_file_starts_over():
    pictures = units(7, 7)
    film = source(pictures, loop=True)
    await film.start()
    taken = await take(film, 30)
    eq([(unit, is_key) for unit, _, is_key in taken], (pictures * 5)[:30])
    eq([pts for _, pts, _ in taken], [9000 * n for n in range(30)])
    film.stop()


async def test_no_rounding_adds_up():
    film = source(units(30, 30), fps=7, loop=True)
    await film.start()
    taken = await take(film, 7 * 20 + 1)
    eq([pts for _, pts, _ in taken], [n * 90000 // 7 for n in range(141)])
    film.stop()


async def test_time_stamps_have_33_bits():
    film = source(units(4, 4), fps=1, loop=True)
    await film.start()
    film._second_90k = (1 << 33) - 90000 - 1
    eq([pts for _, pts, _ in await take(film, 3)], [(1 << 33) - 90001, (1 << 33) - 1, 89999])
    film.stop()


async def arrivals(clock, count, fps, busy_ms):
    """When each picture comes, in ms from the start, to one who is busy after each for so long."""
    film = source(units(30, 10), clock, fps=fps, pace="realtime", loop=True)
    begin = clock.now_ms
    await film.start()
    came = []
    for number in range(count):
        await film.next()
        came.append(time.ticks_diff(clock.now_ms, begin))
        clock.advance(busy_ms(number))
    film.stop()
    return came


async def test_the_pace_is_the_camera_s():
    eq(await arrivals(Clock(), 12, 10, lambda n: 0), [100 * n for n in range(12)])
    eq(await arrivals(Clock(), 12, 10, lambda n: 30), [100 * n for n in range(12)])
    eq(await arrivals(Clock(), 8, 3, lambda n: 50), [n * 1000 // 3 for n in range(8)])


async def test_one_who_was_late_catches_up():
    came = await arrivals(Clock(), 8, 10, lambda n: 350 if n == 1 else 20)
    eq(came, [0, 100, 450, 470, 490, 510, 600, 700])


async def test_the_ticks_may_wrap():
    clock = Clock(time.ticks_add(0, -1050))
    eq(await arrivals(clock, 40, 10, lambda n: 30), [100 * n for n in range(40)])


async def test_fast_never_waits_but_lets_others_run():
    clock = Clock()
    film = source(units(40, 10), clock)
    await film.start()
    clock.naps.clear()
    await take(film, 40)
    eq(clock.now_ms, 0)
    assert len(clock.naps) >= 40, "each picture must give way once"
    film.stop()


async def test_a_missing_file():
    film = ReplaySource(
        tmp_dir() + "/none.h264",
        fps=10,
        pace="fast",
        loop=False,
        buffer_bytes=512,
        ticks_ms=time.ticks_ms,
    )
    eq((await raises_async(OSError, film.start())).errno, 2)
    film.stop()


async def test_what_is_no_film():
    for data in (
        b"",
        b"this is no film",
        b"\x00" * 1000,
        b"\xff" * 5000,  # more than the buffer
        idr_unit(0)[: -len(slice_nal(IDR, 0))],  # parameter sets alone
        slice_nal(IDR, 0) + slice_nal(SLICE, 1),  # no parameter sets
        pps() + slice_nal(IDR, 0),
    ):
        film = source(data)
        await raises_async(ProtocolError, film.start())
        film.stop()


async def test_a_picture_larger_than_the_buffer():
    film = source(idr_unit(0) + slice_nal(SLICE, 1) + slice_nal(SLICE, 2, 3000))
    await film.start()
    await take(film, 2)
    await raises_async(ProtocolError, film.next())
    film.stop()


class Opener:
    """In place of the open() that replay calls: keeps what it opened."""

    def __init__(self):
        self.files = []

    def __enter__(self):
        replay.open = self._open
        return self

    def __exit__(self, *_):
        del replay.open

    def _open(self, path, mode):
        self.files.append(open(path, mode))
        return self.files[-1]


def is_closed(file):
    try:
        file.read(1)
    except (ValueError, OSError):
        return True
    return False


async def test_stop_closes_the_file():
    film = source(units(5, 5))
    film.stop()
    with Opener() as opener:
        await film.start()
        await film.next()
        assert not is_closed(opener.files[0])
        film.stop()
        film.stop()
    eq([is_closed(file) for file in opener.files], [True])


async def test_start_begins_anew():
    pictures = units(9, 3)
    film = source(pictures, loop=True)
    with Opener() as opener:
        await film.start()
        first = await take(film, 5)
        await film.start()
        again = await take(film, 9)
        film.stop()
        await film.start()
        third = await take(film, 4)
        film.stop()
    eq(first, again[:5])
    eq([(unit, is_key) for unit, _, is_key in again], pictures)
    eq(again[0][1], 0)
    eq(third, again[:4])
    eq([is_closed(file) for file in opener.files], [True, True, True])


async def test_start_after_a_failure():
    film = source(b"no film yet")
    await raises_async(ProtocolError, film.start())
    with open(film._path, "wb") as file:
        file.write(idr_unit(3))
    await film.start()
    eq(await take(film, 1), [(idr_unit(3), 0, True)])
    film.stop()


class _GoneWithItsCard:
    """A file that is read as ever, but closing it fails."""

    def __init__(self, path, mode):
        self._file = open(path, mode)
        self.readinto, self.seek = self._file.readinto, self._file.seek

    def close(self):
        self._file.close()
        raise OSError(EIO, "no card")


async def test_a_file_that_does_not_close_stops_nobody():
    film = source(units(3, 3))
    replay.open = _GoneWithItsCard
    try:
        for _ in range(2):
            await film.start()
            eq(len(await take(film, 3)), 3)
            film.stop()
    finally:
        del replay.open
