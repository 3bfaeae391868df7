"""The specified status messages: field for field, in the specified units."""

import json
from collections import namedtuple

from firmware import status_messages as messages
from firmware.job import Job
from firmware.retention_policy import Evicted
from firmware.upload_error import UploadError
from harness import eq

PATH = "/sdcard/recordings/m0000042.ts"
Outcome = namedtuple("Outcome", "cloud_url cloud_path sent_bytes duration_ms")


def a_job():
    job = Job(PATH, 15728640, 2, "motion_detection")
    job.attempts = 2
    return job


def test_progress_in_the_specified_units():
    got = json.loads(messages.upload_progress(a_job(), 7108608, 15728640, 546816, 7))
    eq(
        got,
        {
            "event": "upload_progress",
            "file_path": PATH,
            "progress_percentage": 45.1,
            "bytes_uploaded": 7108608,
            "total_bytes": 15728640,
            "upload_speed_kbps": 546,
            "estimated_time_remaining_sec": 15,
            "timestamp": 7,
        },
    )


def test_progress_of_nothing():
    got = json.loads(messages.upload_progress(a_job(), 0, 0, 0, 7))
    eq((got["progress_percentage"], got["estimated_time_remaining_sec"]), (0, 0))


def test_started_completed_failed():
    eq(
        json.loads(messages.upload_started(a_job(), "CAM/x.ts", 7)),
        {
            "event": "upload_started",
            "file_path": PATH,
            "filename": "m0000042.ts",
            "cloud_path": "CAM/x.ts",
            "file_size": 15728640,
            "priority": 2,
            "timestamp": 7,
        },
    )
    outcome = Outcome("https://b.example/x.ts", "CAM/x.ts", 15728640, 32000)
    eq(
        json.loads(messages.upload_completed(a_job(), outcome, 7)),
        {
            "event": "upload_completed",
            "file_path": PATH,
            "filename": "m0000042.ts",
            "cloud_url": "https://b.example/x.ts",
            "upload_duration_sec": 32,
            "average_speed_kbps": 491,
            "timestamp": 7,
        },
    )
    error = UploadError("TIMEOUT", "Upload timeout after 300 seconds")
    eq(
        json.loads(messages.upload_failed(a_job(), error, True, 7)),
        {
            "event": "upload_failed",
            "file_path": PATH,
            "filename": "m0000042.ts",
            "error_code": "TIMEOUT",
            "error_message": "Upload timeout after 300 seconds",
            "retry_count": 2,
            "will_retry": True,
            "timestamp": 7,
        },
    )


def test_speed_is_that_of_what_went_now():
    """Half of the file was stored by an earlier attempt."""
    outcome = Outcome("https://b.example/x.ts", "CAM/x.ts", 8000000, 16000)
    eq(json.loads(messages.upload_completed(a_job(), outcome, 7))["average_speed_kbps"], 500)


def test_a_viewer_is_told_where_the_first_picture_is():
    job = a_job()
    job.poster_bytes = 40044
    outcome = Outcome("https://b.example/x.ts", "CAM/x.ts", 15728640, 32000)
    got = json.loads(messages.upload_completed(job, outcome, 7))
    eq(got["poster"], {"cloud_path": "CAM/x.ts", "offset": 0, "bytes": 40044})


def test_what_went_to_make_room():
    evicted = Evicted(PATH, 15728640, 0, "historical_recording", True, "age")
    eq(
        json.loads(messages.recording_evicted(evicted, 7)),
        {
            "event": "recording_evicted",
            "file_path": PATH,
            "file_size": 15728640,
            "trigger": "historical_recording",
            "priority": 0,
            "was_uploaded": True,
            "reason": "age",
            "timestamp": 7,
        },
    )


def test_what_becomes_of_the_card():
    eq(
        json.loads(messages.card_changed("card_gone", "[Errno 5] EIO", 7)),
        {"event": "card_gone", "message": "[Errno 5] EIO", "timestamp": 7},
    )
