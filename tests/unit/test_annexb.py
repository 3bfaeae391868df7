"""Byte streams cut into access units however they arrive, and the picture size out of an SPS."""

from annexb import AccessUnits, find_nal, nal_begin, nal_type, picture_size
from harness import eq, raises
from nal_units import AUD, IDR, PPS, SEI, SLICE, Bits, idr_unit, nal, pps, slice_nal, sps, units
from protocol_error import ProtocolError

SHORT = b"\x00\x00\x01"
DELIMITER = nal(AUD, b"\xf0")
MESSAGE = nal(SEI, b"\x05\x01\x2a\x80")

# Pictures as (bytes, is_key); each begins in another way.
PICTURES = (
    (sps() + pps() + slice_nal(IDR, 0), True),
    (slice_nal(SLICE, 1), False),
    (slice_nal(SLICE, 2, start=SHORT), False),
    (DELIMITER + slice_nal(SLICE, 3), False),
    (MESSAGE + slice_nal(SLICE, 4) + slice_nal(SLICE, 4, first=False), False),
    (
        DELIMITER
        + sps(start=SHORT)
        + pps()
        + MESSAGE
        + slice_nal(IDR, 5, start=SHORT)
        + slice_nal(IDR, 5, first=False, start=SHORT)
        + slice_nal(IDR, 5, first=False),
        True,
    ),
    (pps() + slice_nal(SLICE, 6), False),
    (nal(14, b"\x80\x80\x80") + slice_nal(SLICE, 7), False),
    (slice_nal(2, 8) + nal(3, b"\x80\x99\x99") + nal(4, b"\x80\x88\x88"), False),
    (slice_nal(IDR, 9), True),
)
STREAM = b"".join([picture for picture, _ in PICTURES])


def cut(chunks, buffer_bytes=4096):
    """All access units of a stream that comes in these chunks."""
    splitter, found = AccessUnits(bytearray(buffer_bytes)), []

    def take():
        unit = splitter.next_unit()
        while unit is not None:
            found.append((bytes(unit[0]), unit[1]))
            unit = splitter.next_unit()

    for chunk in chunks:
        while chunk:
            count = min(len(chunk), len(splitter.free()))
            splitter.free()[:count] = chunk[:count]
            splitter.fed(count)
            chunk = chunk[count:]
            take()
    splitter.free()
    splitter.fed(0)
    take()
    eq(splitter.next_unit(), None, "after the end")
    return found


def test_every_split_point():
    for at in range(1, len(STREAM)):
        eq(cut((STREAM[:at], STREAM[at:])), list(PICTURES), "split at %d" % at)


def test_every_chunk_size():
    for size in range(1, 40):
        chunks = [STREAM[at : at + size] for at in range(0, len(STREAM), size)]
        eq(cut(chunks, 512), list(PICTURES), "chunks of %d" % size)


def test_a_picture_is_handed_out_as_soon_as_the_next_begins():
    splitter = AccessUnits(bytearray(4096))
    first, second = idr_unit(0), slice_nal(SLICE, 1)
    seen = first + second[:5]  # of the second its start code and header, yet not its first bit
    splitter.free()[: len(seen)] = seen
    splitter.fed(len(seen))
    eq(splitter.next_unit(), None)
    splitter.free()[:1] = second[5:6]
    splitter.fed(1)
    unit, is_key = splitter.next_unit()
    eq((bytes(unit), is_key), (first, True))
    eq(splitter.next_unit(), None, "the second has not ended")


def test_the_unit_lies_in_the_caller_s_buffer():
    buffer = bytearray(256)
    splitter = AccessUnits(buffer)
    stream = idr_unit(0) + slice_nal(SLICE, 1)
    splitter.free()[: len(stream)] = stream
    splitter.fed(len(stream))
    unit, _ = splitter.next_unit()
    buffer[len(unit) - 1] = 0x5A
    eq(unit[len(unit) - 1], 0x5A)


def test_no_byte_is_lost_between_units():
    stray = b"\x00\x00\x00" + STREAM + b"\x00\x00"
    eq(b"".join([unit for unit, _ in cut((stray,))]), stray)


def test_zeros_inside_a_slice_are_no_start_code():
    picture = nal(SLICE, b"\x80\x00\x00\x00\x00\x01\x00\x00\x01\xaa")
    assert SHORT not in picture[4:], "the emulation prevention must be there"
    pictures = [(idr_unit(0), True), (picture, False), (slice_nal(SLICE, 2), False)]
    for at in range(1, len(picture)):
        head = pictures[0][0] + picture[:at]
        eq(cut((head, picture[at:] + pictures[2][0])), pictures, "split at %d" % at)


def test_without_a_slice_there_is_no_unit():
    for stream in (b"", b"\x00" * 50, b"no video", sps() + pps(), DELIMITER):
        eq(cut((stream,)) if stream else cut(()), [])


def test_parameter_sets_at_the_end_are_no_unit():
    eq(cut((idr_unit(0) + sps() + pps(),)), [(idr_unit(0), True)])


def test_end_of_sequence_belongs_to_the_picture_before():
    end = nal(10, b"")
    pictures = [(idr_unit(0) + end, True), (idr_unit(1) + end, True)]
    eq(cut((b"".join([unit for unit, _ in pictures]),)), pictures)


def test_restart_forgets_what_was_there():
    splitter = AccessUnits(bytearray(256))
    left = idr_unit(0) + slice_nal(SLICE, 1)[:9]
    splitter.free()[: len(left)] = left
    splitter.fed(len(left))
    assert splitter.next_unit()[1]
    splitter.fed(0)
    assert splitter.at_end
    splitter.restart()
    assert not splitter.at_end
    stream = slice_nal(SLICE, 2) + slice_nal(SLICE, 3)
    splitter.free()[: len(stream)] = stream
    splitter.fed(len(stream))
    unit, is_key = splitter.next_unit()
    eq((bytes(unit), is_key), (slice_nal(SLICE, 2), False))


def test_a_unit_larger_than_the_buffer():
    """A unit is known to end by the next one's first six bytes, which must fit in, too."""
    large = slice_nal(SLICE, 1, 400)
    pictures = [(idr_unit(0), True), (large, False), (slice_nal(SLICE, 2), False)]
    stream = b"".join([unit for unit, _ in pictures])
    chunks = [stream[at : at + 10] for at in range(0, len(stream), 10)]
    eq(cut(chunks, len(large) + 16), pictures)
    error = raises(ProtocolError, cut, chunks, len(large))
    assert "%d bytes" % len(large) in str(error), error


def test_find_nal():
    stream = b"\x00\x00\x00\x01\x67\x01\x00\x01\x00\x00\x02\x00\x00\x01\x65\x00\x00\x01"
    eq(find_nal(stream, 0, len(stream)), 1)
    eq(nal_begin(stream, 1), 0)
    eq(nal_type(stream, 1), 7)
    eq(find_nal(stream, 2, len(stream)), 11)
    eq(nal_begin(stream, 11), 11, "the byte before is no zero")
    eq(find_nal(stream, 12, len(stream)), -1, "a start code without a header")
    eq(find_nal(stream, 2, 14), -1, "nothing beyond the end is looked at")
    eq(find_nal(memoryview(stream), 2, 15), 11)


def test_find_nal_wherever_it_is():
    for filler in (b"\x00", b"\x01", b"\x03", b"\xff"):
        for before in range(8):
            stream = filler * before + SHORT + b"\x41\x80"
            eq(find_nal(stream, 0, len(stream)), before, "%d of %r" % (before, filler))


def high(profile, chroma, separate=0, lists=None):
    """The beginning of an SPS of a high profile; `lists`: delta scales, None for an absent list."""
    bits = Bits().u(profile, 8).u(0x0028, 16).ue(0, chroma)
    if chroma == 3:
        bits.u(separate, 1)
    bits.ue(0, 0).u(0, 1).u(1 if lists else 0, 1)
    for deltas in lists or ():
        bits.u(0 if deltas is None else 1, 1)
        bits.se(*(deltas or ()))
    return bits.ue(0)


# Ends a list early: the first scale becomes 8 + -8 = 0.
EARLY = (-8,)
EIGHT_LISTS = ([1] * 16, None, EARLY, (4, -12), None, [0] * 16, [2, -2] * 32, EARLY)

SIZES = (
    ({"columns": 20, "rows": 15}, (320, 240)),
    ({"columns": 80, "rows": 45}, (1280, 720)),
    ({"columns": 120, "rows": 68, "crop": (0, 0, 0, 4)}, (1920, 1080)),
    ({"columns": 45, "rows": 36, "crop": (3, 2, 1, 0)}, (710, 574)),
    ({"columns": 120, "rows": 34, "crop": (0, 0, 0, 2), "frame_only": 0}, (1920, 1080)),
    ({"order": (1, -7, 12, 0)}, (320, 240)),
    ({"order": (1,)}, (320, 240)),
    ({"order": (2,)}, (320, 240)),
    ({"head": high(100, 1), "crop": (1, 1, 1, 1)}, (316, 236)),
    ({"head": high(122, 2), "crop": (1, 1, 1, 1)}, (316, 238)),
    ({"head": high(244, 3), "crop": (1, 1, 1, 1)}, (318, 238)),
    ({"head": high(244, 3, 1), "crop": (1, 1, 1, 1)}, (318, 238)),
    ({"head": high(110, 0), "crop": (1, 1, 1, 1)}, (318, 238)),
    ({"head": high(100, 1, lists=EIGHT_LISTS)}, (320, 240)),
    ({"head": high(244, 3, lists=EIGHT_LISTS + (None, EARLY, [1] * 64, None))}, (320, 240)),
)


def test_picture_sizes():
    for case, size in SIZES:
        eq(picture_size(DELIMITER + sps(**case) + pps() + slice_nal(IDR, 0)), size, repr(size))


def test_an_encoder_s_own_parameter_set():
    """640x360 in 23 rows of macroblocks, with VUI and emulation prevention; by x264."""
    x264 = (
        b"\x00\x00\x00\x01\x67\x64\x00\x1e\xac\xd9\x40\xa0\x2f\xf9\x70\x11"
        b"\x00\x00\x03\x00\x01\x00\x00\x03\x00\x32\x0f\x16\x2d\x96"
    )
    eq(picture_size(x264), (640, 360))


def test_emulation_prevention_in_front_of_the_size():
    made = sps(columns=40, rows=17, head=Bits().u(66, 8).u(0, 16).ue(63, 0))
    assert b"\x42\x00\x00\x03\x02" in made, made
    eq(picture_size(made), (640, 272))


def test_unsound_parameter_sets():
    whole = sps(crop=(1, 1, 1, 1))
    for stop in range(5, len(whole) - 1):
        raises(ProtocolError, picture_size, whole[:stop])
    for unit in (
        b"",
        b"\x00\x00\x01",
        slice_nal(SLICE, 0),
        pps() + slice_nal(IDR, 0),
        nal(7, b"\x42\xc0\x1e" + bytes(20)),
        nal(7, b"\x42\xc0\x1e" + b"\x00\x00\x00\x00\xff" * 4),
        sps(crop=(80, 80, 0, 0)),
        sps(crop=(0, 0, 200, 0)),
    ):
        raises(ProtocolError, picture_size, unit)


def test_many_small_units():
    pictures = units(200, 10)
    stream = b"".join([unit for unit, _ in pictures])
    chunks = [stream[at : at + 97] for at in range(0, len(stream), 97)]
    eq(cut(chunks, 256), pictures)
    assert PPS == nal_type(stream, find_nal(stream, 8, 99))
