"""Which hours are open to which priority, also over midnight and without a clock."""

from firmware.trigger import HIGH, LOW, NORMAL, URGENT
from firmware.upload_windows import UploadWindows, local_sec_of_day, parse_window
from harness import eq, raises

DAY = 86400


def at(text):
    hours, minutes, seconds = text.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + int(seconds)


def test_a_window_is_open_from_its_first_second_to_before_its_last():
    for window, time, opens_in_sec in (
        ("01:00-06:00", "00:00:00", 3600),
        ("01:00-06:00", "00:59:59", 1),
        ("01:00-06:00", "01:00:00", 0),
        ("01:00-06:00", "05:59:59", 0),
        ("01:00-06:00", "06:00:00", 19 * 3600),
        ("01:00-06:00", "23:59:59", 3601),
        ("22:30-05:00", "22:29:59", 1),
        ("22:30-05:00", "22:30:00", 0),
        ("22:30-05:00", "23:59:59", 0),
        ("22:30-05:00", "00:00:00", 0),
        ("22:30-05:00", "04:59:59", 0),
        ("22:30-05:00", "05:00:00", 17 * 3600 + 1800),
        ("20:00-00:00", "23:59:59", 0),
        ("20:00-00:00", "00:00:00", 20 * 3600),
        ("00:00-23:59", "23:58:59", 0),
        ("00:00-23:59", "23:59:00", 60),
        ("00:00-00:01", "00:00:59", 0),
        ("00:00-00:01", "00:01:00", DAY - 60),
    ):
        for priority, windows in (
            (LOW, UploadWindows(window, "")),
            (NORMAL, UploadWindows("", window)),
        ):
            note = "%s at %s" % (window, time)
            eq(windows.opens_in_sec(priority, at(time)), opens_in_sec, note)
            eq(windows.is_open(priority, at(time)), opens_in_sec == 0, note)


def test_it_opens_in_as_many_seconds_as_it_says():
    for window in ("01:00-06:00", "22:30-05:00", "20:00-00:00"):
        windows = UploadWindows(window, "")
        for now in range(0, DAY, 617):
            wait = windows.opens_in_sec(LOW, now)
            assert windows.is_open(LOW, (now + wait) % DAY), (window, now)
            if wait:
                assert not windows.is_open(LOW, (now + wait - 1) % DAY), (window, now)


def test_each_priority_has_its_own_window_and_the_urgent_ones_have_none():
    windows = UploadWindows("01:00-02:00", "03:00-04:00")
    for priority, expected in (
        (LOW, [True, False, False]),
        (NORMAL, [False, True, False]),
        (HIGH, [True, True, True]),
        (URGENT, [True, True, True]),
    ):
        times = (at("01:30:00"), at("03:30:00"), at("12:00:00"))
        eq([windows.is_open(priority, time) for time in times], expected, priority)


def test_without_a_window_every_time_is_open_even_an_unknown_one():
    windows = UploadWindows("", "")
    for priority in (LOW, NORMAL, HIGH, URGENT):
        eq([windows.opens_in_sec(priority, now) for now in (None, 0, DAY - 1)], [0, 0, 0])


def test_with_an_unknown_clock_what_has_a_window_waits():
    windows = UploadWindows("00:00-23:59", "")
    eq((windows.is_open(LOW, None), windows.opens_in_sec(LOW, None)), (False, None))
    eq([windows.is_open(priority, None) for priority in (NORMAL, HIGH, URGENT)], [True] * 3)


def test_a_clock_that_jumps_leaves_nothing_behind():
    windows = UploadWindows("01:00-06:00", "")
    for _ in range(2):
        eq(windows.is_open(LOW, at("12:00:00")), False)
        eq(windows.is_open(LOW, at("03:00:00")), True, "forward or back: the time now counts")
        eq(windows.is_open(LOW, None), False)


def test_the_time_of_day_is_local():
    unix = 1763856000  # a midnight in UTC
    for offset_min, expected in ((0, 0), (480, 8 * 3600), (-720, 12 * 3600), (345, 20700)):
        eq(local_sec_of_day(unix, offset_min), expected, offset_min)
    eq(local_sec_of_day(unix + DAY - 1, 0), DAY - 1)
    eq(local_sec_of_day(unix + DAY - 1, 1), 59)
    eq(local_sec_of_day(None, 480), None)


def test_what_is_no_window_is_told_what_is_allowed():
    for text in (
        "1:00-6:00",
        "01:00",
        "01:00-06:00 ",
        "01:00_06:00",
        "01-00-06:00",
        "24:00-06:00",
        "01:60-06:00",
        "01:00-24:00",
        "+1:00-06:00",
        "01: 0-06:00",
        "0١:00-06:00",
        "06:00-06:00",
        "anytime....",
        " ",
    ):
        for windows in ((text, ""), ("", text)):
            error = raises(ValueError, UploadWindows, *windows)
            assert "HH:MM-HH:MM" in str(error), error
    eq(parse_window("01:00-06:00"), (3600, 21600))
    eq(parse_window(""), None)
