"""What camera and cloud say about an upload: field for field, and what arrives is checked."""

import json

from firmware import upload_messages as messages
from firmware.growth import Growth
from firmware.job import Job
from firmware.upload_messages import (
    CompleteAck,
    Refusal,
    complete_fields,
    parse_complete_ack,
    parse_upload_response,
    request_fields,
)
from harness import eq, raises
from protocol_error import ProtocolError

PATH = "/sdcard/recordings/m0000042.ts"
MD5 = bytes(range(16))
MD5_BASE64 = "AAECAwQFBgcICQoLDA0ODw=="


def a_job():
    job = Job(PATH, 15728640, 2, "motion_detection")
    job.duration_ms, job.height = 120400, 1080
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


def parts_response(**fields):
    given = {
        "upload_url": "",
        "content_type": "",
        "mode": "multipart",
        "upload_id": "u1",
        "part_size": 5242880,
        "parts_done": 1,
        "parts": [
            {"part_number": 2, "upload_url": "https://b.example/2"},
            {"part_number": 3, "upload_url": "https://b.example/3"},
        ],
        "extra_headers": {},
    }
    given.update(fields)
    return response(**given)


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
                "mean_bitrate_bps": 1045000,
                "resolution": "1080p",
            },
        },
    )


def test_what_is_known_of_a_clip_goes_along():
    job = a_job()
    job.fps, job.frames, job.pre_roll_ms, job.clock, job.poster_bytes = 25, 3010, 4960, "ntp", 40044
    metadata = json.loads(messages.upload_request("CAM", "u", job, "CAM/x.ts", 7))["metadata"]
    eq(
        [metadata[name] for name in ("fps", "frames", "pre_roll_ms", "clock", "poster")],
        [25, 3010, 4960, "ntp", {"offset": 0, "bytes": 40044}],
    )


def asked(job, *more):
    fields = request_fields(job, *more)
    return json.loads(messages.upload_request("CAM", "upload_1", job, "CAM/x.ts", 7, fields))


def test_request_of_protocol_2():
    sent = asked(a_job(), False)
    eq((sent["protocol"], sent["capabilities"]), (2, ["put"]))
    eq([key for key in ("content_md5", "content_encoding", "live", "resume") if key in sent], [])
    job = a_job()
    job.md5, job.content_encoding, job.growth = MD5, "gzip", Growth()
    sent = asked(job, True)
    eq(sent["capabilities"], ["put", "multipart", "append"])
    eq((sent["content_md5"], sent["content_encoding"], sent["live"]), (MD5_BASE64, "gzip", True))
    eq(sent["file_name"], "CAM/x.ts")
    job.growth.finish(5)
    assert "live" not in asked(job, True)


def test_request_to_go_on():
    job = a_job()
    job.upload_id, job.cloud_path = "u1", "elsewhere/x.ts"
    resume = {"upload_id": "u1", "next_part": 3}
    sent = asked(job, True, resume)
    eq((sent["resume"], sent["file_name"]), (resume, "elsewhere/x.ts"))


def test_response_is_read():
    grant = parse_upload_response(response(server_time=1691234000, expires_in=3600))
    eq(grant.upload_url, "https://b.example/path/file.ts?signed")
    eq(grant.extra_headers, (("x-oss-storage-class", "Standard"),))
    eq((grant.expires_at, grant.server_time, grant.expires_in), (1691238167, 1691234000, 3600))
    eq((grant.mode, grant.requires_complete, grant.parts), ("put", False, ()))
    assert parse_upload_response(response(requires_complete=True)).requires_complete


def test_grant_of_parts_is_read():
    grant = parse_upload_response(parts_response())
    eq((grant.mode, grant.upload_id, grant.part_size), ("multipart", "u1", 5242880))
    eq(grant.parts, ((2, "https://b.example/2"), (3, "https://b.example/3")))
    eq((grant.parts_done, grant.upload_url), (1, ""))
    assert grant.requires_complete, "nobody else ends an upload in parts"
    grant = parse_upload_response(parts_response(mode="append", parts=None, parts_done=None))
    eq((grant.mode, grant.parts, grant.parts_done), ("append", (), 0))


def test_headers_in_three_shapes():
    for shape in ({"A": "1"}, [["A", "1"]], '{"A": "1"}', '[["A", "1"]]'):
        eq(parse_upload_response(response(extra_headers=shape)).extra_headers, (("A", "1"),))
    for nothing in (None, "", {}, []):
        eq(parse_upload_response(response(extra_headers=nothing)).extra_headers, ())


def test_refusal():
    got = parse_upload_response(
        '{"success": false, "request_id": "r", "error_code": "UNAUTHORIZED", "error_message": "no"}'
    )
    eq(got, Refusal("r", "UNAUTHORIZED", "no", 0))
    eq(parse_upload_response('{"request_id": "r"}').error_code, "REFUSED")
    got = parse_upload_response('{"request_id": "r", "error_code": "X", "retry_after": 2.5}')
    eq(got.retry_after, 2)


def test_wrong_responses_are_named():
    one = {"part_number": 1, "upload_url": "https://b/1"}
    for payload, fault in (
        (b"\xff\x00", "not JSON"),
        ("[" * 399, "not JSON"),
        ("[]", "not a JSON object"),
        (response(request_id=5), "request_id"),
        (response(upload_url="x" * 3000), "upload_url"),
        (response(upload_url=None), "upload_url"),
        (response(expires_at="soon"), "expires_at"),
        (response(expires_at=1e30), "expires_at"),
        (response(expires_in=-1), "expires_in"),
        (response(extra_headers={"A": "1\r\nB: 2"}), "extra_headers"),
        (response(extra_headers={"A b": "1"}), "extra_headers"),
        (response(extra_headers=[["A"]]), "extra_headers"),
        (response(extra_headers=7), "extra_headers"),
        (response(extra_headers={"h%d" % i: "" for i in range(17)}), "extra_headers"),
        (response(mode="sftp"), "mode"),
        (response(mode=1), "mode"),
        (parts_response(upload_id=None), "upload_id"),
        (parts_response(upload_id=""), "upload_id"),
        (parts_response(upload_id="a b"), "upload_id"),
        (parts_response(upload_id="x" * 201), "upload_id"),
        (parts_response(part_size=None), "part_size"),
        (parts_response(part_size=0), "part_size"),
        (parts_response(part_size=2.5), "part_size"),
        (parts_response(part_size=True), "part_size"),
        (parts_response(parts_done=-1), "parts_done"),
        (parts_response(parts_done=10001), "parts_done"),
        (parts_response(parts={}), "parts"),
        (parts_response(parts=[one] * 9), "parts"),
        (parts_response(parts=["https://b/1"]), "parts"),
        (parts_response(parts=[{"part_number": 0, "upload_url": "https://b/1"}]), "part_number"),
        (parts_response(parts=[{"part_number": 1}]), "upload_url"),
        (parts_response(parts=[{"part_number": 1, "upload_url": "x" * 3000}]), "upload_url"),
    ):
        error = raises(ProtocolError, parse_upload_response, payload)
        assert fault in str(error), (payload[:40], error)


def test_complete():
    job = a_job()
    grant = parse_upload_response(response())
    told = complete_fields(grant, job, "stored", digest=MD5)
    eq(
        json.loads(messages.upload_complete("CAM", told)),
        {
            "request_id": "upload_1a2b3c4d",
            "device_id": "CAM",
            "cloud_file_path": "CAM/2025/07/11/143022_m.ts",
            "file_size": 15728640,
            "content_md5": MD5_BASE64,
            "outcome": "stored",
        },
    )
    job.upload_id, job.cloud_path, job.content_encoding = "u1", "CAM/kept.ts", "gzip"
    told = complete_fields(grant, job, "stored", digest=MD5, parts_digest="ab-3")
    eq((told["upload_id"], told["multipart_etag"]), ("u1", "ab-3"))
    eq(told["content_encoding"], "gzip")
    told = complete_fields(None, job, "aborted", error_code="FILE_MISSING")
    eq((told["cloud_file_path"], told["upload_id"]), ("CAM/kept.ts", "u1"))
    eq((told["outcome"], told["error_code"]), ("aborted", "FILE_MISSING"))
    eq([key for key in ("request_id", "content_md5") if key in told], [])


def acknowledged(**fields):
    given = {
        "success": True,
        "request_id": "r",
        "verified": True,
        "cloud_url": "https://b/x",
        "etag": "e",
        "size": 5,
    }
    given.update(fields)
    return parse_complete_ack(json.dumps(given))


def test_ack_is_read():
    eq(acknowledged(), CompleteAck("r", True, "https://b/x", "e", 5))
    eq(acknowledged(verified=1).is_verified, False)
    eq(
        acknowledged(verified=None, cloud_url=None, etag=None, size=None)[1:],
        (False, "", None, None),
    )
    eq(acknowledged(success=False, error_code="INTEGRITY").error_code, "INTEGRITY")
    eq(acknowledged(success="yes").error_code, "REFUSED")


def test_wrong_acks_are_named():
    for fields, fault in (
        ({"request_id": None}, "request_id"),
        ({"cloud_url": "x" * 3000}, "cloud_url"),
        ({"etag": 5}, "etag"),
        ({"size": "5"}, "size"),
        ({"size": -1}, "size"),
    ):
        error = raises(ProtocolError, acknowledged, **fields)
        assert fault in str(error), (fields, error)
