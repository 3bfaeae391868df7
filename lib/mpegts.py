"""MPEG transport stream of one H.264 video (ISO/IEC 13818-1), packed into the caller's buffer.

    buffer: | block, 8 KiB, written when full | overhang, 43 packets |
    packet: | 47 | PUSI, PID | 10: payload, 30: adaptation field first; counter | 184 bytes |
    unit:   | PCR, stuffing | PES header with PTS | AUD | [SPS, PPS] | access unit ... |
            | 184 bytes of it | ... | 184 bytes of it |
            | stuffing | its last bytes |

Before an IDR unit come PAT and PMT, and in it SPS and PPS if it has none itself.
Feed access units and write the block each time that `fill()` says it is full:

    muxer.feed(unit, pts_90k, is_key)
    while muxer.fill():
        file.write(muxer.block)

Invariant: nothing is allocated per access unit. Therefore bytes go through
Slots, and what runs for every unit has few locals: MicroPython allocates frames
of more than 11 words.

Pure: no IO.
"""

from micropython import RingIO, const

import psi
from annexb import PPS, SPS, START_CODE_BYTES, find_nal, is_slice, nal_begin, nal_type
from ts_slots import Slots

_AUD = const(9)
_SETS = (SPS, PPS)
PACKET_BYTES = const(188)
_PACKET = const(188)
_PAYLOAD = const(184)
_RUN = const(32)
_RUN_BYTES = const(32 * 188)
# What one unit may put behind a full block: a run, two tables and nine packets of PCR alone.
_OVERHANG_BYTES = const(43 * 188)

BLOCK_BYTES = const(8192)
BUFFER_BYTES = const(8192 + 43 * 188)

_CLOCK_MASK = const(0x1FFFFFFFF)
# A picture is shown this long after its first bytes arrive; ffmpeg's choice.
PTS_DELAY_90K = const(63000)
_MAX_PCR_STEP_90K = const(9000)  # 100 ms (ISO/IEC 13818-1, 2.7.2)
_MAX_GAP_90K = const(90000)  # beyond, or backwards, a new time base begins

# What precedes the access unit: adaptation field with length, flags and PCR (behind four bytes in
# place of the packet header); PES header of a video of open length, data aligned, with PTS; access
# unit delimiter for slices of all types.
_FIRST = bytes(4) + b"\x07" + bytes(7)
_PES = b"\x00\x00\x01\xe0\x00\x00\x84\x80\x05" + bytes(5) + b"\x00\x00\x00\x01\x09\xf0"
_CLOCK_BYTES = const(8)
_HEAD_BYTES = const(28)
_MAX_SETS_BYTES = const(184 - 28)  # all that is ours must go into the first packet

_UNIT_START = const(0x40)  # in the packet header
_ADAPTATION_FIELD = const(0x20)

# A packet with nothing but PCR.
_CLOCK = b"\x47\x01\x00\x20\xb7\x10" + bytes(6)
_STUFFING = b"\xff" * 184
_PCR_FLAG = const(0x10)
_IDR_FLAG = const(0x40)
_NEW_TIME_BASE_FLAG = const(0x80)


class TsMuxer:
    """Packs access units; `buffer` has BUFFER_BYTES. `block` is what to write."""

    def __init__(self, buffer):
        if len(buffer) != BUFFER_BYTES:
            raise ValueError("the muxer's buffer must have %d bytes" % BUFFER_BYTES)
        self._out = memoryview(buffer)
        self.block = self._out[:BLOCK_BYTES]
        self._carry = self._out[:_OVERHANG_BYTES], self._out[BLOCK_BYTES:]
        self._slots = Slots(RingIO(_RUN * _PAYLOAD), _RUN)
        self._tables = psi.pat_packet(), psi.pmt_packet()
        self._clock = bytearray(_CLOCK + _STUFFING[8:])
        self._head = bytearray(_FIRST + _PES + bytes(_MAX_SETS_BYTES))
        self._sets = memoryview(self._head)[4 + _HEAD_BYTES + 1 :]
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
        shown PTS_DELAY_90K later.
        """
        self._unit = unit
        self._end = self._left = len(unit)
        if unit[4 if unit[2] == 0 else 3] & 0x1F == _AUD:
            self._left -= _delimiter_bytes(unit)
        pts_90k &= _CLOCK_MASK
        if 0 <= pts_90k - self._pcr <= _MAX_PCR_STEP_90K:
            flags = _PCR_FLAG
        else:
            flags = self._catch_up(pts_90k)
        self._pcr = pts_90k
        if is_key:
            self._begin(flags | _IDR_FLAG, self._begin_idr(unit))
        else:
            self._begin(flags, _HEAD_BYTES)

    def fill(self):
        """Pack on until the block is full (True: write it) or the access unit is in it (False)."""
        if self._is_full:
            front, overhang = self._carry
            front[:] = overhang
            self.tail_bytes -= BLOCK_BYTES
        at = self.tail_bytes
        while at < BLOCK_BYTES and self._left:
            at = self._put_run(at, 0)
        self.tail_bytes = at
        self._is_full = is_full = at >= BLOCK_BYTES
        return is_full

    def _begin(self, flags, size):
        """Write what precedes the unit: `size` bytes, and stuffing if the unit is that short."""
        head = self._head
        head[5] = flags
        _write_pcr(head, self._pcr)
        _write_pts(head, self._pcr + PTS_DELAY_90K)
        stuffing = _PAYLOAD - size - self._left
        if stuffing > 0:
            head[4] = _CLOCK_BYTES - 1 + stuffing
            self._slots.write(head, 4, _CLOCK_BYTES)
            head[4] = _CLOCK_BYTES - 1
            self._slots.write(_STUFFING, stuffing)
            self._slots.write(head, 4 + _CLOCK_BYTES, size - _CLOCK_BYTES)
            size += stuffing
        else:
            self._slots.write(head, 4, size)
        self.tail_bytes = self._put_run(self.tail_bytes, size)

    def _put_run(self, at, begun):
        """Put up to 32 packets at `at`, of which `begun` bytes are written; returns their end.

        What the run leaves behind its end is overwritten later.
        """
        rest = self._left
        count = (begun + rest) // _PAYLOAD
        if count > _RUN:
            count = _RUN
        size = count * _PAYLOAD - begun
        self._slots.write(self._unit, self._end - rest, size)
        rest -= size
        if 0 < rest < _PAYLOAD and count < _RUN:
            self._slots.write_rest(self._unit, self._end - rest, rest)
            count += 1
            rest = -1
        self._out[at : at + _RUN_BYTES] = self._slots.run(count)
        if begun:
            self._out[at + 1] |= _UNIT_START
            self._out[at + 3] |= _ADAPTATION_FIELD
        at += count * _PACKET
        if rest < 0:
            self._out[at - _PACKET + 3] |= _ADAPTATION_FIELD
            rest = 0
        self._left = rest
        return at

    def _catch_up(self, pcr):
        """Bring the clock to the unit's time when that is not simply a little later."""
        if self._pcr < 0:
            return _PCR_FLAG
        gap = (pcr - self._pcr) & _CLOCK_MASK
        if gap > _MAX_GAP_90K:
            return _PCR_FLAG | _NEW_TIME_BASE_FLAG
        packet = self._clock
        packet[3] = 0x20 | (self._slots.counter - 1) & 15  # without payload it stands still
        while gap > _MAX_PCR_STEP_90K:
            gap -= _MAX_PCR_STEP_90K
            _write_pcr(packet, (pcr - gap) & _CLOCK_MASK)
            self._put(packet)
        return _PCR_FLAG

    def _begin_idr(self, unit):
        """Put out the tables; returns how many bytes of ours come before the unit."""
        for packet in self._tables:
            self._put(packet)
            packet[3] = 0x10 | (packet[3] + 1) & 15
        if self._keep_parameter_sets(unit):
            return _HEAD_BYTES
        return _HEAD_BYTES + self._sets_bytes

    def _put(self, packet):
        at = self.tail_bytes
        self._out[at : at + _PACKET] = packet
        self.tail_bytes = at + _PACKET

    def _keep_parameter_sets(self, unit):
        """Remember the SPS and PPS before an IDR picture; False if it does not have both."""
        at = find_nal(unit, 0, self._end)
        while at >= 0 and nal_type(unit, at) != SPS:
            if is_slice(nal_type(unit, at)):
                return False
            at = find_nal(unit, at + START_CODE_BYTES, self._end)
        begin, kind = at, SPS
        while at >= 0 and nal_type(unit, at) in _SETS:
            kind = nal_type(unit, at)
            at = find_nal(unit, at + START_CODE_BYTES, self._end)
        if kind == PPS:
            self._keep(unit, begin, at)
        return kind == PPS

    def _keep(self, unit, begin, at):
        """Copy parameter sets to after a zero byte; if too long for a first packet, keep none."""
        stop = nal_begin(unit, at) if at >= 0 else self._end
        self._sets_bytes = 0
        if stop - begin <= len(self._sets):
            self._slots.write(unit, begin, stop - begin)
            self._sets_bytes = 1 + self._slots.take(self._sets)


def _delimiter_bytes(unit):
    """Length of the unit's own delimiter, which makes way for ours."""
    at = find_nal(unit, 4, len(unit))
    return nal_begin(unit, at) if at >= 0 else 0


def _write_pcr(packet, pcr):
    """33 bits of 90 kHz, 6 reserved, 9 of 27 MHz (2.4.3.5)."""
    packet[6] = pcr >> 25
    packet[7] = pcr >> 17 & 0xFF
    packet[8] = pcr >> 9 & 0xFF
    packet[9] = pcr >> 1 & 0xFF
    packet[10] = (pcr & 1) << 7 | 0x7E


def _write_pts(head, pts):
    """33 bits of 90 kHz between marker bits (2.4.3.7)."""
    head[21] = 0x21 | pts >> 29 & 0x0E
    head[22] = pts >> 22 & 0xFF
    head[23] = pts >> 14 & 0xFE | 1
    head[24] = pts >> 7 & 0xFF
    head[25] = (pts & 0x7F) << 1 | 1
