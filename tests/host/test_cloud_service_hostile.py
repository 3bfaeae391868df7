"""What must not pass the cloud service's pure core, and is answered all the same."""

from __future__ import annotations

import json

import pytest

from tests.host.cloud_fakes import (
    DEVICE,
    ETAG,
    FULL,
    MD5,
    PATH,
    Answer,
    Service,
)
from tools.cloud_service.handlers import COMPLETE, Reply
from tools.cloud_service.handlers import REQUEST as ASK
from tools.cloud_service.plan import MAX_PARTS


@pytest.fixture
def service() -> Service:
    return Service()


# ---- what must not pass

BAD_FIELDS: dict[str, tuple[Answer, str]] = {
    "protocol text": ({"protocol": "2"}, "protocol: Input should be a valid integer"),
    "protocol 0": ({"protocol": 0}, "protocol: Input should be greater"),
    "capabilities text": ({"capabilities": "put"}, "capabilities: Input should be a valid tuple"),
    "capabilities many": ({"capabilities": ["x"] * 17}, "capabilities: Tuple should have at most"),
    "capabilities numbers": ({"capabilities": [1]}, "capabilities.0: Input should be a valid str"),
    "md5 short": ({"content_md5": "AAAA"}, "content_md5: must be the base64 of 16 bytes"),
    "md5 hex": ({"content_md5": ETAG}, "content_md5: String should have at most 24"),
    "md5 unclean": ({"content_md5": MD5[:-3] + "x=="}, "content_md5: must be the base64"),
    "md5 newline": ({"content_md5": MD5[:-1] + "\n"}, "content_md5: must be the base64"),
    "encoding": ({"content_encoding": "br"}, "content_encoding: Input should be 'gzip'"),
    "live text": ({"live": "yes"}, "live: Input should be a valid boolean"),
    "resume text": ({"resume": "id"}, "resume: Input should be"),
    "upload_id empty": ({"resume": {"upload_id": "", "next_part": 1}}, "resume.upload_id: String"),
    "upload_id long": (
        {"resume": {"upload_id": "x" * 513, "next_part": 1}},
        "resume.upload_id: String should match",
    ),
    "upload_id newline": (
        {"resume": {"upload_id": "a\nb", "next_part": 1}},
        "resume.upload_id: String should match",
    ),
    "next_part 0": ({"resume": {"upload_id": "x", "next_part": 0}}, "resume.next_part: Input"),
    "next_part many": (
        {"resume": {"upload_id": "x", "next_part": MAX_PARTS + 2}},
        "resume.next_part: Input should be less",
    ),
}


@pytest.mark.parametrize("fields, told", BAD_FIELDS.values(), ids=BAD_FIELDS.keys())
async def test_a_bad_request_is_told_what_is_allowed(
    service: Service, fields: Answer, told: str
) -> None:
    refused = await service.ask(**fields)
    assert (refused["success"], refused["error_code"]) == (False, "BAD_REQUEST")
    assert told in refused["error_message"]
    assert service.store.calls == [] and service.signer.signed == []


BAD_COMPLETES: dict[str, tuple[Answer, str]] = {
    "no path": ({"cloud_file_path": None}, "cloud_file_path: Input should be a valid string"),
    "another's path": ({"cloud_file_path": "B/a.ts"}, f"cloud_file_path: must be below {DEVICE}/"),
    "climbing": ({"cloud_file_path": f"{DEVICE}/../B/a.ts"}, "path segments are not allowed"),
    "outcome": ({"outcome": "lost"}, "outcome: Input should be 'stored', 'failed' or 'aborted'"),
    "outcome object": ({"outcome": {}}, "outcome: Input should be"),
    "size": ({"file_size": -1}, "file_size: Input should be greater"),
    "etag upper": ({"multipart_etag": f"{ETAG.upper()}-2"}, "multipart_etag: String should match"),
    "etag plain": ({"multipart_etag": ETAG}, "multipart_etag: String should match"),
    "etag of none": ({"multipart_etag": f"{ETAG}-0"}, "multipart_etag: String should match"),
    "error_code": ({"error_code": "x" * 65}, "error_code: String should have at most"),
}


@pytest.mark.parametrize("fields, told", BAD_COMPLETES.values(), ids=BAD_COMPLETES.keys())
async def test_a_bad_complete_is_told_what_is_allowed(
    service: Service, fields: Answer, told: str
) -> None:
    ack = await service.complete(**{"outcome": "aborted", "upload_id": "id", **fields})
    assert (ack["request_id"], ack["success"]) == ("c1", False)
    assert (ack["error_code"], told in ack["error_message"]) == ("BAD_REQUEST", True), ack
    assert service.store.calls == []


HOSTILE = {
    "no JSON": b"complete",
    "empty": b"",
    "an array": b"[]",
    "nested": b'{"outcome":' + b"[" * 4000 + b"]" * 4000 + b"}",
    "large": b'{"padding":"' + b"x" * 9000 + b'"}',
    "no fields": b"{}",
    "half a surrogate": b'{"cloud_file_path":"\\ud800"}',
    "a large number": b'{"file_size":' + b"9" * 4000 + b"}",
}


@pytest.mark.parametrize("kind", [ASK, COMPLETE])
@pytest.mark.parametrize("payload", HOSTILE.values(), ids=HOSTILE.keys())
async def test_whatever_comes_is_answered_and_costs_nothing(
    service: Service, kind: str, payload: bytes
) -> None:
    reply: Reply = await service.handler.answer(DEVICE, kind, payload)
    answer = json.loads(reply.payload)
    assert (answer["success"], answer["error_code"]) == (False, "BAD_REQUEST")
    assert len(reply.payload) < 1024 and reply.fault is None
    assert service.store.calls == []


async def test_a_stranger_completes_nothing(service: Service) -> None:
    service.store.uploads[PATH, "id"] = list(FULL)
    told = {"request_id": "c1", "cloud_file_path": PATH, "outcome": "aborted", "upload_id": "id"}
    for device, named in (("STRANGER", DEVICE), ("STRANGER", "STRANGER"), ("B", DEVICE)):
        ack = await service.say(device, COMPLETE, {**told, "device_id": named})
        assert (ack["success"], ack["error_code"]) == (False, "UNAUTHORIZED")
    assert service.store.calls == []
