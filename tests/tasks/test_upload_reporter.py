"""Each event goes to its topic with its quality of service; what cannot be kept is at least logged."""

import json
from collections import namedtuple

from firmware.clip import Clip
from firmware.job import Job
from firmware.messages import Topics
from firmware.retention_policy import Evicted
from firmware.upload_error import UploadError
from firmware.upload_reporter import UploadReporter
from harness import eq

PATH = "/sdcard/recordings/m0000042.ts"
UNIX = 1763856000
UPLOAD, RECORDING = "devices/CAM/status/upload", "devices/CAM/status/recording"

Grant = namedtuple("Grant", "cloud_file_path")
Outcome = namedtuple("Outcome", "cloud_url sent_bytes duration_ms")
CLIP = Clip(
    PATH, 4000000, b"", "motion_detection", 2, UNIX - 9, 8040, 201, 640, 272, 25, 960, 9024, 0
)
ERROR = UploadError("TIMEOUT", "the store did not answer")


class Rig:
    def __init__(self, has_room=True, unix=UNIX):
        self.sent, self.log = [], []
        self._has_room = has_room
        self.reporter = UploadReporter(
            self._publish, Topics("CAM"), unix_time=lambda: unix, log=self.log.append
        )

    def _publish(self, topic, payload, qos):
        self.sent.append((topic, json.loads(payload), qos))
        return self._has_room


def a_job():
    job = Job(PATH, 4000000, 2, "motion_detection")
    job.attempts = 3
    return job


# What is told, with which arguments; topic, event, QoS; some of its fields; a part of the log line.
EVENTS = (
    (
        "upload_started",
        (a_job(), Grant("CAM/2025/m.ts")),
        (UPLOAD, "upload_started", 1),
        {"cloud_path": "CAM/2025/m.ts", "file_size": 4000000, "priority": 2},
        "upload started: " + PATH,
    ),
    (
        "upload_progress",
        (a_job(), 1000000, 4000000, 500000),
        (UPLOAD, "upload_progress", 0),
        {"bytes_uploaded": 1000000, "total_bytes": 4000000, "upload_speed_kbps": 500},
        None,
    ),
    (
        "upload_completed",
        (a_job(), Outcome("https://store.example/CAM/m.ts", 4000000, 8000)),
        (UPLOAD, "upload_completed", 1),
        {"cloud_url": "https://store.example/CAM/m.ts", "upload_duration_sec": 8},
        PATH + " -> https://store.example/CAM/m.ts",
    ),
    (
        "upload_failed",
        (a_job(), ERROR, True),
        (UPLOAD, "upload_failed", 1),
        {"error_code": "TIMEOUT", "retry_count": 3, "will_retry": True},
        "TIMEOUT: the store did not answer",
    ),
    (
        "upload_failed",
        (a_job(), ERROR, False),
        (UPLOAD, "upload_failed", 1),
        {"will_retry": False},
        "(given up)",
    ),
    (
        "recording_started",
        (PATH, "motion_detection", 2),
        (RECORDING, "recording_started", 1),
        {"trigger": "motion_detection", "priority": 2},
        "recording started: " + PATH,
    ),
    (
        "recording_completed",
        (CLIP,),
        (RECORDING, "recording_completed", 1),
        {"file_size": 4000000, "duration_ms": 8040, "frames": 201, "width": 640, "height": 272},
        "recording completed: " + PATH,
    ),
    (
        "recording_failed",
        (PATH, OSError(5, "card")),
        (RECORDING, "recording_failed", 1),
        {},
        "recording failed: " + PATH,
    ),
    (
        "recording_evicted",
        (Evicted(PATH, 4000000, 2, "motion_detection", False, "reserve"),),
        (RECORDING, "recording_evicted", 1),
        {"file_size": 4000000, "priority": 2, "was_uploaded": False, "reason": "reserve"},
        "recording deleted: " + PATH + " (reserve, not uploaded)",
    ),
)


def test_each_event_has_its_topic_quality_and_fields():
    for verb, arguments, expected, fields, line in EVENTS:
        rig = Rig()
        getattr(rig.reporter, verb)(*arguments)
        ((topic, payload, qos),) = rig.sent
        eq((topic, payload["event"], qos), expected)
        eq((payload["file_path"], payload["timestamp"]), (PATH, UNIX), verb)
        for key in fields:
            eq(payload[key], fields[key], "%s: %s" % (verb, key))
        eq(len(rig.log), 0 if line is None else 1, verb)
        assert line is None or line in rig.log[0], rig.log


def test_what_finds_no_room_is_logged_but_for_progress():
    for verb, arguments, expected, _, _ in EVENTS:
        rig = Rig(has_room=False)
        getattr(rig.reporter, verb)(*arguments)
        lost = [text for text in rig.log if text.startswith("no room to report: ")]
        eq(len(lost), expected[2], verb)
        if lost:
            eq(json.loads(lost[0][19:]), rig.sent[0][1])


def test_a_failed_recording_says_what_the_card_said():
    rig = Rig()
    rig.reporter.recording_failed(PATH, OSError(28, "no space left"))
    assert "28" in rig.sent[0][1]["error_message"], rig.sent


def test_no_room_is_an_alarm_and_told_when_over():
    rig = Rig()
    rig.reporter.recording_stopped(1, "quota")
    rig.reporter.recording_resumed()
    told = {"event": "recording_stopped", "priority": 1, "reason": "quota", "timestamp": UNIX}
    over = {"event": "recording_resumed", "timestamp": UNIX}
    eq(rig.sent, [(RECORDING, told, 1), (RECORDING, over, 1)])
    eq(rig.log, ["no more recordings up to priority 1: quota", "recordings are made again"])


def test_an_unknown_time_is_told_as_unknown():
    rig = Rig(unix=None)
    rig.reporter.recording_started(PATH, "motion_detection", 2)
    eq(rig.sent[0][1]["timestamp"], None)
