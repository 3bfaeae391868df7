"""The specified messages: field for field, and what arrives is checked."""

import json
from collections import namedtuple

from firmware import messages
from firmware.messages import Refusal, parse_upload_response
from firmware.upload_error import UploadError
from firmware.upload_queue import Job
from harness import eq, raises
from protocol_error import ProtocolError

PATH = "/sdcard/recordings/m0000042.ts"
Clip = namedtuple("Clip", "duration_ms height")
Outcome = namedtuple("Outcome", "cloud_url size_bytes duration_ms")


def a_job():
    job = Job(PATH, 15728640, 2, "motion_detection", clip=Clip(120400, 1080))
    job.attempts = 2
    return job


def response(**fields):
    given = {
        "success": True,
        "request_id": "upload_1a2b3c4d",
        "upload_url": "https://b.example/path/file.ts?signed",
        "method": "PUT",
        "content_type": "video/mp2t",
        "cloud_file_path": "CAM/2025/07/11/143022_m.ts",
        "expires_at": 1691238167,
        "extra_headers": {"x-oss-storage-class": "Standard"},
    }
    given.update(fields)
    return json.dumps(given)


def test_request_has_the_specified_fields():
    sent = json.loads(messages.upload_request("CAM", "upload_1", a_job(), "CAM/x.ts", 1691234567))
    eq(
        sent,
        {
            "request_id": "upload_1",
            "file_name": "CAM/x.ts",
            "file_size": 15728640,
            "priority": 2,
            "timestamp": 1691234567,
            "device_id": "CAM",
            "metadata": {
                "content_type": "video/mp2t",
                "format": "H264/MPEG-TS",
                "trigger": "motion_detection",
                "duration": 120,
                "resolution": "1080p",
            },
        },
    )


def test_cloud_name():
    date = (2025, 7, 11, 14, 30, 22, 4, 192)
    eq(messages.cloud_name("CAM_1", date, "m0000042.ts"), "CAM_1/2025/07/11/143022_m0000042.ts")


def test_progress_in_the_specified_units():
    got = json.loads(messages.upload_progress(a_job(), 7108608, 13000, 7))
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
    outcome = Outcome("https://b.example/x.ts", 15728640, 32000)
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


def test_response_is_read():
    grant = parse_upload_response(response(server_time=1691234000))
    eq(grant.upload_url, "https://b.example/path/file.ts?signed")
    eq(grant.extra_headers, (("x-oss-storage-class", "Standard"),))
    eq((grant.expires_at, grant.server_time), (1691238167, 1691234000))


def test_headers_in_three_shapes():
    for shape in ({"A": "1"}, [["A", "1"]], '{"A": "1"}', '[["A", "1"]]'):
        eq(parse_upload_response(response(extra_headers=shape)).extra_headers, (("A", "1"),))
    for nothing in (None, "", {}, []):
        eq(parse_upload_response(response(extra_headers=nothing)).extra_headers, ())


def test_refusal():
    got = parse_upload_response(
        '{"success": false, "request_id": "r", "error_code": "UNAUTHORIZED", "error_message": "no"}'
    )
    eq(got, Refusal("r", "UNAUTHORIZED", "no"))
    eq(parse_upload_response('{"request_id": "r"}').error_code, "REFUSED")


def test_wrong_responses_are_named():
    for payload, fault in (
        (b"\xff\x00", "not JSON"),
        ("[" * 3000, "not JSON"),
        ("[]", "not a JSON object"),
        (response(request_id=5), "request_id"),
        (response(upload_url="x" * 3000), "upload_url"),
        (response(expires_at="soon"), "expires_at"),
        (response(extra_headers={"A": "1\r\nB: 2"}), "extra_headers"),
        (response(extra_headers={"A b": "1"}), "extra_headers"),
        (response(extra_headers=[["A"]]), "extra_headers"),
        (response(extra_headers=7), "extra_headers"),
        (response(extra_headers={"h%d" % i: "" for i in range(17)}), "extra_headers"),
    ):
        error = raises(ProtocolError, parse_upload_response, payload)
        assert fault in str(error), (payload[:40], error)
