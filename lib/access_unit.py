"""One H.264 access unit after another, put together in the caller's buffer from NAL units (Annex B).

    00 00 00 01 | header | payload | 00 00 00 01 | header | payload ...

Invariant: a unit that is complete is whole, and so was everything it refers to:
after a loss none is complete until an IDR picture whose first slice is there.
Nothing is allocated for what is put in.

Pure: no IO.
"""

from micropython import const

from protocol_error import ProtocolError

_IDR = const(5)
_SPS = const(7)
_PPS = const(8)
_BOTH_SETS = const(3)  # SPS is 1, PPS is 2
_B_FRAMES = const(2)  # steps back from one IDR picture to the next
_PIECE = const(1536)  # copied at a time; a packet that fits an Ethernet frame is one
_PTS_MASK = (1 << 33) - 1


class AccessUnit:
    """`bytes[:size]` while it `is_complete`. The counters go on for as long as this lives."""

    def __init__(self, buffer):
        self.bytes = memoryview(buffer)
        self.dropped_units = self.oversized_units = 0
        self._limit = len(buffer)
        self._piece = bytearray(_PIECE)
        self.restart(b"")

    def restart(self, sets):
        """Another stream; `sets`: SPS and PPS (Annex B) for IDR pictures that have none."""
        self._sets = sets
        self._has_begun = False  # a unit was complete
        self._awaits_idr = True
        self._usual_sets = _BOTH_SETS  # that an IDR picture comes with
        self._hi = self._lo = self._last_hi = self._last_lo = -1
        self._steps_back = 0
        self.pts_90k = 0
        self.ended_units = 0  # dropped ones as well
        self.release()

    def release(self):
        """Begin the next unit: the complete one is used up."""
        self.size = 0
        self.is_key = False
        self.sps_at = -1  # where its SPS is, start code first
        self._found_sets = 0
        self._first_slice = -1
        self.is_open = False  # its last NAL unit goes on
        self.is_complete = self.is_damaged = False

    def lose(self):
        """Something is missing: the unit that has begun is no good, nor what refers to it."""
        self.is_damaged = True
        self.is_open = False
        self._awaits_idr = True

    def miss(self):
        """Something before what comes next is missing."""
        self._awaits_idr = True
        self.is_open = False
        self.is_damaged = self.is_damaged or self.size > 0

    def at_time(self, hi, lo):
        """What comes next has this timestamp, in halves: 32 bits would be allocated on a board."""
        if hi != self._hi or lo != self._lo:
            self.end()
            self._hi, self._lo = hi, lo

    def begin_nal(self, header):
        """Put a start code and the header, before an IDR slice SPS and PPS if there are none."""
        kind = header & 0x1F
        if kind == _IDR and self.sps_at < 0 and self._sets:
            if not self._has_room(len(self._sets)):
                return
            self.sps_at = self.size
            self._found_sets = _BOTH_SETS
            self.bytes[self.size : self.size + len(self._sets)] = self._sets
            self.size += len(self._sets)
        if not self._has_room(5):
            return
        view, at = self.bytes, self.size
        view[at] = view[at + 1] = view[at + 2] = 0
        view[at + 3] = 1
        view[at + 4] = header
        self.size = at + 5
        if kind == _SPS or kind == _PPS:
            self._found_sets |= kind - _SPS + 1
            if kind == _SPS and self.sps_at < 0:
                self.sps_at = at
        elif 1 <= kind <= _IDR:
            if self._first_slice < 0:
                self._first_slice = at + 5
            self.is_key = self.is_key or kind == _IDR

    def put_from(self, fifo, count):
        """Move up to `count` bytes of the NAL unit out of the fifo; returns how many it moved."""
        count, at = min(count, fifo.any(), _PIECE), self.size
        if count == 0 or (at + count > self._limit and not self._has_room(count)):
            return 0
        fifo.readinto(self._piece, count)
        if at + _PIECE <= self._limit:
            self.bytes[at : at + _PIECE] = self._piece  # what is too much is written over
        else:
            self.bytes[at : at + count] = memoryview(self._piece)[:count]
        self.size = at + count
        return count

    def strip(self, most):
        """Take padding off the end, whose last byte says how much it is."""
        count = self.bytes[self.size - 1]
        if 0 < count <= most:
            self.size -= count
        else:
            self.lose()

    def end(self):
        """The unit has ended, if there is a picture in it: it is complete, or dropped."""
        if self.is_open:
            self.lose()
        if self._first_slice < 0 and not self.is_damaged:
            return
        self.ended_units += 1
        if self.is_damaged or (self._awaits_idr and not self._is_idr()):
            self.dropped_units += self._has_begun
            self._awaits_idr = True
            self.release()
            return
        self._awaits_idr = False
        self.is_complete = True
        if self._has_begun:
            self._advance_time()
        self._has_begun = True
        self._last_hi, self._last_lo = self._hi, self._lo

    def _has_room(self, count):
        """Whether so many bytes fit in; if not, the unit is given up."""
        if self.size + count <= self._limit:
            return True
        self.oversized_units += 1
        self.lose()
        return False

    def _is_idr(self):
        """Whether this is an IDR picture from its beginning on, as far as that can be seen."""
        at, sets = self._first_slice, self._found_sets
        # The first slice's first_mb is 0, coded as a single 1 bit.
        if not self.is_key or at >= self.size or self.bytes[at] < 0x80:
            return False
        # One without the usual sets has lost them; if the next has none either, so it is to be.
        is_whole = sets & self._usual_sets == self._usual_sets
        self._usual_sets = sets
        return is_whole

    def _advance_time(self):
        low = self._lo - self._last_lo
        high = (self._hi - self._last_hi - (1 if low < 0 else 0)) & 0xFFFF
        if high >= 0x8000:  # a clock that was set, or pictures in another order than their times
            high -= 0x10000
            self._steps_back += 1
        if self.is_key:
            self._steps_back = 0
        elif self._steps_back >= _B_FRAMES:
            raise ProtocolError("RTP: the camera sends B-frames, which cannot be recorded")
        self.pts_90k = (self.pts_90k + (high << 16) + (low & 0xFFFF)) & _PTS_MASK
