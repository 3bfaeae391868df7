"""The check of access units: what each is good for, and the time that goes on evenly."""

import micropython

from firmware.unit_check import DROPPED, KEY, OTHER_KEY, PICTURE, UnitCheck
from harness import eq
from nal_units import AUD, IDR, SEI, SLICE, idr_unit, nal, pps, slice_nal, sps
from parameter_sets import ParameterSets

CLOCK = 1 << 33
FRAME_90K = 3600
SHORT = b"\x00\x00\x01"


def check(log=None):
    made = UnitCheck(ParameterSets(bytearray(708), 156, 184), log or print)
    made.restart(25)
    return made


def test_what_a_unit_is_good_for():
    delimiter, words = nal(AUD, b"\xf0"), nal(SEI, b"\x05\x01\xaa\x80")
    other = sps(40, 30) + pps() + slice_nal(IDR, 1)
    again = sps() + pps() + pps() + slice_nal(IDR, 1)
    for unit, kind in (
        (slice_nal(SLICE, 1), PICTURE),
        (slice_nal(SLICE, 1, start=SHORT), PICTURE),
        (delimiter + words + slice_nal(SLICE, 1), PICTURE),
        (bytearray(slice_nal(SLICE, 1)), PICTURE),
        (memoryview(idr_unit(1)), KEY),
        (delimiter + idr_unit(1), KEY),
        (slice_nal(IDR, 1), KEY),  # the sets are known
        (again, KEY),
        (other, OTHER_KEY),
        (slice_nal(IDR, 1)[:4], DROPPED),
        (sps() + pps(), DROPPED),
        (b"", DROPPED),
        (bytes(5), DROPPED),
        (b"\x00" + slice_nal(SLICE, 1), DROPPED),
        (b"\x00\x00\x01\x80\x00", DROPPED),
    ):
        one = check()
        eq(one.take(idr_unit(0), 0, True), KEY)
        eq(one.take(unit, FRAME_90K, False), kind, repr(bytes(unit)))


def test_another_sps_counts_when_it_is_adopted():
    one, other = check(), sps(40, 30) + pps() + slice_nal(IDR, 1)
    eq(one.take(idr_unit(0), 0, True), KEY)
    eq([one.take(other, 0, True), one.take(other, 0, True)], [OTHER_KEY] * 2)
    one.adopt(other)
    eq([one.take(other, 0, True), one.take(idr_unit(0), 0, True)], [KEY, OTHER_KEY])


def test_what_is_adopted_is_its_own_sets_whatever_was_looked_at_meanwhile():
    sets = ParameterSets(bytearray(708), 156, 184)
    one, other = UnitCheck(sets, print), sps(40, 30) + pps() + slice_nal(IDR, 1)
    eq(one.take(idr_unit(0), 0, True), KEY)
    eq(one.take(other, 0, True), OTHER_KEY)
    before = bytes(5000) + idr_unit(0)  # as the muxer finds it in the ring
    assert sets.find(before, 5000, len(before))
    one.adopt(other)
    eq([one.take(other, 0, True), one.take(idr_unit(0), 0, True)], [KEY, OTHER_KEY])


def test_what_comes_before_an_idr_picture_with_its_sets_cannot_be_played():
    one = check()
    units = slice_nal(SLICE, 0), slice_nal(IDR, 1), sps() + slice_nal(IDR, 2), slice_nal(SLICE, 3)
    eq([one.take(unit, 0, False) for unit in units], [DROPPED] * 4)
    eq((one.can_play, one.dropped), (False, 0))
    eq([one.take(idr_unit(4), 0, True), one.take(units[0], 0, False)], [KEY, PICTURE])
    assert one.can_play
    one.restart(25)
    eq((one.can_play, one.take(units[1], 0, True)), (False, DROPPED))


def test_a_burst_is_told_once_and_ends_with_an_idr_picture():
    log = []
    one = check(log.append)
    for number in range(20):
        if number % 10 == 0:
            eq(one.take(idr_unit(0), 0, True), KEY)
        else:
            one.take(b"garbage", 0, False)
    eq((one.dropped, len(log)), (18, 2))


def times(*given):
    one = check()
    found = []
    for pts_90k in given:
        one.take(idr_unit(0), pts_90k % CLOCK, True)
        found.append(one.pts_90k)
    return found


def test_time_goes_on_evenly():
    limit = 5 * 90000
    for given, expected in (
        ((7, 3607, 7300), [7, 3607, 7300]),
        ((0, limit, limit + 1), [0, limit, limit + 1]),
        ((0, limit + 1, limit + 3601), [0, 3600, 7200]),
        ((9000, 5400, 9000), [9000, 12600, 16200]),
        ((9000, 9000, 12600), [9000, 9001, 12601]),
        ((-3600, 0, 3600), [CLOCK - 3600, 0, 3600]),
        ((-3600, 10**8, 10**8 + 10), [CLOCK - 3600, 0, 10]),
    ):
        eq(times(*given), expected, repr(given))


def test_our_time_wraps_too():
    one, step = check(), 5 * 90000
    last = 0
    for number in range(CLOCK // step + 3):
        one.take(idr_unit(0), number * step % CLOCK, True)
        assert (one.pts_90k - last) % CLOCK in (0, step), number
        last = one.pts_90k
    assert last < 3 * step


def test_a_new_start_goes_on_where_the_last_one_ended():
    one = check()
    one.take(idr_unit(0), 90000, True)
    one.restart(10)
    one.take(idr_unit(0), 5, True)
    eq(one.pts_90k, 99000)


def test_nothing_is_allocated_per_unit():
    one = check()
    units = idr_unit(0, 900), slice_nal(SLICE, 1, 900), b"garbage", slice_nal(IDR, 2), idr_unit(3)
    one.take(units[2], 0, False)  # the log is told
    micropython.heap_lock()
    try:
        for number in range(200):
            one.take(units[number % 2 * 3], number * FRAME_90K, False)
            one.take(units[1], number * FRAME_90K + 9, False)
            one.take(units[4], number * FRAME_90K + 9, False)
    finally:
        micropython.heap_unlock()
