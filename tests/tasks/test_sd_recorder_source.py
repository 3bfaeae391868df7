"""What sources do: bad units, clocks that leap, other pictures, silence, death and return."""

import asyncio
from errno import EIO

from harness import eq, raises_async
from nal_units import IDR, idr_unit, pps, slice_nal, sps
from protocol_error import ProtocolError
from tasks.recorder_rig import PTS_END, STEP_90K, Rig, film, holds, inserted, is_one_stream

RINGS = (0, 99999)
BAD = (
    b"",
    b"\x00",
    b"\x00\x00\x01\x41",
    b"\x00\x00\x00\x01",
    b"\x00\x00\x00\x01\x41"[1:],
    b"\x41\x9a\x00\x11\x22\x33",
    b"\xff" * 700,
    bytes(700),
    b"\x00\x00\x00\x01\xc1\x9a\x11\x22",  # the forbidden bit
    b"\x01\x00\x00\x01\x41\x9a\x11",
    sps() + pps(),  # no slice
    b"\x00\x00\x00\x01\x06\x05\x01\xaa\x80",
)


def replaced(script, *changes):
    """The script with other units: (number, unit)."""
    made = list(script)
    for number, unit in changes:
        made[number] = (unit,) + made[number][1:]
    return made


async def test_what_is_no_access_unit_is_dropped():
    for bad in BAD:
        for ring_bytes in RINGS:
            rig, shown = Rig(ring_bytes=ring_bytes), film(20)
            await rig.play([rig.start()] + replaced(shown, (3, bad), (4, bad), (12, bad)))
            good = [shown[n] for n in range(20) if n not in (3, 4, 12)]
            holds(rig, rig.clips[0], good)
            eq((rig.recorder.dropped_units, len(rig.log)), (3, 2), "told once for a burst")
            eq((rig.told_of_source(), len(rig.seen)), ([], 17))


async def test_behind_an_idr_that_was_dropped_nothing_can_be_played():
    rig, shown = Rig(), film(20)
    await rig.play([rig.start()] + replaced(shown, (5, b"garbage")))
    holds(rig, rig.clips[0], shown[:5] + shown[10:])
    eq(rig.recorder.dropped_units, 1)


async def test_nothing_begins_before_parameter_sets_came():
    bare = [
        (slice_nal(IDR, n), True) if n % 5 == 0 else (film(n + 1)[n][0], False) for n in range(20)
    ]
    for first in (5, 10):
        shown = [(unit, n * STEP_90K, is_key) for n, (unit, is_key) in enumerate(bare)]
        shown[first] = idr_unit(first), first * STEP_90K, True
        for ring_bytes in RINGS:
            rig = Rig(ring_bytes=ring_bytes, pre_roll_ms=9999)
            await rig.play(inserted(shown, (0, rig.start())))
            holds(rig, rig.clips[0], shown[first:])
            eq(rig.clips[0].part, 0)


async def test_parameter_sets_that_came_long_before_the_clip_are_in_it():
    shown = [(slice_nal(IDR, n), n * STEP_90K, True) for n in range(20)]
    shown[0] = idr_unit(0), 0, True
    for ring_bytes in RINGS:
        rig = Rig(ring_bytes=ring_bytes)
        await rig.play(inserted(shown, (12, rig.start())))
        content = rig.read(rig.clips[0])
        eq(content.count(sps()[4:] + pps()), rig.clips[0].frames)


async def test_a_stream_that_never_has_parameter_sets_is_reported_until_it_has():
    rig = Rig(stall_ms=40)
    done = asyncio.Event()

    def bare():
        number = 0
        while not rig.told.is_set():
            yield slice_nal(IDR, number), number * STEP_90K, True
            number += 1
        done.set()
        for unit, pts_90k, is_key in film(10):
            yield unit, (pts_90k + number * STEP_90K) % PTS_END, is_key

    recorder = rig.build(bare())
    recorder.start("motion_detection", 2)
    await recorder.run()
    assert done.is_set()
    eq(rig.told_of_source(), ["ProtocolError", None])
    eq([clip.frames for clip in rig.clips], [10])
    eq(rig.source.starts, 1)


def of_size(columns, rows, unit):
    """An IDR unit of another size of picture."""
    return sps(columns, rows) + unit[len(sps()) :]


async def test_another_picture_size_begins_another_recording():
    shown = film(30)
    for number in (10, 15, 20, 25):
        unit, pts_90k, is_key = shown[number]
        shown[number] = of_size(40, 30, unit), pts_90k, is_key
    for ring_bytes in RINGS:
        rig = Rig(ring_bytes=ring_bytes, pre_roll_ms=500)
        await rig.play(inserted(shown, (6, rig.start())))
        sizes = [(clip.width, clip.height, clip.part, clip.frames) for clip in rig.clips]
        if ring_bytes:
            eq(sizes, [(320, 240, 0, 10), (640, 480, 0, 20)])
            for clip, pictures in zip(rig.clips, (shown[:10], shown[10:])):
                holds(rig, clip, pictures)
                is_one_stream(rig, [clip])
        else:
            eq(sizes, [(640, 480, 0, 20)])


async def test_another_picture_size_while_much_is_not_written_yet():
    shown = film(30)
    for number in (20, 25):
        unit, pts_90k, is_key = shown[number]
        shown[number] = of_size(40, 30, unit), pts_90k, is_key
    rig = Rig(ring_bytes=99999, pre_roll_ms=9999)
    await rig.play(inserted(shown, (19, rig.start())))
    eq([(clip.width, clip.frames) for clip in rig.clips], [(320, 20), (640, 10)])
    holds(rig, rig.clips[0], shown[:20])
    holds(rig, rig.clips[1], shown[20:])


async def test_a_frame_rate_that_is_measured_counts_for_the_next_clip():
    rig, shown = Rig(), film(40)

    def measured():
        rig.source.fps = 15

    steps = (0, rig.start()), (16, measured), (20, rig.stop), (25, rig.start())
    await rig.play(inserted(shown, *steps))
    eq([clip.fps for clip in rig.clips], [10, 15])


async def test_no_pre_roll_goes_back_beyond_another_picture():
    shown = film(30)
    for number in (10, 15, 20, 25):
        unit, pts_90k, is_key = shown[number]
        shown[number] = of_size(40, 30, unit), pts_90k, is_key
    rig = Rig(ring_bytes=99999, pre_roll_ms=9999)
    await rig.play(inserted(shown, (13, rig.start())))
    holds(rig, rig.clips[0], shown[10:])
    eq((rig.clips[0].width, rig.clips[0].height, rig.clips[0].pre_roll_ms), (640, 480, 200))


async def test_a_clock_that_leaps_leaves_the_time_of_the_clip_whole():
    for leap in (-STEP_90K - 1, -(10**6), 5 * 90000 + 1, 10**7, PTS_END // 2):
        for ring_bytes in RINGS:
            rig, shown = Rig(ring_bytes=ring_bytes), film(40)
            given = [
                (unit, (pts_90k + (leap if n >= 17 else 0)) % PTS_END, is_key)
                for n, (unit, pts_90k, is_key) in enumerate(shown)
            ]
            await rig.play([rig.start()] + given)
            (clip,) = rig.clips
            eq(clip.duration_ms, 4000, "%d" % leap)
            is_one_stream(rig, rig.clips)
            holds(rig, clip, shown)


async def test_a_pause_of_the_source_is_one_of_the_clip():
    shown = film(20) + film(20, first_90k=4 * 90000, first=20)
    rig = Rig()
    await rig.play([rig.start()] + shown)
    holds(rig, rig.clips[0], shown)
    eq(rig.clips[0].duration_ms, 6000)


async def test_time_stamps_that_stand_still_go_on_by_little():
    shown = film(20)
    given = [(unit, shown[n // 2 * 2][1], is_key) for n, (unit, _, is_key) in enumerate(shown)]
    rig = Rig()
    await rig.play([rig.start()] + given)
    eq(rig.clips[0].frames, 20)
    is_one_stream(rig, rig.clips)
    assert 1900 <= rig.clips[0].duration_ms <= 2000


async def test_a_source_that_fails_is_started_again_and_recording_goes_on():
    failures = (
        OSError(EIO, "gone"),
        EOFError("gone"),
        asyncio.TimeoutError("late"),
        ProtocolError("nonsense"),
    )
    for failure in failures:
        for ring_bytes in RINGS:
            rig = Rig(ring_bytes=ring_bytes, pre_roll_ms=500)
            first, second = film(23), film(20, first_90k=12345678)
            await rig.play(inserted(first, (6, rig.start())) + [failure], second)
            begin = 0 if ring_bytes else 10
            holds(rig, rig.clips[0], first[begin:])
            holds(rig, rig.clips[1], second)
            eq([clip.part for clip in rig.clips], [0, 0])
            eq(rig.verbs()[:3], ["started", "clip", "source"])
            eq(rig.told_of_source(), [type(failure).__name__, None])
            eq((rig.source.starts, rig.source.stops), (2, 2))


async def test_a_source_that_cannot_be_started_is_reported_once_for_each_reason():
    refused, late = OSError(EIO, "refused"), asyncio.TimeoutError("late")
    rig = Rig()
    rig.build(refused, refused, refused, late, late, refused, film(5))
    await rig.recorder.run()
    eq(rig.told_of_source(), ["OSError", "TimeoutError", "OSError", None])
    eq(rig.source.starts, 7)
    eq(rig.clips, [])


async def test_a_source_that_falls_silent_ends_the_clip_and_is_started_again():
    rig = Rig(stall_ms=40, ring_bytes=99999)
    first, second = film(13), film(8)
    await rig.play([rig.start()] + first + [asyncio.Event()], second)
    holds(rig, rig.clips[0], first)
    holds(rig, rig.clips[1], second)
    eq(rig.told_of_source(), ["TimeoutError", None])
    eq(rig.clips[0].duration_ms, 1300)


async def test_a_recorder_can_be_cancelled_while_its_source_is_silent():
    rig = Rig()
    rig.build([rig.start()] + film(7) + [asyncio.Event()])
    task = asyncio.create_task(rig.recorder.run())
    while len(rig.seen) < 7:
        await asyncio.sleep_ms(0)
    task.cancel()
    await raises_async(asyncio.CancelledError, task)
    holds(rig, rig.clips[0], film(7))
    eq((rig.source.stops, rig.told_of_source()), (1, []))


async def test_other_failures_end_the_recorder():
    rig = Rig()
    await raises_async(
        ValueError, rig.play([rig.start()] + film(12) + [ValueError("a fault of ours")])
    )
    holds(rig, rig.clips[0], film(12))
    eq((rig.source.starts, rig.source.stops), (1, 1))
