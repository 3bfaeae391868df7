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
        detector = MotionDetector(
            hold_off_ms=0, post_roll_ms=100, cool_down_ms=0, ticks_diff=ticks_diff
        )
        self.trigger = MotionTrigger(
            lambda: self.level,
            detector,
            start=lambda trigger, priority: self.calls.append((trigger, priority)),
            stop=lambda: self.calls.append("stop"),
            ticks_ms=lambda: self.now_ms,
        )

    def at(self, now_ms, level):
        self.now_ms, self.level = now_ms, level
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
    eq(rig.calls, [ALERT, ALERT])
    rig.at(100, 0)
    eq(rig.calls, [ALERT, ALERT, "stop"])


async def test_the_task_watches_the_pin():
    import asyncio

    rig = Rig()
    task = asyncio.create_task(rig.trigger.run())
    rig.level = 1
    await asyncio.sleep_ms(50)
    task.cancel()
    eq(rig.calls, [MOTION])
