"""The motion state machine, told as stories of (time, level, expected event)."""

from harness import eq
from motion import STARTED, STOPPED, Debounce, MotionDetector

_PERIOD = 1 << 30


def _ticks_diff(end, start):
    return (end - start + _PERIOD // 2) % _PERIOD - _PERIOD // 2


def play(story, start_ms=0, **times):
    settings = {"hold_off_ms": 0, "post_roll_ms": 0, "cool_down_ms": 0, "ticks_diff": _ticks_diff}
    settings.update(times)
    detector = MotionDetector(**settings)
    for at_ms, level, expected in story:
        eq(detector.update(level, (start_ms + at_ms) % _PERIOD), expected, "at %d ms" % at_ms)


def test_a_level_starts_and_stops():
    play(((0, 0, None), (10, 1, STARTED), (20, 1, None), (30, 0, STOPPED), (40, 0, None)))


def test_a_spike_shorter_than_the_hold_off_is_nothing():
    story = ((0, 1, None), (90, 1, None), (95, 0, None), (100, 1, None), (199, 1, None))
    play(story + ((200, 1, STARTED),), hold_off_ms=100)


def test_the_post_roll_starts_anew_with_every_motion():
    story = ((0, 1, STARTED), (10, 0, None), (90, 1, None), (100, 0, None), (199, 0, None))
    play(story + ((200, 0, STOPPED),), post_roll_ms=100)


def test_deaf_while_cooling_down():
    story = ((0, 1, STARTED), (10, 0, STOPPED), (20, 1, None), (109, 1, None), (110, 1, STARTED))
    play(story, cool_down_ms=100)


def test_ticks_may_wrap():
    story = ((0, 1, None), (100, 1, STARTED), (110, 0, None), (210, 0, STOPPED))
    for start_ms in (_PERIOD - 50, _PERIOD - 150):
        play(story, start_ms, hold_off_ms=100, post_roll_ms=100)


def test_a_pin_counts_when_it_was_steady():
    glitch_up = ((0, 1, 0), (40, 1, 0), (49, 0, 0), (50, 1, 0), (99, 1, 0), (100, 1, 1))
    glitch_down = ((110, 0, 1), (150, 1, 1), (160, 0, 1), (209, 0, 1), (210, 0, 0), (220, 1, 0))
    rare_looks = ((0, 1, 0), (500, 1, 1), (900, 0, 1), (1000, 1, 1))
    for steady_ms, story in (
        (50, glitch_up + glitch_down),
        (50, rare_looks),
        (0, ((0, 1, 1), (1, 0, 0), (2, 1, 1))),
        (1, ((0, 0, 0), (1, 1, 0), (2, 1, 1))),
    ):
        for start_ms in (0, _PERIOD - 30, _PERIOD - 75):
            debounce = Debounce(steady_ms, _ticks_diff)
            for at_ms, pin, expected in story:
                level = debounce.update(pin, (start_ms + at_ms) % _PERIOD)
                eq(level, bool(expected), "%d ms, at %d ms" % (steady_ms, at_ms))
