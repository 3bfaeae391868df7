"""The trigger task: the pin and commands together decide when to record."""

from time import ticks_diff

from firmware.motion_trigger import MotionTrigger
from harness import eq
from motion import MotionDetector


class Rig:
    def __init__(self):
        self.level = 0
        self.now_ms = 0
        self.calls = []
        self.background = None
        detector = MotionDetector(
            hold_off_ms=0, post_roll_ms=100, cool_down_ms=0, ticks_diff=ticks_diff
        )
        self.trigger = MotionTrigger(
            lambda: self.level,
            detector,
            start=lambda trigger, priority: self.calls.append((trigger, priority)),
            switch=lambda trigger, priority: self.calls.append(("switch", trigger, priority)),
            stop=lambda: self.calls.append("stop"),
            background=lambda: self.background,
            ticks_ms=lambda: self.now_ms,
        )

    def at(self, now_ms, level):
        self.now_ms, self.level = now_ms, level
        for _ in range(50):  # the background is looked at that rarely
            self.trigger._look(now_ms)


MOTION = ("motion_detection", 2)
ALERT = ("security_alert", 3)


def test_motion_records_until_the_post_roll_is_over():
    rig = Rig()
    for now_ms, level in ((0, 1), (10, 0), (109, 0), (110, 0), (200, 0)):
        rig.at(now_ms, level)
    eq(rig.calls, [MOTION, "stop"])


def test_a_command_records_for_its_time():
    rig = Rig()
    rig.trigger.fire("security_alert", 3, 50)
    for now_ms in (0, 49, 50, 60):
        rig.at(now_ms, 0)
    eq(rig.calls, [ALERT, "stop"])


def test_recording_goes_on_while_either_wants_it():
    rig = Rig()
    rig.at(0, 1)
    rig.trigger.fire("security_alert", 3, 500)
    rig.at(10, 0)
    rig.at(300, 0)
    eq(rig.calls, [MOTION, ALERT], "motion is over, the command is not")
    rig.at(500, 0)
    eq(rig.calls, [MOTION, ALERT, "stop"])


def test_a_second_command_extends_and_never_shortens():
    rig = Rig()
    rig.trigger.fire("security_alert", 3, 100)
    rig.now_ms = 50
    rig.trigger.fire("security_alert", 3, 10)
    rig.at(99, 0)
    eq(rig.calls, [ALERT])
    rig.at(100, 0)
    eq(rig.calls, [ALERT, "stop"])


def test_a_lower_trigger_does_not_lower_a_recording():
    rig = Rig()
    rig.trigger.fire("security_alert", 3, 100)
    rig.at(50, 1)
    rig.trigger.fire("manual_recording", 1, 1000)
    rig.at(200, 0)
    rig.at(1051, 0)
    eq(rig.calls, [ALERT, "stop"])


def test_a_command_that_is_repeated_may_be_more_urgent():
    rig = Rig()
    rig.trigger.fire("manual_recording", 1, 100)
    rig.trigger.fire("manual_recording", 3, 10)
    rig.at(99, 0)
    rig.at(100, 0)
    eq(rig.calls, [("manual_recording", 1), ("manual_recording", 3), "stop"])


def test_motion_is_cut_out_of_a_continuous_recording():
    rig = Rig()
    rig.background = "historical_recording"
    rig.at(0, 0)
    rig.at(10, 1)
    rig.trigger.fire("security_alert", 3, 200)
    rig.at(20, 0)
    rig.at(120, 0)
    rig.at(210, 0)
    background = ("historical_recording", 0)
    eq(rig.calls, [background, ("switch",) + MOTION, ALERT, ("switch",) + background])


def test_the_schedule_begins_and_ends():
    rig = Rig()
    rig.at(0, 1)
    rig.background = "scheduled_recording"
    rig.at(10, 0)
    rig.at(110, 0)
    rig.background = "historical_recording"
    rig.at(200, 0)
    rig.background = None
    rig.at(300, 0)
    eq(
        rig.calls,
        [
            MOTION,
            ("switch", "scheduled_recording", 1),
            ("switch", "historical_recording", 0),
            "stop",
        ],
    )


def test_what_is_below_the_background_does_not_lower_it():
    rig = Rig()
    rig.background = "scheduled_recording"
    rig.at(0, 0)
    rig.trigger.fire("historical_recording", 0, 1000)
    rig.at(10, 0)
    rig.trigger.fire("manual_recording", 1, 100)
    rig.at(110, 0)
    rig.background = None
    rig.at(120, 0)
    scheduled, manual = ("scheduled_recording", 1), ("manual_recording", 1)
    eq(
        rig.calls,
        [
            scheduled,
            ("switch",) + manual,
            ("switch",) + scheduled,
            ("switch", "historical_recording", 0),
        ],
    )


async def test_the_task_watches_the_pin():
    import asyncio

    rig = Rig()
    task = asyncio.create_task(rig.trigger.run())
    rig.level = 1
    await asyncio.sleep_ms(50)
    task.cancel()
    eq(rig.calls, [MOTION])
