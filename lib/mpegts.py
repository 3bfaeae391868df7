"""MPEG transport stream of one H.264 video (ISO/IEC 13818-1), packed into the caller's buffer.

    buffer:   | block, 8 KiB, written when full | overhang, 16 packets |
    packet:   | 47 | PUSI, PID | 10: payload, 30: adaptation field first; counter | 184 bytes |
    per unit: | PUSI, PCR, maybe stuffing | PES header with PTS | AUD | [SPS, PPS] | unit ... |
              | 184 bytes of it | ... | 184 bytes of it |
              | stuffing | the last bytes of it |

An IDR unit has PAT and PMT before it, and SPS and PPS put in if it has none.
Feed access units and write the block each time that `fill()` says it is full:

    muxer.feed(unit, pts_90k, is_key)
    while muxer.fill():
        file.write(muxer.block)

Invariant: nothing is allocated per access unit. To name a part of a buffer
MicroPython allocates a view, but a stream's `write(buf, off, n)` does without:
so the bytes of a unit go through a small RingIO into views made beforehand.
Hot methods have few locals: a frame of over 11 words would be allocated, too.

Pure: no IO.
"""

from struct import pack_into

import psi
from annexb import AUD, PPS, SPS, START_CODE_BYTES, find_nal, is_slice, nal_begin, nal_type
from micropython import RingIO, const
from protocol_error import ProtocolError

_PACKET = const(188)
_PAYLOAD = const(184)
_RUN = const(16)  # packets: one turn of the continuity counter
_RUN_BYTES = const(16 * 188)

BLOCK_BYTES = const(8192)
BUFFER_BYTES = const(8192 + 16 * 188)

_CLOCK_MASK = (1 << 33) - 1
# A picture is shown this long after its first bytes arrive; ffmpeg's choice.
PTS_DELAY_90K = const(63000)
_MAX_PCR_STEP_90K = const(9000)  # 100 ms (ISO/IEC 13818-1, 2.7.2)
_MAX_GAP_90K = const(90000)  # beyond, or backwards, a new time base begins

# Header, length and flags of an adaptation field, PCR; stuffing follows as far as needed.
_FIRST = b"\x47\x41\x00" + bytes(9) + b"\xff" * 176
_CLOCK = b"\x47\x01\x00\x20\xb7\x10" + bytes(6) + b"\xff" * 176
_LAST = b"\x47\x01\x00\x30\x00\x00" + b"\xff" * 182
_CLOCK_BYTES = const(12)
_CLOCK_FIELD = const(7)  # adaptation_field_length without stuffing
_FLAG_PCR = const(0x10)
_FLAG_IDR = const(0x40)
_FLAG_NEW_TIME_BASE = const(0x80)

# A PES header for video, data aligned, with PTS only; an access unit delimiter for all slice types.
_PES = b"\x00\x00\x01\xe0\x00\x00\x84\x80\x05\x00\x00\x00\x00\x00\x00\x00\x00\x01\x09\xf0"
_PES_BYTES = const(20)
_PES_UNCOUNTED = const(6)  # bytes up to and with PES_packet_length
_FIRST_ROOM = const(188 - 12)
_MAX_SETS_BYTES = const(188 - 12 - 20)


class TsMuxer:
    """Packs access units; `buffer` has BUFFER_BYTES. `block` is what to write."""

    def __init__(self, buffer):
        if len(buffer) != BUFFER_BYTES:
            raise ValueError("the muxer's buffer must have %d bytes" % BUFFER_BYTES)
        self._out = memoryview(buffer)
        self.block = self._out[:BLOCK_BYTES]
        self._carry = self._out[:_RUN_BYTES], self._out[BLOCK_BYTES:]
        self._slots = _Slots()
        self._tables = psi.pat_packet(), psi.pmt_packet()
        self._first, self._clock, self._last = bytearray(_FIRST), bytearray(_CLOCK), bytearray(_LAST)
        self._pes = bytearray(_PES + bytes(_MAX_SETS_BYTES))
        self._sets_bytes = 0
        self.restart()

    def restart(self):
        """Begin a new stream in an empty block. The last SPS and PPS stay known."""
        self.tail_bytes = 0  # bytes of the block that `fill()` did not ask to write; ends a file
        self._is_full = False
        self._pcr = -1
        self._unit = b""
        self._end = self._left = 0
        self._slots.counter = 0
        for packet in self._tables:
            packet[3] = 0x10

    def feed(self, unit, pts_90k, is_key):
        """Take one Annex-B access unit, which must stay in place until `fill()` gives False.

        The stream's clock (PCR) shows `pts_90k` when the unit arrives, and the unit is to be
        shown PTS_DELAY_90K later. ProtocolError if it has no NAL unit.
        """
        self._unit = unit
        self._end = len(unit)
        self._left = self._end - _delimiter_bytes(unit)
        flags = self._keep_time(pts_90k & _CLOCK_MASK)
        head_bytes = _PES_BYTES
        if is_key:
            flags |= _FLAG_IDR
            self._put_tables()
            if not self._keep_parameter_sets(unit):
                head_bytes += self._sets_bytes
        self._put_first(flags, head_bytes)

    def fill(self):
        """Pack on until the block is full (True: write it) or the access unit is in it (False)."""
        at = self.tail_bytes
        if self._is_full:
            front, overhang = self._carry
            front[:] = overhang
            at -= BLOCK_BYTES
        while at < BLOCK_BYTES and self._left >= _PAYLOAD:
            at += self._put_run(at)
        self.tail_bytes = at
        if at < BLOCK_BYTES and self._left:
            self._put_last()
        self._is_full = self.tail_bytes >= BLOCK_BYTES
        return self._is_full

    def _put_run(self, at):
        """Up to 16 packets of payload alone. What is behind the last one is overwritten later."""
        left = self._left
        count = left // _PAYLOAD if left < _RUN * _PAYLOAD else _RUN
        image = self._slots.load(self._unit, self._end - left, count)
        self._out[at : at + _RUN_BYTES] = image
        self._left = left - count * _PAYLOAD
        return count * _PACKET

    def _put_tables(self):
        for packet in self._tables:
            self._put(packet)
            psi.next_counter(packet)

    def _put_first(self, flags, head_bytes):
        stuffing = _FIRST_ROOM - head_bytes - self._left
        if stuffing < 0:
            stuffing = 0
        packet = self._first
        packet[3] = 0x30 | self._slots.counter
        packet[4] = _CLOCK_FIELD + stuffing
        packet[5] = flags
        _write_pcr(packet, self._pcr)
        _write_pes(self._pes, head_bytes + self._left - _PES_UNCOUNTED, self._pcr + PTS_DELAY_90K)
        self._slots.write(packet, _CLOCK_BYTES + stuffing)
        self._slots.write(self._pes, head_bytes)
        self._put_unit(_FIRST_ROOM - head_bytes - stuffing)

    def _put_last(self):
        packet = self._last
        packet[3] = 0x30 | self._slots.counter
        packet[4] = _PAYLOAD - 1 - self._left
        self._slots.write(packet, _PACKET - self._left)
        self._put_unit(self._left)

    def _put_unit(self, count):
        """Complete the packet begun in the slots with `count` bytes of the unit."""
        self._slots.write(self._unit, self._end - self._left, count)
        self._left -= count
        self._put(self._slots.packet())

    def _put(self, packet):
        at = self.tail_bytes
        self._out[at : at + _PACKET] = packet
        self.tail_bytes = at + _PACKET

    def _keep_time(self, pcr):
        """Bring the clock to this unit's time; returns the adaptation field's flags."""
        gap = (pcr - self._pcr) & _CLOCK_MASK
        is_jump = gap > _MAX_GAP_90K and self._pcr >= 0
        if gap <= _MAX_GAP_90K and self._pcr >= 0:
            while gap > _MAX_PCR_STEP_90K:
                gap -= _MAX_PCR_STEP_90K
                self._put_clock((pcr - gap) & _CLOCK_MASK)
        self._pcr = pcr
        return _FLAG_NEW_TIME_BASE | _FLAG_PCR if is_jump else _FLAG_PCR

    def _put_clock(self, pcr):
        """A packet of nothing but a PCR, when units are further apart than PCRs may be."""
        packet = self._clock
        packet[3] = 0x20 | (self._slots.counter - 1) & 15  # without payload it stands still
        _write_pcr(packet, pcr)
        self._put(packet)

    def _keep_parameter_sets(self, unit):
        """Remember the SPS and PPS before an IDR picture; False if it does not have both."""
        kinds, begin = 0, -1
        at = find_nal(unit, 0, self._end)
        while at >= 0:
            kind = nal_type(unit, at)
            if kind == SPS or kind == PPS:
                kinds |= kind
                begin = at if begin < 0 else begin
            elif begin >= 0 or is_slice(kind):
                break
            at = find_nal(unit, at + START_CODE_BYTES, self._end)
        if kinds != SPS | PPS:
            return False
        self._copy_sets(unit, begin, at if at >= 0 else self._end)
        return True

    def _copy_sets(self, unit, begin, stop):
        """Keep unit[begin:stop] behind a zero byte; sets too long for a first packet are not kept."""
        pes = self._pes
        count = stop - begin + 1
        self._sets_bytes = count if count <= _MAX_SETS_BYTES else 0
        for i in range(1, self._sets_bytes):
            pes[_PES_BYTES + i] = unit[begin + i - 1]


class _Slots:
    """Packets of payload alone, whose headers never change: slot i has counter i mod 16.

    There are 31, so that a run of 16 can begin with any counter. `write` takes bytes of a packet
    with another header, `packet` gives it.
    """

    def __init__(self):
        headers = [bytes((0x47, psi.VIDEO_PID >> 8, psi.VIDEO_PID & 0xFF, 0x10 | i & 15)) for i in range(31)]
        slots = memoryview(bytearray(b"".join([header + bytes(_PAYLOAD) for header in headers])))
        starts = range(0, len(slots), _PACKET)
        payloads = [slots[at + 4 : at + _PACKET] for at in starts]
        ring = RingIO(_RUN * _PAYLOAD)
        self.counter = 0
        self.write = ring.write
        self._take = ring.readinto
        self._packet = bytearray(_PACKET)
        self._runs = tuple(tuple(payloads[i : i + _RUN]) for i in range(_RUN))
        self._images = tuple(slots[at : at + _RUN_BYTES] for at in starts[:_RUN])

    def load(self, unit, off, count):
        """The view of 16 slots of which `count` have been filled with the unit's bytes."""
        counter = self.counter
        self.counter = (counter + count) & 15
        self.write(unit, off, count * _PAYLOAD)
        _scatter(self._take, self._runs[counter])
        return self._images[counter]

    def packet(self):
        self.counter = (self.counter + 1) & 15
        self._take(self._packet)
        return self._packet


def _scatter(take, views):
    for view in views:
        if not take(view):
            return


def _delimiter_bytes(unit):
    """Length of the unit's own delimiter, which makes way for ours."""
    end = len(unit)
    at = find_nal(unit, 0, end)
    if at >= 0 and nal_type(unit, at) == AUD:
        at = find_nal(unit, at + START_CODE_BYTES, end)
        if at >= 0:
            return nal_begin(unit, at)
    if at < 0:
        raise ProtocolError("the access unit has no NAL unit")
    return 0


def _write_pcr(packet, pcr):
    """33 bits of 90 kHz, 6 reserved, 9 of 27 MHz (2.4.3.5)."""
    pack_into(">IH", packet, 6, pcr >> 1, (pcr & 1) << 15 | 0x7E00)


def _write_pes(pes, size, pts):
    """PES_packet_length, left open where video is too long for it, and PTS (2.4.3.7)."""
    if size > 0xFFFF:
        size = 0
    pes[4] = size >> 8
    pes[5] = size & 0xFF
    pes[9] = 0x21 | pts >> 29 & 0x0E
    pack_into(">HH", pes, 10, pts >> 14 & 0xFFFE | 1, (pts & 0x7FFF) << 1 | 1)
