"""A ring of access units in one fixed buffer: the past of a recording that may begin, and its cushion.

    buffer: | units ... | free | units, the oldest first ... | too short for the next unit |
    index:  | begin, end, pts >> 15, (pts & 0x7FFF) << 1 | is_key | ...

A group of pictures (GOP) is an IDR unit and all units up to the next one. While nobody reads, whole
GOPs make room, the oldest first, so that what is there can be decoded from its first unit on. A
reader begins with that unit; from then on no unit that was not read yet makes room.

What cannot be kept takes the rest of its GOP with it, and what is older than the gap if that is long.
`dropped` counts what was refused: such units, and those before the first IDR unit.

Invariant: every unit lies in one piece, and nothing is allocated after construction but, where a
word has 32 bits, integers for times that do not fit.

Pure: no IO.
"""

from array import array

from micropython import const

_PTS_MASK = const(0x1FFFFFFFF)
_LONGEST_GAP_90K = const(90000)
_FIELDS = const(4)


class GopRing:
    """`begin`, `end`, `pts_90k` and `is_key` tell of the unit in `buffer` that take() gave."""

    def __init__(self, buffer, most_units):
        self.buffer = buffer
        self._view = memoryview(buffer)
        self._size = len(buffer)
        self._most = most_units
        self._index = array("I", bytes(4 * _FIELDS * most_units))
        self.units = self.unread = self.dropped = 0
        self.clear()

    def clear(self):
        """Forget all units, those not read as well."""
        self._empty()
        self.is_read = False
        self._is_cut_off = True  # the unit that the next one refers to is not there
        self.begin = self.end = self.pts_90k = 0
        self.is_key = False

    @property
    def span_90k(self):
        """From the oldest unit to the newest."""
        if not self.units:
            return 0
        return (self._pts(self.units - 1) - self._pts(0)) & _PTS_MASK

    def push(self, unit, pts_90k, is_key):
        """Keep the unit, or drop it for good; False if units must be read first to make room."""
        if self._is_cut_off and not self._is_joined(pts_90k, is_key):
            self.dropped += 1
            return True
        at = self._make_room(len(unit), is_key)
        if at < 0:
            return self._refuse()
        self._is_cut_off = False
        self._view[at : at + len(unit)] = unit
        self._free = at + len(unit)
        self._note(at, pts_90k, is_key)
        return True

    def pass_by(self):
        """All units here were read, and the one that push() refused was read from elsewhere."""
        self._empty()

    def follow(self):
        """Read what comes after the IDR unit that push() dropped, which was read from elsewhere."""
        self._empty()
        self.is_read = True
        self._is_cut_off = False

    def trim(self, age_90k):
        """Drop the GOPs that are not needed to go so far back, unless somebody reads."""
        while self._gop and not self.is_read and self._age_90k(self._gop) >= age_90k:
            self._drop(self._gop)

    def begin_reading(self):
        """Read from the oldest unit on, which is an IDR unit; False if there is none to begin with."""
        self.is_read = self.units > 0 and not self._is_cut_off
        if self.is_read:
            self.unread = self.units
        return self.is_read

    def end_reading(self):
        """Whoever reads next begins with the oldest IDR unit that is still there."""
        self.is_read = False
        self.unread = 0
        if self.units and not self._index[self._at(0) + 3] & 1:
            self._drop(self._gop or self.units)
        if not self.units:
            self._is_cut_off = True

    def take(self):
        """Read the next unit, which stays in its place until push(); False if there is none."""
        if not self.unread:
            return False
        at = self.units - self.unread
        self.pts_90k = self._pts(at)
        at = self._at(at)
        self.begin = self._index[at]
        self.end = self._index[at + 1]
        self.is_key = self._index[at + 3] & 1 == 1
        self.unread -= 1
        return True

    def _empty(self):
        self.units = self.unread = 0
        self._first = 0  # the oldest unit's number in the index
        self._free = 0  # where the next unit goes if it fits there
        self._gop = 0  # how many units come before the next IDR unit behind the first; 0: none does

    def _is_joined(self, pts_90k, is_key):
        """Whether this unit can be decoded with what is kept here, from which a long gap parts it."""
        if is_key and self.units and self._since(pts_90k, self.units - 1) > _LONGEST_GAP_90K:
            self._empty()
        return is_key

    def _refuse(self):
        if self.is_read:
            return False
        self._is_cut_off = True
        self.dropped += 1
        return True

    def _make_room(self, size, is_key):
        """Where so many bytes can go, after others made room if need be; -1 if nowhere."""
        if size > self._size:
            return -1
        at = self._place(size)
        while at < 0 or self.units == self._most:
            if not self._drop_oldest(is_key):
                return -1
            at = self._place(size)
        return at

    def _place(self, size):
        """A gap of so many bytes, or -1; units go round from low addresses to high ones."""
        if not self.units:
            return 0
        at, oldest = self._free, self._index[self._at(0)]
        if at <= oldest:
            return at if oldest - at >= size else -1
        if self._size - at >= size:
            return at
        return 0 if oldest >= size else -1

    def _drop_oldest(self, for_key):
        """Drop what was read, or a GOP, but not for a unit that belongs to that GOP itself."""
        if self.is_read:
            if self.units == self.unread:
                return False
            self._drop(1)
        elif self._gop or for_key:
            self._drop(self._gop or self.units)
        else:
            return False
        return True

    def _drop(self, count):
        self._first = (self._first + count) % self._most
        self.units -= count
        if self._gop:
            self._gop -= count
            if not self._gop:
                self._gop = self._find_key()

    def _find_key(self):
        """Number of the first IDR unit behind the oldest unit, or 0."""
        for number in range(1, self.units):
            if self._index[self._at(number) + 3] & 1:
                return number
        return 0

    def _note(self, begin, pts_90k, is_key):
        if is_key and self.units and not self._gop:
            self._gop = self.units
        at = self._at(self.units)
        index = self._index
        index[at] = begin
        index[at + 1] = self._free
        index[at + 2] = pts_90k >> 15
        index[at + 3] = (pts_90k & 0x7FFF) << 1 | is_key
        self.units += 1
        if self.is_read:
            self.unread += 1

    def _at(self, number):
        """Where the index tells of a unit, counted from the oldest."""
        return (self._first + number) % self._most * _FIELDS

    def _pts(self, number):
        at = self._at(number)
        return self._index[at + 2] << 15 | self._index[at + 3] >> 1

    def _since(self, pts_90k, number):
        return (pts_90k - self._pts(number)) & _PTS_MASK

    def _age_90k(self, number):
        """How much older a unit is than the newest one."""
        return self._since(self._pts(self.units - 1), number)
