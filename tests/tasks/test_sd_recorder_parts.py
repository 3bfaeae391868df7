"""Recordings of several clips: how one ends and the next goes on, and who may record at all."""

from harness import eq
from nal_units import SLICE, idr_unit, pps, slice_nal, sps
from tasks.recorder_rig import (
    ALERT,
    ALWAYS,
    ENOSPC,
    MOTION,
    SCHEDULED,
    STEP_90K,
    FullCard,
    Rig,
    film,
    holds,
    inserted,
    is_one_stream,
)
from tasks.ts_reader import pictures, slices

RINGS = (0, 4000, 99999)


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
    cut_out = [(SCHEDULED[0], 0, 10), (ALERT[0], 1, 10)]
    for steps, expected, raised in (
        ([(6, "switch", MOTION), (7, "switch", ALERT)], cut_out, 0),
        ([(6, "switch", MOTION), (7, "start", ALERT)], cut_out, 0),
        ([(6, "switch", ALERT), (7, "start", MOTION)], cut_out, 0),
        ([(6, "stop", None), (6, "switch", ALERT)], cut_out, 0),
        # what is over before the IDR picture at 10 raises the clip that shows it
        ([(6, "switch", MOTION), (8, "stop", None)], [(MOTION[0], 0, 8)], 1),
        (
            [(6, "switch", ALERT), (8, "switch", SCHEDULED)],
            [(ALERT[0], 0, 10), (SCHEDULED[0], 1, 10)],
            1,
        ),
        ([(6, "switch", ALWAYS), (8, "stop", None)], [(SCHEDULED[0], 0, 8)], 0),
    ):
        rig = Rig()
        script = [(0, rig.start(SCHEDULED))]
        for number, verb, trigger in steps:
            script.append((number, rig.stop if verb == "stop" else getattr(rig, verb)(trigger)))
        await rig.play(inserted(film(20), *script))
        eq(facts(rig), expected)
        eq(len([verb for verb in rig.verbs() if verb == "raised"]), raised)


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


async def test_what_waited_for_a_clip_that_ended_otherwise_is_not_taken_up_later():
    """The event is over before anything can be recorded again."""
    shown = film(60, gop=10)
    rig = Rig(ring_bytes=99999, max_clip_ms=1500)
    first = inserted(film(13, gop=10), (0, rig.start(ALWAYS)), (12, rig.switch(ALERT)))
    await rig.play(first + [OSError(5, "gone")], [rig.switch(ALWAYS)] + shown)
    eq([clip.trigger for clip in rig.clips], [ALERT[0]] + [ALWAYS[0]] * 3)
    eq([clip.priority for clip in rig.clips], [3, 0, 0, 0])

    rig, shown = Rig(max_clip_ms=3000), film(200, 1000, gop=20)
    with FullCard(1 << 30) as card:

        def fill():
            card.free_bytes = 0

        def make_room():
            card.free_bytes = 1 << 30

        steps = (24, rig.switch(ALERT)), (24, fill), (40, make_room), (60, rig.switch(ALWAYS))
        await rig.play(inserted(shown, (0, rig.start(ALWAYS)), *steps))
    assert len(rig.clips) > 2 and len(rig.errors) == 1
    eq({(clip.trigger, clip.priority) for clip in rig.clips}, {ALWAYS})


async def test_a_refused_background_does_not_keep_what_is_urgent_from_recording():
    for ring_bytes in (0, 99999):
        rig, shown = Rig(ring_bytes=ring_bytes, pre_roll_ms=500), film(60, 4000, gop=10)
        steps = (0, rig.start(ALWAYS)), (31, rig.allow_from(1)), (31, rig.switch(ALERT))
        await rig.play(inserted(shown, *steps))
        first, second = rig.clips
        eq((first.trigger, second.trigger, second.priority), (ALERT[0], ALERT[0], 3))
        holds(rig, first, shown[: first.frames])
        holds(rig, second, shown[60 - second.frames :])
        assert 31 < first.frames < 40, first.frames
        eq(
            second.frames,
            40 if ring_bytes else 20,
            "at once with its pre-roll; the next IDR picture",
        )


async def test_a_background_that_may_not_record_does_not_follow_an_event():
    for ring_bytes in (0, 99999):
        rig, shown = Rig(ring_bytes=ring_bytes, pre_roll_ms=1000), film(60, gop=10)
        rig.least = 1
        await rig.play(inserted(shown, (0, rig.start(ALERT)), (12, rig.switch(ALWAYS))))
        eq(facts(rig), [(ALERT[0], 0, 20)])


async def test_a_clip_that_grows_too_large_is_split():
    for ring_bytes in RINGS:
        rig, shown = Rig(ring_bytes=ring_bytes, split_bytes=30000), film(60, 2000)
        await rig.play([rig.start()] + shown)
        check_parts(rig, shown)
        eq([(clip.part, clip.frames) for clip in rig.clips], [(n, 15) for n in range(4)])


class Encoder:
    """A stream with an IDR picture only at its begin and where one was asked for."""

    def __init__(self, count, size):
        self._count, self._size = count, size
        self.shown = []
        self.wants_key = True
        self.asked = 0

    def request_key(self):
        self.asked += 1
        self.wants_key = True

    def __iter__(self):
        for number in range(self._count):
            is_key, self.wants_key = self.wants_key, False
            make = idr_unit if is_key else delta_unit
            self.shown.append((make(number, self._size), number * STEP_90K, is_key))
            yield self.shown[-1]


def room_is_made(card, after, script):
    for number, one in enumerate(script):
        if number == after:
            card.free_bytes = 1 << 30
        yield one


def delta_unit(number, size):
    return slice_nal(SLICE, number, size)


async def test_a_file_ends_below_its_limit_without_any_key_frame():
    for ring_bytes in RINGS[:2]:
        rig = Rig(ring_bytes=ring_bytes, split_bytes=20000, most_bytes=65536)
        shown = film(100, 2000, gop=1000)
        await rig.play([rig.start()] + shown)
        (clip,) = rig.clips
        assert 65536 <= clip.size_bytes < 2 * 65536, clip.size_bytes
        holds(rig, clip, shown[: clip.frames])
        eq(rig.errors, [])


async def test_a_source_that_can_be_asked_gives_the_key_frame_for_a_split():
    for ring_bytes in RINGS:
        encoder = Encoder(100, 700)
        rig = Rig(ring_bytes=ring_bytes, max_clip_ms=3000, request_key=encoder.request_key)
        rig.build(encoder).start(*MOTION)
        await rig.recorder.run()
        check_parts(rig, encoder.shown)
        assert {30 <= clip.frames <= 55 for clip in rig.clips[:-1]} == {True}, facts(rig)
        eq(encoder.asked, len(rig.clips) - 1)


async def test_a_source_that_can_be_asked_gives_the_key_frame_behind_a_card_that_failed():
    for ring_bytes in (0, 9999):
        encoder = Encoder(150, 1500)
        rig = Rig(ring_bytes=ring_bytes, request_key=encoder.request_key)
        with FullCard(40000) as card:
            rig.build(room_is_made(card, 40, encoder)).start(*MOTION)
            await rig.recorder.run()
        eq((len(rig.errors), len(rig.clips), encoder.asked), (1, 1, 1))
        (clip,) = rig.clips
        assert 60 <= clip.frames <= 90, clip.frames
        holds(rig, clip, encoder.shown[-clip.frames :])


async def test_a_source_that_fails_to_give_a_key_frame_is_told_of():
    def refuse():
        raise OSError(5, "the encoder failed")

    rig, shown = Rig(request_key=refuse), film(60, gop=40)
    await rig.play(inserted(shown, (3, rig.start())))
    holds(rig, rig.clips[0], shown[40:])
    eq(["the encoder failed" in line for line in rig.log], [True])


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
