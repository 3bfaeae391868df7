"""H.264 byte streams (ITU-T H.264, Annex B): NAL units, access units, picture size.

    ... 00 | 00 00 01 | header, 5 bits of type | payload ... | 00 00 01 | header ...

A NAL unit lies between start codes; an access unit is all NAL units of one
picture. The position of a NAL unit is that of its three-byte start code; a zero
byte just before it belongs to the same unit.

Pure: no IO.
"""

from micropython import const

from protocol_error import ProtocolError

START_CODE = b"\x00\x00\x01"
START_CODE_BYTES = const(3)

IDR_SLICE = const(5)
SPS = const(7)
PPS = const(8)
AUD = const(9)

# With these types, or with the first slice of a picture, a new access unit begins
# when the present one has its slices (H.264, 7.4.1.2.3).
_OPENERS = (6, SPS, PPS, AUD, 14, 15, 16, 17, 18)
_FIRST_SLICES = (1, 2, IDR_SLICE)
_LAST_SLICE = const(5)
# Profiles whose SPS tells the chroma format (H.264, 7.3.2.1.1).
_HIGH_PROFILES = (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135)
_MAX_GOLOMB_ZEROS = const(31)


def find_nal(buf, at, end):
    """Position of the next NAL unit in buf[at:end] that has its header there too, or -1.

    Takes any buffer and allocates nothing; meant for the short way to the first slice.
    """
    last = end - START_CODE_BYTES
    while at < last:
        third = buf[at + 2]
        if third == 1 and buf[at] == 0 and buf[at + 1] == 0:
            return at
        at += 3 if third else 1
    return -1


def nal_type(buf, at):
    return buf[at + START_CODE_BYTES] & 0x1F


def is_slice(kind):
    return 1 <= kind <= _LAST_SLICE


def nal_begin(buf, at):
    """Where a NAL unit begins when the zero byte before its start code is counted in."""
    return at - 1 if at and buf[at - 1] == 0 else at


class AccessUnits:
    """Cuts a byte stream into access units inside one fixed bytearray.

        | handed out | unit being looked at | not yet looked at | free |
        0            begin                  scan                end

    Put bytes into `free()`, tell `fed(n)` how many (0 ends the stream), ask `next_unit()`.
    The view it gives is good until `free()` is called again.
    """

    def __init__(self, buffer):
        self._buffer = buffer
        self._view = memoryview(buffer)
        self.restart()

    def restart(self):
        """Forget everything: another stream follows."""
        self._begin = self._scan = self._end = 0
        self._has_slice = self._is_key = self.at_end = False

    def free(self):
        """The view to read more bytes into; ProtocolError when one unit fills the buffer."""
        kept = self._end - self._begin
        if kept == len(self._buffer):
            raise ProtocolError("an access unit does not fit into the buffer of %d bytes" % kept)
        if self._begin:
            self._view[:kept] = self._view[self._begin : self._end]
            self._scan -= self._begin
            self._begin, self._end = 0, kept
        return self._view[kept:]

    def fed(self, count):
        self._end += count
        self.at_end = count == 0

    def next_unit(self):
        """`(view, is_key)` of the next access unit, or None when bytes are needed or none are left."""
        while True:
            at = self._buffer.find(START_CODE, self._scan, self._end)
            if at < 0 or at + START_CODE_BYTES + 1 >= self._end:
                break
            kind = nal_type(self._buffer, at)
            if self._has_slice and self._opens_unit(kind, at):
                return self._cut(nal_begin(self._buffer, at), at)
            self._has_slice = self._has_slice or is_slice(kind)
            self._is_key = self._is_key or kind == IDR_SLICE
            self._scan = at + START_CODE_BYTES
        if self.at_end and self._has_slice:
            return self._cut(self._end, self._end)
        if at < 0:  # the last two bytes may be half a start code
            at = max(self._scan, self._end - START_CODE_BYTES + 1)
        self._scan = at
        return None

    def _opens_unit(self, kind, at):
        # A slice header begins with first_mb_in_slice; zero is coded as a single one bit.
        first_bit = self._buffer[at + START_CODE_BYTES + 1] & 0x80
        return kind in _OPENERS or (kind in _FIRST_SLICES and first_bit)

    def _cut(self, stop, scan):
        unit = self._view[self._begin : stop], self._is_key
        self._begin, self._scan = stop, scan
        self._has_slice = self._is_key = False
        return unit


def picture_size(unit):
    """`(width, height)` in pixels from an access unit's SPS; ProtocolError without a sound one."""
    try:
        return read_size(sps_of(unit))
    except IndexError:
        raise ProtocolError("the SPS is cut short")


def sps_of(unit):
    """The bits of an access unit's SPS, behind its header; ProtocolError if it has none."""
    end = len(unit)
    at = find_nal(unit, 0, end)
    while at >= 0 and nal_type(unit, at) != SPS:
        at = find_nal(unit, at + START_CODE_BYTES, end)
    if at < 0:
        raise ProtocolError("the access unit has no SPS")
    begin = at + START_CODE_BYTES + 1
    stop = find_nal(unit, begin, end)
    return _Bits(unit[begin : stop if stop >= 0 else end])


def read_size(sps):
    """H.264, 7.3.2.1.1 up to the cropping rectangle, and equations 7-13 to 7-22."""
    profile = sps.bits(8)
    sps.bits(16)  # constraint flags, level
    sps.golomb()  # seq_parameter_set_id
    chroma, separate_planes = 1, 0
    if profile in _HIGH_PROFILES:
        chroma, separate_planes = _skip_chroma(sps)
    sps.golomb()  # log2_max_frame_num_minus4
    _skip_order_count(sps)
    sps.golomb()  # max_num_ref_frames
    sps.bits(1)
    width = (sps.golomb() + 1) * 16
    map_height = (sps.golomb() + 1) * 16
    frame_only = sps.bits(1)
    if not frame_only:
        sps.bits(1)
    sps.bits(1)
    height = map_height * (2 - frame_only)
    if sps.bits(1):  # cropping, in units of chroma samples
        unit_x = 2 if chroma in (1, 2) and not separate_planes else 1
        unit_y = (2 if chroma == 1 and not separate_planes else 1) * (2 - frame_only)
        width -= (sps.golomb() + sps.golomb()) * unit_x
        height -= (sps.golomb() + sps.golomb()) * unit_y
    if width <= 0 or height <= 0:
        raise ProtocolError("the SPS crops the whole picture")
    return width, height


def _skip_chroma(sps):
    chroma = sps.golomb()
    separate_planes = sps.bits(1) if chroma == 3 else 0
    sps.golomb()
    sps.golomb()  # bit depths
    sps.bits(1)
    if sps.bits(1):
        for i in range(12 if chroma == 3 else 8):
            if sps.bits(1):
                _skip_scaling_list(sps, 16 if i < 6 else 64)
    return chroma, separate_planes


def _skip_scaling_list(sps, count):
    scale = 8
    for _ in range(count):
        scale = (scale + sps.signed_golomb()) & 0xFF
        if scale == 0:
            return


def _skip_order_count(sps):
    kind = sps.golomb()
    if kind == 0:
        sps.golomb()
    elif kind == 1:
        sps.bits(1)
        sps.golomb()
        sps.golomb()
        for _ in range(sps.golomb()):
            sps.golomb()


class _Bits:
    """Reads an RBSP: the payload without its emulation prevention bytes."""

    def __init__(self, payload):
        self._rbsp = bytes(payload).replace(b"\x00\x00\x03", b"\x00\x00")
        self._at = 0

    def bits(self, count):
        value = 0
        for _ in range(count):
            value = value << 1 | self._rbsp[self._at >> 3] >> (7 - (self._at & 7)) & 1
            self._at += 1
        return value

    def golomb(self):
        """ue(v) of H.264, 9.1."""
        zeros = 0
        while not self.bits(1):
            zeros += 1
            if zeros > _MAX_GOLOMB_ZEROS:
                raise ProtocolError("the SPS is not one")
        return (1 << zeros) - 1 + self.bits(zeros)

    def signed_golomb(self):
        """se(v) of H.264, 9.1.1."""
        code = self.golomb()
        return (code + 1) >> 1 if code & 1 else -(code >> 1)
