"""MPEG transport stream of one H.264 video (ISO/IEC 13818-1), packed into the caller's buffer.

    buffer: | block, 8 KiB, written when full | overhang, 43 packets |
    packet: | 47 | PUSI, PID | 10: payload, 30: adaptation field first; counter | 184 bytes |
    unit:   | PCR, stuffing | PES header with PTS | AUD | [SPS, PPS] | access unit ... |
            | 184 bytes of it | ... | 184 bytes of it |
            | stuffing | its last bytes |

Before an IDR unit come PAT and PMT, and in it SPS and PPS if it has none itself.
Feed access units and write the block each time that `fill()` says it is full:

    muxer.feed(buffer, begin, end, pts_90k, is_key)
    while muxer.fill():
        file.write(muxer.block)

Invariant: nothing is allocated per access unit, except, where a word has 32 bits,
integers for times that do not fit. Therefore bytes go through Slots, and what runs
for every unit has few locals: MicroPython allocates frames of more than 11 words.

Pure: no IO.
"""

from micropython import RingIO, const

import psi
from annexb import find_nal, nal_begin
from parameter_sets import ParameterSets
from ts_slots import Slots

_AUD = const(9)
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
_FLAGS_AT = const(5)
_CLOCK_BYTES = const(8)
_HEAD_BYTES = const(28)
_FIRST_SETS_BYTES = const(184 - 28)  # of the parameter sets in the first packet
_MAX_SETS_BYTES = const(4 * 184 - 28)

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
        self._write = self._slots.write
        self._tables = psi.pat_packet(), psi.pmt_packet()
        self._clock = bytearray(_CLOCK + _STUFFING[8:])
        self._head = bytearray(_FIRST + _PES + bytes(_MAX_SETS_BYTES))
        sets = memoryview(self._head)[4 + _HEAD_BYTES :]
        self.sets = ParameterSets(sets, _FIRST_SETS_BYTES, _PAYLOAD)
        self.restart()

    def restart(self):
        """Begin a new stream in an empty block. The last SPS and PPS stay known."""
        self.empty()
        self._pcr = -1
        self._slots.counter = 0
        for packet in self._tables:
            packet[3] = 0x10

    def empty(self):
        """Begin another file, in which the stream goes on."""
        self.tail_bytes = 0  # bytes of the block that `fill()` did not ask to write; ends a file
        self._is_full = False
        self._unit = b""
        self._begin = self._end = self._left = 0

    def show_time(self, pts_90k):
        """Let the clock come close to the time of a unit that will begin another file."""
        self._catch_up(pts_90k & _CLOCK_MASK)

    def feed(self, unit, begin, end, pts_90k, is_key):
        """Take the Annex-B access unit in unit[begin:end], which stays there until `fill()` gives False.

        The stream's clock (PCR) shows `pts_90k` when the unit arrives, and the unit is to be
        shown PTS_DELAY_90K later.
        """
        self._unit = unit
        self._begin = begin
        self._end = end
        self._left = end - begin
        if unit[begin + (4 if unit[begin + 2] == 0 else 3)] & 0x1F == _AUD:
            self._skip_delimiter()
        pts_90k &= _CLOCK_MASK
        if 0 <= pts_90k - self._pcr <= _MAX_PCR_STEP_90K:
            self._head[_FLAGS_AT] = _PCR_FLAG
        else:
            self._head[_FLAGS_AT] = self._catch_up(pts_90k)
        self._pcr = pts_90k
        self._put_first(self._begin_idr() if is_key else _HEAD_BYTES)

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

    def _put_first(self, size):
        """Write what precedes the unit: `size` bytes, and stuffing if the unit is that short."""
        head = self._head
        _write_times(head, self._pcr)
        stuffing = _PAYLOAD - size - self._left
        if stuffing > 0:
            head[4] = _CLOCK_BYTES - 1 + stuffing
            self._write(head, 4, _CLOCK_BYTES)
            head[4] = _CLOCK_BYTES - 1
            self._write(_STUFFING, stuffing)
            self._write(head, 4 + _CLOCK_BYTES, size - _CLOCK_BYTES)
            size += stuffing
        else:
            self._write(head, 4, size)
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
        self._write(self._unit, self._end - rest, size)
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
            self._pcr = (pcr - gap) & _CLOCK_MASK
            _write_pcr(packet, self._pcr)
            self._put(packet)
        return _PCR_FLAG

    def _begin_idr(self):
        """Put out the tables; returns how many bytes of ours come before the unit."""
        self._head[_FLAGS_AT] |= _IDR_FLAG
        for packet in self._tables:
            self._put(packet)
            packet[3] = 0x10 | (packet[3] + 1) & 15
        sets = self.sets
        if sets.find(self._unit, self._begin, self._end):
            sets.keep(self._unit)
            return _HEAD_BYTES
        return _HEAD_BYTES + sets.size_bytes

    def _skip_delimiter(self):
        """The unit's own delimiter makes way for ours."""
        at = find_nal(self._unit, self._begin + 4, self._end)
        if at >= 0:
            self._left = self._end - nal_begin(self._unit, at)

    def _put(self, packet):
        at = self.tail_bytes
        self._out[at : at + _PACKET] = packet
        self.tail_bytes = at + _PACKET


def _write_pcr(packet, pcr):
    """33 bits of 90 kHz, 6 reserved, 9 of 27 MHz (2.4.3.5)."""
    packet[6] = pcr >> 25
    packet[7] = pcr >> 17 & 0xFF
    packet[8] = pcr >> 9 & 0xFF
    packet[9] = pcr >> 1 & 0xFF
    packet[10] = (pcr & 1) << 7 | 0x7E


def _write_times(head, pcr):
    """PCR, and PTS: 33 bits of 90 kHz between marker bits (2.4.3.7)."""
    head[6] = pcr >> 25
    head[7] = pcr >> 17 & 0xFF
    head[8] = pcr >> 9 & 0xFF
    head[9] = pcr >> 1 & 0xFF
    head[10] = (pcr & 1) << 7 | 0x7E
    pcr += PTS_DELAY_90K
    head[21] = 0x21 | pcr >> 29 & 0x0E
    head[22] = pcr >> 22 & 0xFF
    head[23] = pcr >> 14 & 0xFE | 1
    head[24] = pcr >> 7 & 0xFF
    head[25] = (pcr & 0x7F) << 1 | 1
