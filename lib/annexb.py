"""H.264 byte streams (ITU-T H.264, Annex B): NAL units, access units, picture size.

    ... 00 | 00 00 01 | header, 5 bits of type | payload ... | 00 00 01 | header ...

A NAL unit lies between start codes, an access unit is all NAL units of one
picture. Positions of NAL units are those of their three-byte start code; the
zero byte that may precede it belongs to the same unit.

Pure: no IO.
"""

from micropython import const

from protocol_error import ProtocolError

START_CODE = b"\x00\x00\x01"
START_CODE_BYTES = const(3)

SLICE = const(1)
IDR_SLICE = const(5)
SPS = const(7)
PPS = const(8)
AUD = const(9)

_LAST_SLICE = const(5)
_TYPE_MASK = const(0x1F)
# Types that open an access unit when they follow a picture's slices (H.264, 7.4.1.2.3).
_OPENERS = (6, SPS, PPS, AUD, 14, 15, 16, 17, 18)
# Profiles whose SPS tells the chroma format (H.264, 7.3.2.1.1).
_HIGH_PROFILES = (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135)
_MAX_GOLOMB_ZEROS = const(31)


def find_nal(buf, at, end):
    """Position of the next NAL unit that begins in buf[at:end] and has its header there, or -1.

    Any buffer will do, and nothing is allocated: meant for the short way to the first slice.
    """
    last = end - START_CODE_BYTES
    while at < last:
        third = buf[at + 2]
        if third == 1 and buf[at] == 0 and buf[at + 1] == 0:
            return at
        at += 3 if third else 1
    return -1


def nal_type(buf, at):
    return buf[at + START_CODE_BYTES] & _TYPE_MASK


def is_slice(kind):
    return SLICE <= kind <= _LAST_SLICE


def nal_begin(buf, at):
    """Where a NAL unit begins when the zero byte before its start code is counted in."""
    return at - 1 if at and buf[at - 1] == 0 else at


class AccessUnits:
    """Cuts a byte stream into access units inside one fixed bytearray.

        | handed out | unit being looked at | read, not yet looked at | free |
        0            begin                  scan                      end

    Put bytes into `free()`, tell `fed(n)` how many (0 ends the stream), and ask
    `next_unit()`. What it names stays in place until `free()` is called again.
    """

    def __init__(self, buffer):
        self._buffer = buffer
        self._view = memoryview(buffer)
        self.restart()

    def restart(self):
        """Forget everything: a new stream follows."""
        self._begin = self._scan = self._end = 0
        self._has_slice = self.is_key = self.at_end = False

    def free(self):
        """The view to read more bytes into. ProtocolError if one unit fills the buffer."""
        kept = self._end - self._begin
        if self._begin:
            self._view[:kept] = self._view[self._begin : self._end]
            self._scan -= self._begin
            self._begin, self._end = 0, kept
        if kept == len(self._buffer):
            raise ProtocolError("an access unit is larger than the buffer of %d bytes" % kept)
        return self._view[kept:]

    def fed(self, count):
        self._end += count
        self.at_end = count == 0

    def next_unit(self):
        """The next access unit as a view, or None when more bytes are needed (or none are left).

        `is_key` then tells whether it is an IDR picture.
        """
        is_key = False
        while True:
            at = self._buffer.find(START_CODE, self._scan, self._end)
            if at < 0 or at + START_CODE_BYTES + 1 >= self._end:
                return self._out_of_bytes(at, is_key)
            kind = nal_type(self._buffer, at)
            if self._has_slice and self._opens_unit(kind, at):
                return self._cut(max(self._begin, nal_begin(self._buffer, at)), at)
            self._scan = at + START_CODE_BYTES
            if is_slice(kind):
                self._has_slice = True
                self._next_is_key = kind == IDR_SLICE
