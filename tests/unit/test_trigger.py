"""Triggers, priorities and the clip names that carry them."""

from firmware import trigger
from harness import eq, raises


def test_names_carry_trigger_and_number():
    for name in trigger.NAMES:
        eq(trigger.parse_clip_name(trigger.clip_name(name, 42)), (name, 42))
    eq(trigger.clip_name(trigger.MOTION, 42), "m0000042.ts")
    eq(trigger.parse_clip_name("M0000042.TS"), (trigger.MOTION, 42))


def test_foreign_names_are_not_clips():
    for name in (
        "",
        "m.ts",
        "x0000042.ts",
        "m0000042.mp4",
        "m00000042.ts",
        "OLD-CA~4.TS",
        "m000004a.ts",
    ):
        eq(trigger.parse_clip_name(name), None, name)


def test_specified_priorities():
    for name, priority in (
        ("motion_detection", 2),
        ("security_alert", 3),
        ("scheduled_recording", 1),
    ):
        eq(trigger.default_priority(name), priority, name)
    raises(ValueError, trigger.default_priority, "no such trigger")


def test_priorities_by_number_and_name():
    for given, expected in ((0, 0), (3, 3), ("LOW", 0), ("urgent", 3)):
        eq(trigger.parse_priority(given), expected)
    for wrong in (-1, 4, "now", None, True, 1.5):
        raises(ValueError, trigger.parse_priority, wrong)
