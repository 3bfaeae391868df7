"""Reads the pictures back out of a transport stream of ours, packet by packet."""

_PACKET = 188
_VIDEO = 0x100
_SLICES = (1, 5)


def pictures(stream):
    """[(slices, pts_90k)]: of each PES packet the slices' bytes, joined, without start codes."""
    found = []
    assert len(stream) % _PACKET == 0, "%d bytes are no whole packets" % len(stream)
    for at in range(0, len(stream), _PACKET):
        packet = stream[at : at + _PACKET]
        assert packet[0] == 0x47, "no packet at %d" % at
        if (packet[1] & 0x1F) << 8 | packet[2] == _VIDEO and packet[3] & 0x10:
            payload = packet[5 + packet[4] :] if packet[3] & 0x20 else packet[4:]
            if packet[1] & 0x40:
                found.append([_pts(payload), payload[9 + payload[8] :]])
            else:
                found[-1][1] += payload
    return [(slices(unit), pts) for pts, unit in found]


def slices(unit):
    """The slices of an access unit, joined."""
    nals = unit.replace(b"\x00\x00\x00\x01", b"\x00\x00\x01").split(b"\x00\x00\x01")
    return b"".join([nal for nal in nals if nal and nal[0] & 0x1F in _SLICES])


def _pts(pes):
    assert pes[:4] == b"\x00\x00\x01\xe0", "no video PES packet"
    high, middle, low = pes[9] >> 1 & 7, pes[10] << 8 | pes[11], pes[12] << 8 | pes[13]
    return high << 30 | middle >> 1 << 15 | low >> 1
