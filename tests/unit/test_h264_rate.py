"""The frame rate out of parameter sets that tell of one, and of those that do not."""

from h264_rate import frame_rate
from harness import eq
from nal_units import SPS, Bits, idr_unit, nal, pps, slice_nal


def sps(vui=None):
    """A baseline SPS of 320x240, with these Bits of VUI."""
    bits = (
        Bits().u(66, 8).u(0xC01E, 16).ue(0, 0, 0, 4, 1).u(0, 1).ue(19, 14).u(1, 1).u(1, 1).u(0, 1)
    )
    bits.u(0 if vui is None else 1, 1)
    bits._bits += [] if vui is None else vui._bits
    return nal(SPS, bits.rbsp())


def timing(tick, scale, before=None):
    return (before or Bits().u(0, 4)).u(1, 1).u(tick, 32).u(scale, 32).u(1, 1).u(0, 4)


def test_rates():
    for vui, fps in (
        (None, 0),
        (Bits().u(0, 9), 0),
        (timing(1, 50), 25),
        (timing(1001, 60000), 30),
        (timing(2, 50), 13),
        (timing(0, 50), 0),
        (timing(1, 0), 0),
        (timing(500, 30000, Bits().u(1, 1).u(1, 8).u(0, 3)), 30),
        (timing(500, 30000, Bits().u(1, 1).u(255, 8).u(0x10001, 32).u(0, 3)), 30),
        (timing(500, 30000, Bits().u(0, 1).u(3, 2).u(0, 2)), 30),
        (timing(500, 30000, Bits().u(0, 2).u(1, 1).u(5, 4).u(1, 1).u(0x10101, 24).u(0, 1)), 30),
        (timing(500, 30000, Bits().u(0, 2).u(1, 1).u(5, 4).u(0, 1).u(1, 1).ue(0, 0)), 30),
        (timing(500, 30000, Bits().u(0, 3).u(1, 1).ue(2, 3)), 30),
    ):
        eq(frame_rate(sps(vui) + pps() + slice_nal(5, 0)), fps)


def test_an_encoder_s_own_parameter_set():
    """25 frames per second, by x264."""
    x264 = (
        b"\x00\x00\x00\x01\x67\x64\x00\x1e\xac\xd9\x40\xa0\x2f\xf9\x70\x11"
        b"\x00\x00\x03\x00\x01\x00\x00\x03\x00\x32\x0f\x16\x2d\x96"
    )
    eq(frame_rate(memoryview(x264)), 25)


def test_where_there_is_none():
    whole = sps(timing(1, 50))
    for stop in range(len(whole) - 3):
        eq(frame_rate(whole[:stop]), 0, "cut at %d" % stop)
    for unit in (b"", slice_nal(5, 0), pps(), idr_unit(0)):
        eq(frame_rate(unit), 0)
