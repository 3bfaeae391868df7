"""RTP packets of H.264 for device tests, as a camera would make them (RFC 3550, RFC 6184)."""

PAYLOAD_TYPE = 96


def rtp(sequence, timestamp, payload, marker=False, kind=PAYLOAD_TYPE, csrc=0, ext=None, padding=0):
    """One packet; `csrc`: how many sources contributed, `ext`: words of its extension."""
    first = 0x80 | csrc | (0x10 if ext is not None else 0) | (0x20 if padding else 0)
    head = bytes((first, (0x80 if marker else 0) | kind)) + (sequence & 0xFFFF).to_bytes(2, "big")
    head += (timestamp & 0xFFFFFFFF).to_bytes(4, "big") + b"\x12\x34\x56\x78" + b"\xcc" * 4 * csrc
    if ext is not None:
        head += b"\xbe\xde" + ext.to_bytes(2, "big") + b"\xee" * 4 * ext
    return head + payload + (b"\x00" * (padding - 1) + bytes((padding,)) if padding else b"")


def nal_units(unit):
    """The NAL units of an access unit whose start codes all have four bytes."""
    return unit.split(b"\x00\x00\x00\x01")[1:]


def fragments(nal, size):
    """Payloads FU-A with pieces of so many bytes."""
    pieces = [nal[at : at + size] for at in range(1, len(nal), size)]
    made = []
    for number, piece in enumerate(pieces):
        flags = (0x80 if number == 0 else 0) | (0x40 if number == len(pieces) - 1 else 0)
        made.append(bytes((nal[0] & 0xE0 | 28, flags | nal[0] & 0x1F)) + piece)
    return made


def stap(*nals):
    """A payload STAP-A."""
    return b"\x78" + b"".join([len(nal).to_bytes(2, "big") + nal for nal in nals])


def payloads(unit, mtu=1400):
    """The payloads of an access unit: what is too large in fragments."""
    made = []
    for nal in nal_units(unit):
        made += [nal] if len(nal) <= mtu else fragments(nal, mtu - 2)
    return made


def packets(unit, sequence, timestamp, mtu=1400, has_marker=True):
    """The packets of an access unit."""
    parts = payloads(unit, mtu)
    return [
        rtp(sequence + n, timestamp, part, has_marker and n == len(parts) - 1)
        for n, part in enumerate(parts)
    ]


def film(units, sequence=0, timestamp=0, step=3600, mtu=1400, has_marker=True):
    """The packets of [(unit, is_key)], one after the other."""
    made = []
    for number, (unit, _) in enumerate(units):
        made += packets(unit, sequence + len(made), timestamp + number * step, mtu, has_marker)
    return made


def frame(packet, channel=0):
    """A packet as it stands in an RTSP connection."""
    return b"$" + bytes((channel,)) + len(packet).to_bytes(2, "big") + packet
