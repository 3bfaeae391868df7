"""The transport stream: taken apart again packet by packet, as a decoder does."""

import micropython

import psi
from harness import eq, raises
from mpegts import BLOCK_BYTES, BUFFER_BYTES, PTS_DELAY_90K, TsMuxer

LONG, SHORT = b"\x00\x00\x00\x01", b"\x00\x00\x01"
AUD = LONG + b"\x09\x10"
OUR_AUD = LONG + b"\x09\xf0"
SPS = LONG + b"\x67\x42\xc0\x15\xd9\x00\xa0"
PPS = LONG + b"\x68\xcb\x83\xcb\x20"
SEI = SHORT + b"\x06\x05\x02\xaa\xbb\x80"
FRAME_90K = 3600
CLOCK = 1 << 33


def picture(size, header=b"\x41"):
    """A slice of so many bytes in all."""
    body = bytes([1 + i % 250 for i in range(251)])
    unit = LONG + header + b"\x9a"
    while len(unit) < size:
        unit += body[: size - len(unit)]
    return unit


def idr(size=300):
    return SPS + PPS + picture(size, b"\x65")


def mux(frames, muxer=None):
    """The stream of `(unit, pts_90k, is_key)` as the blocks it is given out in."""
    muxer = muxer or TsMuxer(bytearray(BUFFER_BYTES))
    blocks = []
    for unit, pts_90k, is_key in frames:
        muxer.feed(unit, 0, len(unit), pts_90k, is_key)
        while muxer.fill():
            blocks.append(bytes(muxer.block))
    assert muxer.tail_bytes < BLOCK_BYTES, muxer.tail_bytes
    blocks.append(bytes(muxer.block[: muxer.tail_bytes]))
    return blocks


class Unit:
    """One PES packet as the stream carried it."""

    def __init__(self):
        self.parts = []
        self.pcr = self.pts = None
        self.is_random_access = self.is_new_time_base = False
        self.tables = ()

    @property
    def payload(self):
        return b"".join(self.parts)


class Demuxer:
    """Takes a stream apart and checks what every packet must obey (ISO/IEC 13818-1, 2.4.3)."""

    def __init__(self, blocks):
        self.units = []
        self.pcrs = []
        self._counters = {}
        self._tables = ()
        rest = b""
        for block in blocks:
            rest += block
            whole = len(rest) - len(rest) % 188
            for at in range(0, whole, 188):
                self._packet(rest[at : at + 188])
            rest = rest[whole:]
        eq(rest, b"", "whole packets")

    def _packet(self, packet):
        eq(packet[0], 0x47, "sync byte")
        eq(packet[1] & 0xA0, 0, "transport error, priority")
        eq(packet[3] & 0xC0, 0, "scrambling")
        pid = (packet[1] & 0x1F) << 8 | packet[2]
        is_start, has_field, has_payload = packet[1] & 0x40, packet[3] & 0x20, packet[3] & 0x10
        self._count(pid, packet[3] & 15, has_payload)
        field = packet[5 : 5 + packet[4]] if has_field else b""
        payload = packet[5 + packet[4] :] if has_field else packet[4:]
        if pid == 0x100:
            self._video(is_start, field, payload if has_payload else b"")
        else:
            eq((is_start, has_field, has_payload), (0x40, 0, 0x10), "a table begins in its packet")
            self._tables += ((pid, section(payload)),)

    def _count(self, pid, counter, has_payload):
        expected = (self._counters.get(pid, -1 if has_payload else 0) + bool(has_payload)) & 15
        eq(counter, expected, "continuity counter of PID %d" % pid)
        self._counters[pid] = counter

    def _video(self, is_start, field, payload):
        pcr = self._field(field)
        if is_start:
            self.units.append(Unit())
            unit = self.units[-1]
            unit.tables, self._tables = self._tables, ()
            unit.pcr = pcr
            unit.is_new_time_base = bool(field[0] & 0x80)
            unit.is_random_access = bool(field[0] & 0x40)
            unit.pts, payload = pes(payload)
        if payload:
            eq(self._tables, (), "tables come before a unit, not within")
            self.units[-1].parts.append(payload)

    def _field(self, field):
        """The PCR in an adaptation field, after which there must be stuffing only."""
        if not field:
            return None
        eq(field[0] & 0x2F, 0, "flags")
        if not field[0] & 0x10:
            eq(field[1:], b"\xff" * (len(field) - 1))
            return None
        eq(field[7:], b"\xff" * (len(field) - 7))
        eq((field[5] & 0x7E, field[5] & 1, field[6]), (0x7E, 0, 0), "reserved bits, 27 MHz part")
        pcr = 0
        for byte in field[1:5]:
            pcr = pcr << 8 | byte
        pcr = pcr << 1 | field[5] >> 7
        self.pcrs.append(pcr)
        return pcr


def section(payload):
    """A table's section, whose CRC must be right and which only stuffing may follow."""
    eq(payload[0], 0, "pointer")
    length = (payload[2] & 0x0F) << 8 | payload[3]
    eq(crc(payload[1 : 4 + length]), 0, "CRC over a section with its CRC")
    eq(payload[4 + length :], b"\xff" * (len(payload) - 4 - length))
    return payload[1 : 4 + length - 4]


def crc(data):
    """CRC-32/MPEG-2 bit by bit, as the standard's decoder model shifts it."""
    register = 0xFFFFFFFF
    for byte in data:
        for i in range(8):
            feedback = register >> 31 ^ byte >> 7 - i & 1
            register = register << 1 & 0xFFFFFFFF
            if feedback:
                register ^= 0x04C11DB7
    return register


def pes(payload):
    """`(pts, rest)` of a PES packet with a PTS alone."""
    eq(payload[:4], b"\x00\x00\x01\xe0", "start code of a video stream")
    eq(payload[4:6], b"\x00\x00", "open length")
    eq(payload[6:9], b"\x84\x80\x05", "aligned, PTS, five bytes of it")
    a, b, c, d, e = payload[9:14]
    eq((a & 0xF1, c & 1, e & 1), (0x21, 1, 1), "marker bits")
    return (a >> 1 & 7) << 30 | b << 22 | (c >> 1) << 15 | d << 7 | e >> 1, payload[14:]


def test_the_check_value_of_the_crc():
    eq(psi.crc32(b"123456789"), 0x0376E6E7)


def test_the_tables_are_those_of_ffmpeg():
    unit = Demuxer(mux([(idr(), 0, True)])).units[0]
    pat = b"\x00\xb0\x0d\x00\x01\xc1\x00\x00\x00\x01\xf0\x00"
    pmt = b"\x02\xb0\x12\x00\x01\xc1\x00\x00\xe1\x00\xf0\x00\x1b\xe1\x00\xf0\x00"
    eq(unit.tables, ((0, pat), (0x1000, pmt)))


def test_every_size_of_access_unit_comes_through():
    # The first packet has room for 156 bytes, the others for 184; 32 packets go at a time.
    sizes = list(range(6, 360)) + [523, 524, 525, 526, 5859, 5860, 5861, 6044, 12000, 65535, 65536]
    muxer = TsMuxer(bytearray(BUFFER_BYTES))
    for size in sizes:
        frames = (idr(), 0, True), (picture(size), FRAME_90K, False), (picture(size), 7200, False)
        muxer.restart()
        units = Demuxer(mux(frames, muxer)).units
        eq(len(units), 3)
        for (sent, pts_90k, is_key), got in zip(frames, units):
            assert got.payload == OUR_AUD + sent, len(sent)
            eq((got.pts, got.pcr), (pts_90k + PTS_DELAY_90K, pts_90k))
            eq((got.is_random_access, bool(got.tables)), (is_key, is_key))
            assert not got.is_new_time_base


def test_any_buffer_holds_an_access_unit():
    for kind in (bytes, bytearray, memoryview):
        eq(Demuxer(mux([(kind(picture(500)), 0, False)])).units[0].payload, OUR_AUD + picture(500))


def payload_of(unit, is_key, muxer=None):
    muxer = muxer or TsMuxer(bytearray(BUFFER_BYTES))
    muxer.restart()
    return Demuxer(mux([(unit, 0, is_key)], muxer)).units[0].payload


def test_the_delimiter_is_always_ours():
    for after in (SPS + PPS + picture(50, b"\x65"), SHORT + b"\x41\x9a\x00\x03", picture(400)):
        for delimiter in (AUD, SHORT + b"\x09\x30"):
            eq(payload_of(delimiter + after, False), OUR_AUD + after)
    eq(payload_of(SHORT + b"\x41\x9a", False), OUR_AUD + SHORT + b"\x41\x9a")


def test_parameter_sets_are_put_in_before_an_idr_that_has_none():
    plain = picture(400, b"\x65")
    muxer = TsMuxer(bytearray(BUFFER_BYTES))
    eq(payload_of(plain, True, muxer), OUR_AUD + plain, "none are known yet")
    eq(payload_of(SPS + PPS + plain, True, muxer), OUR_AUD + SPS + PPS + plain)
    for unit in (plain, AUD + plain, SEI + plain, SPS + plain, PPS + plain):
        rest = unit[len(AUD) :] if unit[:6] == AUD else unit
        eq(payload_of(unit, True, muxer), OUR_AUD + SPS + PPS + rest)
    eq(payload_of(picture(400), False, muxer), OUR_AUD + picture(400), "no IDR, no sets")


def test_the_latest_parameter_sets_are_put_in():
    other = SPS + b"\x11\x22" + PPS + PPS
    plain = picture(100, b"\x65")
    muxer = TsMuxer(bytearray(BUFFER_BYTES))
    frames = [(SPS + PPS + plain, 0, True), (AUD + other + SEI + plain, 3600, True)]
    mux(frames + [(plain, 7200, True)], muxer)
    eq(payload_of(plain, True, muxer), OUR_AUD + other + plain)


def test_parameter_sets_longer_than_a_first_packet():
    """They come in whole packets; the zero bytes that fill them belong to no NAL unit."""
    for size in (100, 155, 156, 157, 339, 340, 600, 706, 707):
        sets = SPS + b"\x77" * (size - len(SPS + PPS) + 1) + PPS
        for plain in (
            picture(100, b"\x65"),
            picture(9000, b"\x65"),
            AUD + SEI + picture(9, b"\x65"),
        ):
            muxer = TsMuxer(bytearray(BUFFER_BYTES))
            mux([(sets + plain, 0, True)], muxer)
            got = payload_of(plain, True, muxer)
            rest = plain[len(AUD) :] if plain[:6] == AUD else plain
            eq(got[: len(OUR_AUD + sets)], OUR_AUD + sets, "%d bytes" % size)
            zeros = len(got) - len(OUR_AUD + sets + rest)
            eq(got[len(OUR_AUD + sets) :], bytes(zeros) + rest, "%d bytes" % size)
            eq(zeros, 0 if size < 156 else -(28 + 1 + size) % 184, "%d bytes" % size)


def test_parameter_sets_that_nothing_has_room_for_are_not_put_in():
    plain = picture(100, b"\x65")
    muxer = TsMuxer(bytearray(BUFFER_BYTES))
    mux([(SPS + PPS + plain, 0, True), (SPS + b"\x77" * 700 + PPS + plain, 0, True)], muxer)
    eq(payload_of(plain, True, muxer), OUR_AUD + plain, "the ones before would be wrong")


def test_a_stream_goes_on_in_another_file():
    for count, step_90k in ((60, FRAME_90K), (10, 45000), (4, 90000), (3, 90001)):
        frames = [
            (idr(3000 + i) if i % 2 == 0 else picture(500 + i), i * step_90k, i % 2 == 0)
            for i in range(count)
        ]
        muxer = TsMuxer(bytearray(BUFFER_BYTES))
        files = []
        for at in range(0, count, 2):
            if at:
                muxer.show_time(frames[at][1])
                while muxer.fill():
                    files[-1] += bytes(muxer.block)
                files[-1] += bytes(muxer.block[: muxer.tail_bytes])
                muxer.empty()
            files.append(b"")
            for unit, pts_90k, is_key in frames[at : at + 2]:
                muxer.feed(unit, 0, len(unit), pts_90k, is_key)
                while muxer.fill():
                    files[-1] += bytes(muxer.block)
        files[-1] += bytes(muxer.block[: muxer.tail_bytes])
        whole = Demuxer(files)
        eq([unit.payload for unit in whole.units], [OUR_AUD + frame[0] for frame in frames])
        eq([unit.pcr for unit in whole.units], [frame[1] for frame in frames])
        eq([unit.is_new_time_base for unit in whole.units[1:]], [step_90k > 90000] * (count - 1))
        steps = [b - a for a, b in zip(whole.pcrs, whole.pcrs[1:])]
        assert step_90k > 90000 or (0 < min(steps) and max(steps) <= 9000), steps
        for file in files:
            eq(len(file) % 188, 0)
            eq(file[:4][:3], b"\x47\x40\x00", "a file begins with its tables")


def pcr_steps(*pts_90k):
    demuxer = Demuxer(mux([(picture(300), pts, False) for pts in pts_90k]))
    eq([unit.pcr for unit in demuxer.units], [pts % CLOCK for pts in pts_90k])
    pcrs = demuxer.pcrs
    steps = [(b - a) % CLOCK for a, b in zip(pcrs, pcrs[1:])]
    return steps, [unit.is_new_time_base for unit in demuxer.units]


def test_the_clock_is_shown_every_100_ms_however_slow_the_source_is():
    for fps in (1, 2, 3, 5, 7, 9, 10, 30):
        steps, jumps = pcr_steps(*[i * 90000 // fps for i in range(4)])
        assert max(steps) <= 9000 and min(steps) > 0, (fps, steps)
        assert not any(jumps), fps


def test_a_jump_of_the_source_is_a_new_time_base():
    for gap_90k in (90001, 10**7, -1, -3600):
        steps, jumps = pcr_steps(10**6, 10**6 + gap_90k, 10**6 + gap_90k + 3600)
        eq(steps, [gap_90k % CLOCK, 3600])
        eq(jumps, [False, True, False], "%d" % gap_90k)


def test_the_clock_wraps_at_33_bits():
    begin = CLOCK - 5000
    steps, jumps = pcr_steps(begin, begin + 3600, begin + 7200, begin + 97200)
    eq(steps, [3600, 3600] + [9000] * 10)
    eq(jumps, [False] * 4)
    begin -= 90000  # and the PTS before the PCR
    units = Demuxer(mux([(picture(300), begin + i * 3600, False) for i in range(40)])).units
    eq(
        [unit.pts for unit in units],
        [(begin + i * 3600 + PTS_DELAY_90K) % CLOCK for i in range(40)],
    )


def test_restart_begins_a_stream_that_stands_alone():
    muxer = TsMuxer(bytearray(BUFFER_BYTES))
    frames = [(idr(), 0, True)] + [(picture(3000), i * FRAME_90K, False) for i in range(1, 9)]
    first = mux(frames, muxer)
    muxer.restart()
    eq(mux(frames, muxer), first)
    muxer.feed(picture(50000), 0, 50000, 0, False)  # given up half-way
    assert muxer.fill()
    muxer.restart()
    eq(mux(frames, muxer), first)


def test_blocks_and_units_meet_at_every_offset():
    muxer = TsMuxer(bytearray(BUFFER_BYTES))
    for turn in range(6):
        frames = [(idr(7000 + 97 * i), i * FRAME_90K, True) for i in range(turn * 8, turn * 8 + 8)]
        muxer.restart()
        blocks = mux(frames, muxer)
        eq([len(block) for block in blocks[:-1]], [BLOCK_BYTES] * (len(blocks) - 1))
        units = Demuxer(blocks).units
        eq(len(units), len(frames))
        for (sent, _, _), got in zip(frames, units):
            assert got.payload == OUR_AUD + sent, len(sent)


def test_the_buffer_must_have_its_size():
    raises(ValueError, TsMuxer, bytearray(BLOCK_BYTES))


def test_muxing_allocates_nothing():
    muxer = TsMuxer(bytearray(BUFFER_BYTES))
    key, plain_key = idr(40000), picture(9000, b"\x65")
    delimited, small, large = AUD + picture(5000), picture(60), memoryview(picture(70000))
    units = key, delimited, small, large, plain_key
    blocks = pts_90k = 0
    micropython.heap_lock()
    try:
        for _ in range(20):
            for unit in units:
                muxer.feed(unit, 0, len(unit), pts_90k, unit is key or unit is plain_key)
                while muxer.fill():
                    blocks += 1
                pts_90k += 18000  # 5 fps: PCR in between as well
            muxer.restart()
    finally:
        micropython.heap_unlock()
    eq(blocks, 300)
