"""H.264 out of RTP packets (RFC 3550, RFC 6184).

    V=2 P X CC | M PT | sequence | timestamp, 4 | SSRC, 4 | CSRC, 4 each | extension | payload
    payload:  NAL unit                                          types 1 to 23
              24 | size, 2 | NAL unit | size, 2 | NAL unit ...  STAP-A
              28 with NRI | S E R type | piece of a NAL unit    FU-A

A packet's bytes are taken out of the fifo as they come, however large it is:

    depacketizer.begin(length)
    while depacketizer.pull() == UNIT:
        ... unit.bytes[: unit.size], unit.pts_90k, unit.is_key ...
        unit.release()

An access unit ends with the marker bit, or where the timestamp changes.

Invariant: a packet that is missing or no good costs the unit it belongs to, see
AccessUnit. Nothing is allocated for a packet.

Pure: no IO.
"""

from micropython import const

from access_unit import AccessUnit

NEED = 0  # more bytes in the fifo
DONE = 1  # the packet is over
UNIT = 2  # an access unit is complete; the packet may go on

# Fields of a packet, and how many bytes each has.
_HEADER = const(0)
_EXTENSION = const(1)
_PAYLOAD = const(2)
_FRAGMENT = const(3)
_SIZE = const(4)
_AGGREGATED = const(5)
_FIELD_BYTES = (12, 4, 1, 1, 2, 1)
_NO_ENDS = (_HEADER, _EXTENSION, _FRAGMENT)  # a packet that ends before one of these is cut short

_STAP_A = const(24)
_FU_A = const(28)
_SKIP_BYTES = const(256)  # at a time


class H264Depacketizer:
    """Fills `unit`; `lost_packets` counts for as long as this lives."""

    def __init__(self, buffer, fifo):
        """`fifo`: a RingIO of 12 bytes or more that received bytes are written into."""
        self.unit = AccessUnit(buffer)
        self.lost_packets = 0
        self._fifo = fifo
        self._field = bytearray(12)
        self._waste = bytearray(_SKIP_BYTES)
        self.restart(0, b"")

    def restart(self, payload_type, sets):
        """Another stream; `sets`: SPS and PPS (Annex B) for IDR pictures that have none."""
        self.unit.restart(sets)
        self._payload_type = payload_type
        self._indicator = self._size = 0
        self.begin(0)
        self._is_busy = False
        self._sequence = self._late = -1

    def begin(self, length):
        """A packet of so many bytes comes next."""
        self._left = length
        self._step = _HEADER
        self._copy = self._skip = self._copied = 0
        self._has_marker = self._is_padded = 0
        self._is_busy = True

    def pull(self):
        """Take in what there is of the packet: NEED, DONE or UNIT."""
        if self.unit.is_complete:
            return UNIT
        while self._is_busy:
            if self._copy:
                if not self._move():
                    return NEED
            elif self._skip:
                if not self._discard():
                    return NEED
            elif self._left:
                if not self._read_field():
                    return NEED
                if self.unit.is_complete:
                    return UNIT
            else:
                self._end_packet()
                if self.unit.is_complete:
                    return UNIT
        return DONE

    def _move(self):
        """Take some of a NAL unit; False when there is nothing to take yet."""
        unit = self.unit
        count = unit.put_from(self._fifo, self._copy)
        self._copy -= count
        self._copied += count
        self._left -= count
        if unit.is_damaged:  # it has no room
            self._give_up()
            return True
        return count > 0

    def _discard(self):
        count = min(self._skip, self._fifo.any(), _SKIP_BYTES)
        if count:
            self._fifo.readinto(self._waste, count)
        self._skip -= count
        self._left -= count
        return count > 0

    def _read_field(self):
        """Read the next fields and act on them; False when one is not all there."""
        field, step = self._field, self._step
        if not self._has(_FIELD_BYTES[step]):
            return self._skip > 0
        if step == _HEADER:
            self._read_header(field)
            # Nearly all packets go on like this; what has not come yet is read later.
            is_plain = self._step == _PAYLOAD and self._left and not self._skip
            if is_plain and not self.unit.is_complete and self._has(1):
                self._begin_payload(field[0])
        elif step == _FRAGMENT:
            self._begin_fragment(field[0])
        elif step == _PAYLOAD:
            self._begin_payload(field[0])
        elif step == _EXTENSION:
            self._step = _PAYLOAD
            self._pass_over((field[2] << 8 | field[3]) * 4)
        elif step == _SIZE:
            self._begin_aggregated(field[0] << 8 | field[1])
        else:
            self._step = _SIZE
            self._begin_nal(field[0], self._size - 1)
        return True

    def _has(self, count):
        """Read a field of so many bytes, if it is all there."""
        if count > self._left:
            self._give_up()
            return False
        if self._fifo.any() < count:
            return False
        self._fifo.readinto(self._field, count)
        self._left -= count
        return True

    def _read_header(self, field):
        first, sequence = field[0], field[2] << 8 | field[3]
        if first >> 6 != 2:
            return self._give_up()
        if sequence == self._sequence:
            self._sequence = (sequence + 1) & 0xFFFF
            is_next = True
        else:
            is_next = self._is_next(sequence)
        if not is_next or field[1] & 0x7F != self._payload_type:
            self._step = _PAYLOAD
            self._skip = self._left
        else:
            self._has_marker = field[1] & 0x80
            self._is_padded = first & 0x20
            self._step = _EXTENSION if first & 0x10 else _PAYLOAD
            self.unit.at_time(field[4] << 8 | field[5], field[6] << 8 | field[7])
            if first & 15:
                self._pass_over((first & 15) * 4)

    def _is_next(self, sequence):
        """Whether a packet that is not the one that is due is to be used: a later one, after a loss."""
        due = self._sequence
        gap = (sequence - due) & 0xFFFF if due >= 0 else 0
        if gap >= 0x8000 and sequence != self._late:
            self._late = (sequence + 1) & 0xFFFF  # two such in a row: the sender counts anew
            return False
        self._sequence = (sequence + 1) & 0xFFFF
        self._late = -1
        if gap:
            self.lost_packets += gap if gap < 0x8000 else 1
            self.unit.miss()
        return True

    def _pass_over(self, count):
        if count > self._left:
            self._give_up()
        else:
            self._skip = count

    def _begin_payload(self, first):
        kind = first & 0x1F
        if self.unit.is_damaged or kind in (0, 30, 31):  # what is reserved is to be ignored
            self._skip = self._left
        elif kind == _FU_A:
            self._indicator = first & 0xE0
            self._step = _FRAGMENT
        elif self.unit.is_open or kind > _STAP_A:
            self._give_up()  # a fragment has no end; or a type of packetization mode 2
        elif kind == _STAP_A:
            self._step = _SIZE
        else:
            self._begin_nal(first, self._left)

    def _begin_fragment(self, second):
        is_first = second >= 0x80
        self._step = _PAYLOAD
        if is_first == self.unit.is_open:
            self._give_up()
            return
        self.unit.is_open = not second & 0x40
        if is_first:
            self._begin_nal(self._indicator | second & 0x1F, self._left)
        else:
            self._copy = self._left

    def _begin_aggregated(self, size):
        if 0 < size <= self._left:
            self._size = size
            self._step = _AGGREGATED
        elif self._is_padded:
            self._skip = self._left
        else:
            self._give_up()

    def _begin_nal(self, header, size):
        self._copy = size
        self.unit.begin_nal(header)
        if self.unit.is_damaged:
            self._give_up()

    def _give_up(self):
        """The unit is lost, and so is the rest of the packet."""
        self.unit.lose()
        self._copy = 0
        self._skip = self._left

    def _end_packet(self):
        self._is_busy = False
        if self._step in _NO_ENDS:
            self._give_up()
        if self._is_padded and self._copied and self._step != _SIZE and not self.unit.is_damaged:
            self.unit.strip(self._copied)
        if self._has_marker:
            self.unit.end()
