"""MPEG transport stream of one H.264 video (ISO/IEC 13818-1), packed into the caller's buffer.

    buffer: | block, 8 KiB, written when full | overhang, 32 packets |
    packet: | 47 | PUSI, PID | 10: payload, 30: adaptation field first; counter | 184 bytes |
    unit:   | PCR, stuffing | PES header with PTS | AUD | [SPS, PPS] | access unit ... |
            | 184 bytes of it | ... | 184 bytes of it |
            | stuffing | its last bytes |

Before an IDR unit come PAT and PMT, and in it SPS and PPS if it has none itself.
Feed access units and write the block each time that `fill()` says it is full:

    muxer.feed(unit, pts_90k, is_key)
    while muxer.fill():
        file.write(muxer.block)

Invariant: nothing is allocated per access unit. To name a part of a buffer
MicroPython allocates a view, but a stream's `write(buf, off, n)` does without;
so bytes pass through a small RingIO into views made beforehand. What runs for
every unit has few locals: a frame of more than 11 words is allocated, too.

Pure: no IO.
"""

import psi
from annexb import PPS, SPS, START_CODE_BYTES, find_nal, is_slice, nal_begin, nal_type
from micropython import RingIO, const

_AUD = const(9)
_PACKET = const(188)
_PAYLOAD = const(184)
_RUN = const(32)
_RUN_BYTES = const(32 * 188)

BLOCK_BYTES = const(8192)
BUFFER_BYTES = const(8192 + 32 * 188)

_CLOCK_MASK = const(0x1FFFFFFFF)
# A picture is shown this long after its first bytes arrive; ffmpeg's choice.
PTS_DELAY_90K = const(63000)
_MAX_PCR_STEP_90K = const(9000)  # 100 ms (ISO/IEC 13818-1, 2.7.2)
_MAX_GAP_90K = const(90000)  # beyond, or backwards, a new time base begins

# Adaptation fields: length, flags, PCR, stuffing.
_FIRST = bytes(8) + b"\xff" * 176
_LAST = bytes(2) + b"\xff" * 182
_CLOCK = b"\x47\x01\x00\x20\xb7\x10" + bytes(6) + b"\xff" * 176
_FIRST_BYTES = const(8)
_PCR_FLAG = const(0x10)
_IDR_FLAG = const(0x40)
_NEW_TIME_BASE_FLAG = const(0x80)

# A PES header for video, data aligned, with PTS; an access unit delimiter for all slice types.
_PES = b"\x00\x00\x01\xe0\x00\x00\x84\x80\x05\x00\x00\x00\x00\x00\x00\x00\x00\x01\x09\xf0"
_PES_BYTES = const(20)
_PES_UNCOUNTED = const(6)  # bytes up to and with PES_packet_length
_MAX_SETS_BYTES = const(184 - 8 - 20)  # so that all that is ours goes into the first packet


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
        self._first = bytearray(_FIRST)
        self._last = bytearray(_LAST)
        self._pes = bytearray(_PES + bytes(_MAX_SETS_BYTES))
        self._sets_bytes = 0
        self.restart()

    def restart(self):
        """Begin a new stream in an empty block. The last SPS and PPS stay known."""
        self.tail_bytes = 0  # bytes of the block that `fill()` did not ask to write; ends a file
        self._is_full = False
        self._pcr = -1
        self._unit = b""
        self._end = self._left = self._head = 0
        self._slots.empty()
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
            self._begin(flags, _PES_BYTES)

    def fill(self):
        """Pack on until the block is full (True: write it) or the access unit is in it (False)."""
        if self._is_full:
            front, overhang = self._carry
            front[:] = overhang
            self.tail_bytes -= BLOCK_BYTES
        while self._left and self.tail_bytes < BLOCK_BYTES:
            self._put_run()
        self._is_full = is_full = self.tail_bytes >= BLOCK_BYTES
        return is_full

    def _begin(self, flags, head):
        """Write what is ours of the first packet: `head` bytes of PES and so on."""
        stuffing = _PAYLOAD - _FIRST_BYTES - head - self._left
        if stuffing < 0:
            stuffing = 0
        first = self._first
        first[0] = _FIRST_BYTES - 1 + stuffing
        first[1] = flags
        _write_pcr(first, self._pcr)
        _write_pes(self._pes, head + self._left - _PES_UNCOUNTED, self._pcr + PTS_DELAY_90K)
        write = self._slots.write
        write(first, _FIRST_BYTES + stuffing)
        write(self._pes, head)
        self._head = head = _FIRST_BYTES + stuffing + head
        self._rest = (head + self._left) % _PAYLOAD

    def _put_run(self):
        """Put out up to 32 packets. What is behind the last one is overwritten later."""
        head = self._head
        at = self.tail_bytes
        count = self._load(head)
        self.tail_bytes = at + count * _PACKET
        out = self._out
        out[at : at + _RUN_BYTES] = self._slots.run(count)
        if head:
            out[at + 1] |= 0x40
            out[at + 3] |= 0x20
            self._head = 0
        if self._left == 0 and self._rest:
            out[self.tail_bytes - _PACKET + 3] |= 0x20

    def _load(self, head):
        """Write the next bytes, of so many packets."""
        left = self._left
        count = (head + left) // _PAYLOAD
        if count >= _RUN:
            count = _RUN
        head = count * _PAYLOAD - head
        self._slots.write(self._unit, self._end - left, head)
        left -= head
        if left == self._rest and left and count < _RUN:
            self._put_rest(left)
            left = 0
            count += 1
        self._left = left
        return count

    def _put_rest(self, left):
        self._last[0] = _PAYLOAD - 1 - left
        self._slots.write(self._last, _PAYLOAD - left)
        self._slots.write(self._unit, self._end - left, left)

    def _catch_up(self, pcr):
        """Bring the clock to the unit's time when that is not simply a little later."""
        if self._pcr < 0:
            return _PCR_FLAG
        gap = (pcr - self._pcr) & _CLOCK_MASK
        if gap > _MAX_GAP_90K:
            return _PCR_FLAG | _NEW_TIME_BASE_FLAG
        packet = bytearray(_CLOCK)
        packet[3] |= (self._slots.counter - 1) & 15  # without payload the counter stands still
        while gap > _MAX_PCR_STEP_90K:
            gap -= _MAX_PCR_STEP_90K
            _write_pcr(packet, (pcr - gap) & _CLOCK_MASK, 6)
            self._put(packet)
        return _PCR_FLAG

    def _begin_idr(self, unit):
        """Put out the tables; returns how many bytes of ours come before the unit."""
        for packet in self._tables:
            self._put(packet)
            psi.next_counter(packet)
        if self._keep_parameter_sets(unit):
            return _PES_BYTES
        return _PES_BYTES + self._sets_bytes

    def _put(self, packet):
        at = self.tail_bytes
        self._out[at : at + _PACKET] = packet
        self.tail_bytes = at + _PACKET

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
        count = stop - begin + 1
        self._sets_bytes = count if count <= _MAX_SETS_BYTES else 0
        for i in range(1, self._sets_bytes):
            self._pes[_PES_BYTES + i] = unit[begin + i - 1]


class _Slots:
    """Packets whose headers never change: slot i has continuity counter i mod 16.

    There are 15 more than in a run, so that a run can begin with any counter. `write` appends
    bytes, `run` turns them into packets.
    """

    def __init__(self):
        packets = [b"\x47\x01\x00" + bytes((0x10 | i & 15,)) + bytes(_PAYLOAD) for i in range(_RUN + 15)]
        slots = memoryview(bytearray(b"".join(packets)))
        starts = range(0, len(slots), _PACKET)
        payloads = [slots[at + 4 : at + _PACKET] for at in starts]
        ring = RingIO(_RUN * _PAYLOAD)
        self.write = ring.write
        self._take = ring.readinto
        self._runs = tuple([tuple(payloads[i : i + _RUN]) for i in range(16)])
        self._images = tuple([slots[at : at + _RUN_BYTES] for at in starts[:16]])
        self.counter = 0

    def run(self, count):
        """A view of 32 packets, the first `count` of which hold all bytes written."""
        counter = self.counter
        self.counter = (counter + count) & 15
        if count == _RUN:
            _fill_all(self._take, self._runs[counter])
        else:
            _fill(self._take, self._runs[counter])
        return self._images[counter]

    def empty(self):
        self.run(0)
        self.counter = 0


def _fill_all(take, views):
    for view in views:
        take(view)


def _fill(take, views):
    for view in views:
        if not take(view):
            return


def _delimiter_bytes(unit):
    """Length of the unit's own delimiter, which makes way for ours."""
    at = find_nal(unit, 4, len(unit))
    return nal_begin(unit, at) if at >= 0 else 0


def _write_pcr(packet, pcr, at=2):
    """33 bits of 90 kHz, 6 reserved, 9 of 27 MHz (2.4.3.5)."""
    packet[at] = pcr >> 25
    packet[at + 1] = pcr >> 17 & 0xFF
    packet[at + 2] = pcr >> 9 & 0xFF
    packet[at + 3] = pcr >> 1 & 0xFF
    packet[at + 4] = (pcr & 1) << 7 | 0x7E


def _write_pes(pes, size, pts):
    """PES_packet_length, left open where video is too long for it, and PTS (2.4.3.7)."""
    if size > 0xFFFF:
        size = 0
    pes[4] = size >> 8
    pes[5] = size & 0xFF
    pes[9] = 0x21 | pts >> 29 & 0x0E
    pes[10] = pts >> 22 & 0xFF
    pes[11] = pts >> 14 & 0xFE | 1
    pes[12] = pts >> 7 & 0xFF
    pes[13] = (pts & 0x7F) << 1 | 1
