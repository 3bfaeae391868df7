"""Recordings of several clips: how one ends and the next goes on, and who may record at all."""

import block_writer
from harness import eq
from nal_units import pps, sps
from tasks.recorder_rig import (
    ALERT,
    MOTION,
    SCHEDULED,
    STEP_90K,
    Rig,
    film,
    holds,
    inserted,
    is_one_stream,
)
from tasks.ts_reader import pictures, slices

RINGS = (0, 4000, 99999)
ENOSPC = 28


def facts(rig):
    return [(clip.trigger, clip.part, clip.frames) for clip in rig.clips]


def check_parts(rig, shown):
    """All clips together hold these pictures, as one stream."""
    at = 0
    for clip in rig.clips:
        holds(rig, clip, shown[at : at + clip.frames], shown[0][1])
        at += clip.frames
    eq(at, len(shown))
    is_one_stream(rig, rig.clips)


async def test_a_recording_is_split_without_a_seam():
    for ring_bytes in RINGS:
        for size in (50, 3000):
            rig = Rig(ring_bytes=ring_bytes, max_clip_ms=1500, pre_roll_ms=700)
            shown = film(70, size, first_90k=(1 << 33) - 40 * STEP_90K)
            await rig.play(inserted(shown, (12, rig.start()), (63, rig.stop)))
            first = 63 - sum([clip.frames for clip in rig.clips])
            has_past = (
                ring_bytes > 5 * size
            )  # the start at 12 asks for an IDR picture at 4 or before
            eq(first, 0 if has_past else 15, "%d of %d bytes" % (size, ring_bytes))
            check_parts(rig, shown[first:63])
            eq([clip.part for clip in rig.clips], list(range(len(rig.clips))))
            eq([clip.duration_ms for clip in rig.clips], [clip.frames * 100 for clip in rig.clips])
            eq([clip.frames for clip in rig.clips[:-1]], [15] * (len(rig.clips) - 1))
            eq([clip.pre_roll_ms for clip in rig.clips[1:]], [0] * (len(rig.clips) - 1))
            eq(rig.clips[0].pre_roll_ms, 1100 if has_past else 0)


async def test_every_recording_begins_at_zero():
    rig, shown = Rig(max_clip_ms=1000), film(70)
    steps = (0, rig.start()), (23, rig.stop), (31, rig.start())
    await rig.play(inserted(shown, *steps))
    eq([clip.part for clip in rig.clips], [0, 1, 2, 0, 1, 2, 3])
    for clips, begin in ((rig.clips[:3], 0), (rig.clips[3:], 35)):
        is_one_stream(rig, clips)
        holds(rig, clips[0], shown[begin : begin + clips[0].frames])


async def test_a_switch_is_a_clip_of_its_own_from_the_next_idr():
    for ring_bytes in RINGS:
        rig, shown = Rig(ring_bytes=ring_bytes), film(60)
        steps = (0, rig.start(SCHEDULED)), (23, rig.switch(MOTION)), (41, rig.switch(SCHEDULED))
        await rig.play(inserted(shown, *steps))
        eq(facts(rig), [(SCHEDULED[0], 0, 25), (MOTION[0], 1, 20), (SCHEDULED[0], 2, 15)])
        eq([clip.priority for clip in rig.clips], [1, 2, 1])
        eq(
            [event[2:] for event in rig.events if event[0] == "started"],
            [SCHEDULED, MOTION, SCHEDULED],
        )
        check_parts(rig, shown)


async def test_a_switch_while_nothing_is_recorded_is_a_start():
    rig, shown = Rig(ring_bytes=99999, pre_roll_ms=500), film(30)
    await rig.play(inserted(shown, (13, rig.start(MOTION)), (13, rig.switch(SCHEDULED))))
    eq(facts(rig), [(SCHEDULED[0], 0, 25)])
    eq(rig.clips[0].pre_roll_ms, 700)


async def test_what_a_switch_has_to_do_with_start_and_stop():
    for steps, expected in (
        # before the IDR picture at 10 there is nothing to be seen of it
        ([(6, "switch", MOTION), (8, "stop", None)], [(SCHEDULED[0], 0, 8)]),
        ([(6, "switch", MOTION), (7, "switch", ALERT)], [(SCHEDULED[0], 0, 10), (ALERT[0], 1, 10)]),
        ([(6, "switch", MOTION), (7, "start", ALERT)], [(SCHEDULED[0], 0, 10), (ALERT[0], 1, 10)]),
        ([(6, "switch", ALERT), (7, "start", MOTION)], [(SCHEDULED[0], 0, 10), (ALERT[0], 1, 10)]),
        ([(6, "stop", None), (6, "switch", ALERT)], [(SCHEDULED[0], 0, 10), (ALERT[0], 1, 10)]),
    ):
        rig = Rig()
        script = [(0, rig.start(SCHEDULED))]
        for number, verb, trigger in steps:
            script.append((number, rig.stop if verb == "stop" else getattr(rig, verb)(trigger)))
        await rig.play(inserted(film(20), *script))
        eq(facts(rig), expected)
        eq([verb for verb in rig.verbs() if verb == "raised"], [])


async def test_a_higher_priority_raises_the_clip_in_place_and_what_follows():
    rig, shown = Rig(max_clip_ms=1000), film(25)
    steps = (
        (0, rig.start(MOTION)),
        (3, rig.start(ALERT)),
        (4, rig.start(MOTION)),
        (5, rig.start(ALERT)),
    )
    await rig.play(inserted(shown, *steps))
    path = rig.folder + "/m0000001.ts"
    eq(rig.events[:3], [("started", path) + MOTION, ("raised", path) + ALERT, ("clip", path)])
    eq(rig.events[3], ("started", rig.folder + "/s0000002.ts") + ALERT)
    eq(facts(rig), [(ALERT[0], 0, 10), (ALERT[0], 1, 10), (ALERT[0], 2, 5)])


async def test_the_poster_is_the_first_picture_and_what_it_needs():
    for size in (50, 8000, 12000):
        rig, shown = Rig(max_clip_ms=1000), film(12, size)
        await rig.play([rig.start()] + shown)
        eq(len(rig.clips), 2)
        for clip in rig.clips:
            poster = rig.read(clip)[: clip.poster_bytes]
            eq(len(pictures(poster)), 1)
            eq(pictures(poster)[0][0], pictures(rig.read(clip))[0][0])
            assert sps()[4:] in poster and pps()[4:] in poster
            after = rig.read(clip)[clip.poster_bytes :][:2]
            eq(after, b"\x47\x41", "the next picture begins")


async def test_nothing_begins_while_recording_is_not_allowed():
    for ring_bytes in (0, 99999):
        rig, shown = Rig(ring_bytes=ring_bytes, pre_roll_ms=100), film(40)
        rig.may_record = False
        steps = (3, rig.start(ALERT)), (17, rig.allow(True)), (31, rig.stop)
        await rig.play(inserted(shown, *steps))
        (clip,) = rig.clips
        holds(rig, clip, shown[31 - clip.frames : 31])
        eq(clip.frames, 11 if ring_bytes == 0 else 16, "begins at 20, with a ring at 15")
        eq(set(rig.asked), {ALERT[1]})


async def test_a_clip_ends_cleanly_when_recording_is_allowed_no_more():
    for ring_bytes in RINGS[:2]:
        rig, shown = Rig(ring_bytes=ring_bytes), film(90, 2000)
        steps = (0, rig.start()), (10, rig.allow(False)), (42, rig.allow(True)), (85, rig.stop)
        await rig.play(inserted(shown, *steps))
        first, second = rig.clips
        assert 20 <= first.frames <= 22, first.frames  # at the first flush: two seconds
        holds(rig, first, shown[: first.frames])
        holds(rig, second, shown[85 - second.frames : 85])
        assert 40 <= 85 - second.frames <= 45
        eq((rig.errors, first.part, second.part), ([], 0, 0))
        eq(first.duration_ms, first.frames * 100)


async def test_a_split_that_is_not_allowed_is_an_end():
    rig, shown = Rig(max_clip_ms=1000), film(60, 50)
    await rig.play(inserted(shown, (0, rig.start()), (9, rig.allow(False)), (33, rig.allow(True))))
    eq(facts(rig), [(MOTION[0], 0, 10), (MOTION[0], 0, 10), (MOTION[0], 1, 10), (MOTION[0], 2, 5)])
    holds(rig, rig.clips[1], shown[35:45])


async def test_little_footage_is_brought_to_the_card_every_two_seconds():
    rig, shown = Rig(), film(65, 1000)  # ten a second, each a seventh of a block
    await rig.play([rig.start()] + shown)
    (clip,) = rig.clips
    holds(rig, clip, shown)
    content = rig.read(clip)
    whole = [size - size % 188 for size in rig.grown]
    for count, size in zip((21, 41, 61), whole):
        assert count - 8 <= len(pictures(content[:size])) <= count, (count, size)
    eq([size % 8192 for size in rig.grown], [0, 0, 0])


class FullCard:
    """In place of block_writer's open(): a card that is full after so many bytes."""

    def __init__(self, free_bytes):
        self.free_bytes = free_bytes

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
        self._card.free_bytes -= len(data)
        if self._card.free_bytes < 0:
            raise OSError(ENOSPC, "full")
        return self._file.write(data)


async def test_a_full_card_ends_the_clip_and_the_next_begins_when_there_is_room():
    rig, shown = Rig(ring_bytes=99999, pre_roll_ms=1000), film(150, 2000)
    with FullCard(130000) as card:

        def make_room():
            card.free_bytes = 1 << 30

        steps = (0, rig.start()), (100, make_room)
        await rig.play(inserted(shown, *steps))
    eq([error.errno for error in rig.errors], [ENOSPC])
    eq(rig.verbs(), ["started", "error", "started", "clip"])
    holds(rig, rig.clips[0], shown[150 - rig.clips[0].frames :])
    with open(rig.folder + "/m0000001.ts", "rb") as file:
        content = file.read()
    assert 80000 <= rig.grown[1] <= len(content) <= 130000, rig.grown
    found = pictures(content[: len(content) // 188 * 188])[:-1]
    assert len(found) > 38, len(found)
    eq([one[0] for one in found], [slices(unit) for unit, _, _ in shown[: len(found)]])
