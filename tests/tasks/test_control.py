"""Commands: carried out once, refused with what is allowed, always answered."""

import json

from firmware.control import Control
from harness import eq


class Rig:
    def __init__(self):
        self.calls = []
        self.answers = []
        self.lines = []
        self.control = Control(
            fire=lambda *args: self.calls.append(args),
            upload_file=self.upload_file,
            requeue_failed=lambda: self.calls.append("requeue"),
            respond=lambda payload: self.answers.append(json.loads(payload)),
            log=self.lines.append,
        )

    def upload_file(self, path, priority):
        if path != "m0000001.ts":
            raise ValueError("path: allowed are files in /sdcard/recordings/")
        self.calls.append((path, priority))

    def send(self, retained=False, **fields):
        self.control.on_command("topic", json.dumps(fields).encode(), retained)


def test_trigger_with_defaults_and_with_everything():
    rig = Rig()
    rig.send(command="trigger", command_id="1")
    rig.send(command="trigger", trigger="security_alert", duration_sec=3, priority="LOW")
    eq(rig.calls, [("manual_recording", 1, 10000), ("security_alert", 0, 3000)])
    eq(rig.answers[0], {"command_id": "1", "command": "trigger", "success": True})


def test_the_other_verbs():
    rig = Rig()
    rig.send(command="upload_file", path="m0000001.ts", priority=3)
    rig.send(command="requeue_failed")
    eq(rig.calls, [("m0000001.ts", 3), "requeue"])


def test_refusals_say_what_is_allowed():
    for fields, fault in (
        ({"command": "format_card"}, "allowed are requeue_failed, trigger, upload_file"),
        ({"command": "trigger", "trigger": "x"}, "allowed are motion_detection"),
        ({"command": "trigger", "priority": 9}, "allowed are 0..3"),
        ({"command": "trigger", "duration_sec": 0}, "allowed are 1..3600"),
        ({"command": "trigger", "duration_sec": "1"}, "allowed are 1..3600"),
        ({"command": "upload_file"}, "give the file's path"),
        ({"command": "upload_file", "path": "/etc/passwd"}, "allowed are files in"),
    ):
        rig = Rig()
        rig.send(command_id="9", **fields)
        eq(rig.calls, [], fault)
        eq((rig.answers[0]["command_id"], rig.answers[0]["success"]), ("9", False))
        assert fault in rig.answers[0]["error_message"], rig.answers


def test_retained_and_garbled_commands_do_nothing():
    rig = Rig()
    rig.send(retained=True, command="trigger")
    for payload in (b"", b"\xff", b"[]", b'{"command": 5}'):
        rig.control.on_command("topic", payload, False)
    eq((rig.calls, rig.answers, len(rig.lines)), ([], [], 5))
