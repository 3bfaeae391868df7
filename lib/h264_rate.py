"""The frame rate that an H.264 parameter set tells of (ITU-T H.264, Annex E), if it does.

Pure: no IO.
"""

from annexb import read_size, sps_of
from protocol_error import ProtocolError


def frame_rate(unit):
    """Frames per second, rounded, from an access unit's SPS; 0 when it tells of none."""
    try:
        sps = sps_of(unit)
        read_size(sps)
        return _timing(sps) if sps.bits(1) else 0
    except (IndexError, ProtocolError):
        return 0  # there is none, or it ends before that


def _timing(sps):
    """E.1.1 up to the rate, which counts fields."""
    if sps.bits(1) and sps.bits(8) == 255:  # the shape of a pixel
        sps.bits(32)
    if sps.bits(1):  # overscan
        sps.bits(1)
    if sps.bits(1):  # what the colours mean
        sps.bits(4)
        if sps.bits(1):
            sps.bits(24)
    if sps.bits(1):  # where the chroma samples lie
        sps.golomb()
        sps.golomb()
    if not sps.bits(1):
        return 0
    tick, scale = sps.bits(32), sps.bits(32)
    return (scale + tick) // (2 * tick) if tick else 0
