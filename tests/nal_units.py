"""Small H.264 byte streams for device tests, made bit by bit (ITU-T H.264, 7.3)."""

SLICE, IDR, SEI, SPS, PPS, AUD = 1, 5, 6, 7, 8, 9


class Bits:
    """Collects the syntax elements of one NAL unit."""

    def __init__(self):
        self._bits = []

    def u(self, value, count):
        for shift in range(count - 1, -1, -1):
            self._bits.append(value >> shift & 1)
        return self

    def ue(self, *values):
        for value in values:
            count = 0
            while (value + 1) >> count > 1:
                count += 1
            self.u(0, count)
            self.u(value + 1, count + 1)
        return self

    def se(self, *values):
        for value in values:
            self.ue(2 * value - 1 if value > 0 else -2 * value)
        return self

    def rbsp(self):
        """The bytes, ended by a one bit and zeros."""
        bits = self._bits + [1]
        bits += [0] * (-len(bits) % 8)
        made = bytearray()
        for at in range(0, len(bits), 8):
            byte = 0
            for bit in bits[at : at + 8]:
                byte = byte << 1 | bit
            made.append(byte)
        return bytes(made)


def nal(kind, rbsp, start=b"\x00\x00\x00\x01"):
    """A NAL unit behind its start code, with emulation prevention (7.4.1)."""
    made, zeros = bytearray(start) + bytes((0x60 | kind,)), 0
    for byte in rbsp:
        if zeros == 2 and byte <= 3:
            made.append(3)
            zeros = 0
        zeros = 0 if byte else zeros + 1
        made.append(byte)
    return bytes(made)


def sps(columns=20, rows=15, crop=None, frame_only=1, order=(0, 4), head=None, start=None):
    """A sequence parameter set: size in macroblocks, crop (left, right, top, bottom) in its units.

    `order`: the values of the picture order count; `head`: Bits up to there instead of baseline's.
    """
    bits = head or Bits().u(66, 8).u(0xC01E, 16).ue(0, 0)
    bits.ue(order[0])
    if order[0] == 0:
        bits.ue(order[1])
    elif order[0] == 1:
        bits.u(0, 1).se(-3, 5).ue(len(order) - 1).se(*order[1:])
    bits.ue(1).u(0, 1).ue(columns - 1, rows - 1).u(frame_only, 1)
    if not frame_only:
        bits.u(1, 1)
    bits.u(1, 1)
    if crop:
        bits.u(1, 1).ue(*crop)
    else:
        bits.u(0, 1)
    return nal(SPS, bits.u(0, 1).rbsp(), start or b"\x00\x00\x00\x01")


def pps():
    return nal(PPS, b"\xce\x38\x80")


def slice_nal(kind, number, size=20, first=True, start=b"\x00\x00\x00\x01"):
    """A slice whose bytes tell `number`; never decoded, so only its first bit is real."""
    body = bytes((0x80 if first else 0x40, number & 0x7F | 0x80, number >> 7 | 0x80))
    return nal(kind, body + b"\xa5" * (size - len(body)), start)


def idr_unit(number, size=20):
    return sps() + pps() + slice_nal(IDR, number, size)


def units(count, idr_every, size=20):
    """`count` access units of one slice each: [(bytes, is_key)]."""
    return [
        (slice_nal(SLICE, n, size), False) if n % idr_every else (idr_unit(n, size), True)
        for n in range(count)
    ]
