"""What is recorded when nothing happens."""

from firmware.recording_plan import RecordingPlan
from firmware.trigger import HISTORICAL, SCHEDULED
from harness import eq, raises

HOUR = 3600


def test_hours_of_the_schedule():
    for is_continuous, otherwise in ((False, None), (True, HISTORICAL)):
        plan = RecordingPlan(["08:00-12:00", "22:30-05:00"], is_continuous)
        for time_of_day, what in (
            (8 * HOUR - 1, otherwise),
            (8 * HOUR, SCHEDULED),
            (12 * HOUR - 1, SCHEDULED),
            (12 * HOUR, otherwise),
            (22 * HOUR + 1800, SCHEDULED),
            (0, SCHEDULED),
            (5 * HOUR, otherwise),
            (None, otherwise),
        ):
            eq(plan.background(time_of_day), what, (is_continuous, time_of_day))


def test_no_schedule():
    eq(RecordingPlan([], False).background(0), None)
    eq(RecordingPlan((), True).background(0), HISTORICAL)


def test_a_wrong_window_says_what_is_allowed():
    assert "HH:MM-HH:MM" in str(raises(ValueError, RecordingPlan, ["8-12"], False))
