"""Pre-roll, and the ring as a cushion between the source and the card."""

import asyncio

import micropython

from block_writer import BlockWriter
from gop_ring import GopRing
from harness import eq, raises_async, tmp_dir
from mpegts import BUFFER_BYTES, TsMuxer
from nal_units import idr_unit, slice_nal
from tasks.recorder_rig import (
    FPS,
    GOP,
    NOW_UNIX,
    PTS_END,
    STEP_90K,
    FullCard,
    Rig,
    film,
    holds,
    inserted,
)


async def test_a_clip_begins_with_the_newest_idr_that_is_as_old_as_the_pre_roll():
    for pre_roll_ms, first in ((0, 20), (200, 20), (201, 15), (800, 10), (1200, 10), (9999, 0)):
        rig, shown = Rig(ring_bytes=99999, pre_roll_ms=pre_roll_ms), film(40)
        await rig.play(inserted(shown, (23, rig.start()), (31, rig.stop)))
        (clip,) = rig.clips
        holds(rig, clip, shown[first:31])
        eq(clip.pre_roll_ms, (22 - first) * 100, "%d ms" % pre_roll_ms)
        eq(clip.duration_ms, (31 - first) * 100)
        eq(clip.started_unix, NOW_UNIX - (23 - first) // FPS)


async def test_the_pre_roll_counts_from_the_wish_not_from_the_frame_before_it():
    rig, shown = Rig(ring_bytes=99999), film(20)

    def later():
        rig.now_ms = 60
        rig.recorder.start("motion_detection", 2)

    await rig.play(inserted(shown, (12, later)))
    eq((rig.clips[0].pre_roll_ms, rig.clips[0].frames), (160, 10))


async def test_where_the_ring_has_less_than_the_pre_roll_all_of_it_counts():
    unit_bytes = len(film(2)[1][0])
    for ring_bytes, most_units, first in (
        (12 * unit_bytes, 99, 15),
        (99999, 12, 15),
        (99999, 7, 20),
    ):
        rig = Rig(ring_bytes=ring_bytes, most_units=most_units, pre_roll_ms=9999)
        shown = film(40)
        await rig.play(inserted(shown, (23, rig.start())))
        holds(rig, rig.clips[0], shown[first:])


async def test_without_an_idr_in_the_ring_the_next_one_begins_the_clip():
    rig, shown = Rig(ring_bytes=3000, pre_roll_ms=1000), film(40, gop=20)
    await rig.play(inserted(shown, (15, rig.start())))
    (clip,) = rig.clips
    holds(rig, clip, shown[20:])
    eq((clip.pre_roll_ms, clip.started_unix), (0, NOW_UNIX))


async def test_a_pre_roll_that_fills_the_ring_loses_nothing():
    for ring_bytes in (4000, 8000, 30000):
        for size in (100, 700, 1900):
            rig, shown = Rig(ring_bytes=ring_bytes, pre_roll_ms=9999), film(60, size)
            await rig.play(inserted(shown, (34, rig.start())))
            (clip,) = rig.clips
            holds(rig, clip, shown[60 - clip.frames :])
            assert clip.frames > 26 or size == 1900, clip.frames


async def test_units_larger_than_the_ring():
    """While recording they are written as they are; otherwise their GOP is lost from there on."""
    shown = film(40)
    for number in (7, 22, 25):
        unit, pts_90k, is_key = film(number + 1, 9000)[number]
        shown[number] = unit, pts_90k, is_key
    rig = Rig(ring_bytes=8000, pre_roll_ms=9999)
    await rig.play(inserted(shown, (9, rig.start())))
    holds(rig, rig.clips[0], shown[:7] + shown[10:])


async def test_key_frames_larger_than_the_ring_are_recorded_without_a_pre_roll():
    shown = film(50, 300)
    for number in range(0, 50, GOP):
        shown[number] = film(number + 1, 4000)[number]
    rig = Rig(ring_bytes=3000, pre_roll_ms=1000)
    steps = (7, rig.start()), (23, rig.stop), (32, rig.start())
    await rig.play(inserted(shown, *steps))
    first, second = rig.clips
    holds(rig, first, shown[10:23])
    holds(rig, second, shown[35:])
    eq((first.pre_roll_ms, second.pre_roll_ms), (0, 0))
    eq(["larger than" in line for line in rig.log], [True], "said once")


async def test_what_is_wanted_again_while_its_end_is_written_goes_on():
    rig, shown = Rig(ring_bytes=99999, pre_roll_ms=3000), film(60, 1500)
    with FullCard(1 << 30) as card:

        def stop():
            rig.stop()
            assert rig.ring.unread > 12
            card.at_write = rig.start()

        await rig.play(inserted(shown, (40, rig.start()), (44, stop)))
    (clip,) = rig.clips
    holds(rig, clip, shown[5:])


async def test_a_wish_counts_for_one_clip_however_long_the_recording_is():
    """Differences of times beyond 13 hours are negative ones."""
    rig, unit = Rig(max_clip_ms=3600000), film(1, 20)[0][0]

    def stream():
        for number in range(15 * 720):
            if number == 1:
                rig.recorder.start("motion_detection", 2)
            yield unit, number * 5 * 90000 % PTS_END, True

    await rig.play(stream())
    eq([clip.pre_roll_ms for clip in rig.clips], [0] * 15)


async def test_an_outage_of_the_source_is_no_pre_roll():
    for ring_bytes in (0, 99999):
        rig, shown = Rig(ring_bytes=ring_bytes, pre_roll_ms=2000), film(20, first=20)
        await rig.play(film(20) + [OSError(5, "gone")], [rig.wait_60_s, rig.start()] + shown)
        holds(rig, rig.clips[0], shown)
        eq(rig.clips[0].pre_roll_ms, 0)


async def test_the_source_is_not_held_up_by_a_pre_roll():
    rig, shown = Rig(ring_bytes=99999, pre_roll_ms=9999), film(60)
    unread = []
    steps = [(number, lambda: unread.append(rig.ring.unread)) for number in range(41, 60)]
    await rig.play(inserted(shown, (40, rig.start()), *steps))
    eq(unread[:4], [37, 34, 31, 28], "four for one")
    eq(unread[-1], 0)
    holds(rig, rig.clips[0], shown)


async def test_stop_writes_all_that_came_before():
    rig, shown = Rig(ring_bytes=99999, pre_roll_ms=9999), film(45)
    await rig.play(inserted(shown, (40, rig.start()), (41, rig.stop)))
    (clip,) = rig.clips
    holds(rig, clip, shown[:41])
    eq((clip.duration_ms, clip.pre_roll_ms), (4100, 3900))


async def test_a_cancelled_recorder_writes_all_that_came():
    rig, shown = Rig(ring_bytes=99999, pre_roll_ms=9999), film(42)
    rig.build(inserted(shown, (40, rig.start())) + [asyncio.Event()])
    task = asyncio.create_task(rig.recorder.run())
    while len(rig.seen) < 42:
        await asyncio.sleep_ms(0)
    await asyncio.sleep_ms(0)
    task.cancel()
    await raises_async(asyncio.CancelledError, task)
    holds(rig, rig.clips[0], shown)
    eq(rig.source.stops, 1)


async def test_the_next_recording_has_its_pre_roll_too():
    rig, shown = Rig(ring_bytes=99999, pre_roll_ms=500), film(60)
    steps = (10, rig.start()), (20, rig.stop), (22, rig.start()), (40, rig.stop)
    await rig.play(inserted(shown, *steps))
    first, second = rig.clips
    holds(rig, first, shown[0:20])
    holds(rig, second, shown[15:40])
    eq((first.pre_roll_ms, second.pre_roll_ms, second.part), (900, 600, 0))


async def test_time_stamps_wrap_within_the_pre_roll():
    rig = Rig(ring_bytes=99999, pre_roll_ms=1000)
    shown = film(40, first_90k=(1 << 33) - 15 * STEP_90K)
    await rig.play(inserted(shown, (23, rig.start())))
    holds(rig, rig.clips[0], shown[10:])
    eq(rig.clips[0].pre_roll_ms, 1200)


async def test_every_unit_is_told_of_recording_or_not():
    rig, shown = Rig(ring_bytes=99999), film(20)
    await rig.play(inserted(shown, (7, rig.start()), (12, rig.stop)))
    eq(rig.seen, [(len(unit), is_key, pts_90k) for unit, pts_90k, is_key in shown])


def test_nothing_is_allocated_from_the_ring_to_the_card():
    """Ring, muxer and file as the recorder joins them, a unit at a time."""
    ring = GopRing(bytearray(60000), 40)
    muxer = TsMuxer(bytearray(BUFFER_BYTES))
    writer = BlockWriter(muxer.block)
    writer.open(tmp_dir() + "/clip.ts")
    key, other = idr_unit(0, 9000), slice_nal(1, 1, 2500)
    for number in range(20):
        ring.push(other if number % GOP else key, number * STEP_90K, number % GOP == 0)
    ring.begin_reading()
    written = 0
    micropython.heap_lock()
    try:
        for number in range(20, 120):
            unit = other if number % GOP else key
            while not ring.push(unit, number * STEP_90K, unit is key):
                written += write_one(ring, muxer, writer)
            written += write_one(ring, muxer, writer)
    finally:
        micropython.heap_unlock()
    assert written > 100, written
    assert writer.close(muxer.tail_bytes)[0] > 300000


def write_one(ring, muxer, writer):
    if not ring.take():
        return 0
    muxer.feed(ring.buffer, ring.begin, ring.end, ring.pts_90k, ring.is_key)
    while muxer.fill():
        writer.write_block()
    return 1
