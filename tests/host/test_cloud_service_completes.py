"""Completes in the cloud service's pure core: joined, compared, or dropped; and the arithmetic of parts."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from tests.host.cloud_fakes import (
    ETAG,
    FULL,
    MD5,
    PART,
    PATH,
    Answer,
    MemoryStore,
    Service,
    part,
)
from tools.cloud_service.plan import MAX_PARTS, Part, joined, multipart_etag, part_size, parts_done
from tools.cloud_service.store import PartsRefused, StoredObject, StoreError


@pytest.fixture
def service() -> Service:
    return Service()


# ---- complete


async def test_parts_are_joined_only_when_they_are_the_cameras(service: Service) -> None:
    service.store.uploads[PATH, "id"] = list(FULL)
    told: Answer = {
        "file_size": 2 * PART + 10,
        "upload_id": "id",
        "multipart_etag": multipart_etag(FULL),
    }
    ack = await service.complete(**told)
    assert ack == {
        "success": True,
        "request_id": "c1",
        "verified": True,
        "cloud_url": f"https://store.test/{PATH}",
        "etag": multipart_etag(FULL),
        "size": 2 * PART + 10,
    }
    calls = [call[0] for call in service.store.calls]
    assert calls == ["list", "complete", "head"]
    assert await service.complete(**told) == ack, "the same again"


OTHER_PARTS: dict[str, list[Part]] = {
    "another digest": [FULL[0], part(2, PART, b"other"), FULL[2]],
    "a part missing": FULL[:2],
    "a gap": [FULL[0], FULL[2], part(4, PART)],
    "another size": [*FULL[:2], part(3, 11)],
    "none": [],
    "no MD5s": [Part(number, held.size_bytes, "x") for number, held in enumerate(FULL, 1)],
}


@pytest.mark.parametrize("held", OTHER_PARTS.values(), ids=OTHER_PARTS.keys())
async def test_other_parts_are_dropped(service: Service, held: list[Part]) -> None:
    service.store.uploads[PATH, "id"] = held
    told: Answer = {"file_size": 2 * PART + 10, "multipart_etag": multipart_etag(FULL)}
    ack = await service.complete(**told, upload_id="id")
    assert (ack["success"], ack["error_code"]) == (False, "INTEGRITY")
    assert service.store.objects == {} and service.store.uploads == {}


async def test_left_over_parts_and_repeated_ones_do_no_harm(service: Service) -> None:
    held = [FULL[0], part(2, PART, b"earlier"), FULL[1], FULL[1], FULL[2], part(4, PART)]
    service.store.uploads[PATH, "id"] = held
    told: Answer = {"file_size": 2 * PART + 10, "multipart_etag": multipart_etag(FULL)}
    ack = await service.complete(**told, upload_id="id")
    assert (ack["success"], ack["verified"]) == (True, True)


async def test_parts_without_a_digest_are_joined_but_not_verified(service: Service) -> None:
    service.store.uploads[PATH, "id"] = list(FULL)
    ack = await service.complete(file_size=2 * PART + 10, upload_id="id")
    assert (ack["success"], ack["verified"]) == (True, False)


async def test_parts_the_store_refuses_are_dropped() -> None:
    class Refusing(MemoryStore):
        async def complete_upload(self, *_: Any) -> None:
            raise PartsRefused("EntityTooSmall", "a part is too small")

    service = Service(store=Refusing())
    service.store.uploads[PATH, "id"] = list(FULL)
    told: Answer = {"file_size": 2 * PART + 10, "multipart_etag": multipart_etag(FULL)}
    ack = await service.complete(**told, upload_id="id")
    assert (ack["success"], ack["error_code"]) == (False, "INTEGRITY")
    assert service.store.uploads == {}


async def test_an_object_that_is_there_is_compared_not_replaced(service: Service) -> None:
    told: Answer = {
        "file_size": 2 * PART + 10,
        "multipart_etag": multipart_etag(FULL),
        "upload_id": "id",
    }
    for etag, success in ((multipart_etag(FULL) or "", True), (f"{ETAG}-3", False)):
        service.store.uploads[PATH, "id"] = list(FULL)
        service.store.objects[PATH] = StoredObject(2 * PART + 10, etag)
        ack = await service.complete(**told)
        assert ack["success"] is success
        assert ack.get("verified", False) is success
        assert service.store.objects[PATH].etag == etag
        assert service.store.uploads == {}


PUTS: dict[str, tuple[StoredObject | None, Answer, Answer]] = {
    # what is there, what the camera says; what the answer says
    "the same": (StoredObject(12, ETAG), {"content_md5": MD5}, {"verified": True}),
    "another": (StoredObject(12, "0" * 32), {"content_md5": MD5}, {"error_code": "INTEGRITY"}),
    "another size": (StoredObject(13, ETAG), {"content_md5": MD5}, {"error_code": "INTEGRITY"}),
    "nothing": (None, {"content_md5": MD5}, {"error_code": "NO_UPLOAD"}),
    "no digest": (StoredObject(12, ETAG), {}, {"verified": False}),
    "null digest": (StoredObject(12, ETAG), {"content_md5": None}, {"verified": False}),
}


@pytest.mark.parametrize("there, told, expected", PUTS.values(), ids=PUTS.keys())
async def test_a_put_is_compared(
    service: Service, there: StoredObject | None, told: Answer, expected: Answer
) -> None:
    if there:
        service.store.objects[PATH] = there
    ack = await service.complete(**told)
    assert ack["success"] is ("error_code" not in expected)
    assert expected.items() <= ack.items()
    assert service.store.calls == [("head", PATH)], "the ETag tells, or nothing does"


# ---- what no ETag tells is read back

WHAT: dict[str, tuple[StoredObject, Answer]] = {
    "appended to": (
        StoredObject(12, "0" * 32, is_appendable=True, has_md5_etag=False),
        {"upload_id": "append"},
    ),
    "appended to, and said to be put": (
        StoredObject(12, "0" * 32, is_appendable=True, has_md5_etag=False),
        {},
    ),
    "joined on OSS before": (
        StoredObject(12, f"{ETAG}-2", has_md5_etag=False),
        {"upload_id": "gone", "multipart_etag": f"{ETAG}-2"},
    ),
    "encrypted with a customer's key": (StoredObject(12, ETAG, has_md5_etag=False), {}),
    "joined, and the camera has forgotten of what": (StoredObject(12, f"{ETAG}-2"), {}),
    "an ETag of a kind of its own": (StoredObject(12, "v1"), {}),
}
OTHER = hashlib.md5(b"other bytes!").hexdigest()


@pytest.fixture(params=WHAT.values(), ids=WHAT.keys())
def told(service: Service, request: pytest.FixtureRequest) -> Answer:
    """What the camera says of an object that is there."""
    service.store.objects[PATH], told = request.param
    return {"content_md5": MD5, **told}


async def test_the_same_bytes_are_verified(service: Service, told: Answer) -> None:
    service.store.md5s[PATH] = ETAG
    for _ in range(2):
        ack = await service.complete(**told)
        assert (ack["success"], ack["verified"], ack["size"]) == (True, True, 12)
        assert service.store.calls[-2:] == [("head", PATH), ("md5", PATH)]


async def test_other_bytes_of_the_same_size_are_never_verified(
    service: Service, told: Answer
) -> None:
    there = dict(service.store.objects)
    service.store.md5s[PATH] = OTHER
    for _ in range(2):
        ack = await service.complete(**told)
        assert (ack["success"], ack["error_code"]) == (False, "INTEGRITY")
        assert "verified" not in ack
    assert service.store.objects == there, "what is there is left to whoever looks into it"


async def test_without_the_cameras_md5_there_is_no_proof(service: Service, told: Answer) -> None:
    ack = await service.complete(**{**told, "content_md5": None, "multipart_etag": None})
    assert (ack["success"], ack["verified"]) == (True, False)
    assert service.store.calls[-1] == ("head", PATH), "there is nothing to compare its bytes with"


@pytest.mark.parametrize("limit, verified", [(11, False), (12, True)])
async def test_what_is_too_large_is_not_read(limit: int, verified: bool) -> None:
    service = Service(read_back_bytes=limit)
    service.store.objects[PATH] = StoredObject(12, "", has_md5_etag=False)
    service.store.md5s[PATH] = ETAG
    ack = await service.complete(content_md5=MD5)
    assert (ack["success"], ack["verified"]) == (True, verified)
    assert (("md5", PATH) in service.store.calls) is verified


class Unwilling(MemoryStore):
    """Nothing of it can be read, because of `reason`."""

    reason: StoreError

    async def md5(self, key: str, found: StoredObject) -> str:
        raise self.reason


UNREAD: dict[str, tuple[StoreError, Answer]] = {
    "no right": (StoreError("AccessDenied", "no"), {"success": True, "verified": False}),
    "archived": (StoreError("InvalidObjectState", "no"), {"success": True, "verified": False}),
    "not yet": (
        StoreError("Reading", "later", 70),
        {"success": False, "error_code": "STORE_UNAVAILABLE", "retry_after": 70},
    ),
    "failing": (
        StoreError("InternalError", "later"),
        {"success": False, "error_code": "STORE_UNAVAILABLE"},
    ),
}


@pytest.mark.parametrize("reason, expected", UNREAD.values(), ids=UNREAD.keys())
async def test_what_cannot_be_read_is_not_verified(reason: StoreError, expected: Answer) -> None:
    store = Unwilling({PATH: StoredObject(12, "", has_md5_etag=False)})
    store.reason = reason
    service = Service(store=store)
    ack = await service.complete(content_md5=MD5)
    assert {**expected, **ack} == ack
    assert ("retry_after" in ack) is ("retry_after" in expected)


# ---- what is not stored


async def test_a_failed_upload_stays_and_an_aborted_one_goes(service: Service) -> None:
    service.store.uploads[PATH, "id"] = list(FULL)
    expected = {"success": True, "request_id": "c1", "verified": False}
    assert await service.complete("failed", upload_id="id", content_md5=None) == expected
    assert service.store.calls == []
    for _ in range(2):
        assert await service.complete("aborted", upload_id="id") == expected
        assert service.store.uploads == {}
    assert await service.complete("aborted", upload_id="append") == expected
    assert await service.complete("aborted") == expected
    assert [call[0] for call in service.store.calls] == ["abort", "abort"]


async def test_a_store_that_fails_is_told_as_such(service: Service) -> None:
    service.store.failure = StoreError("SlowDown", "http://secret.test/?signature=1")
    ack = await service.complete()
    assert (ack["success"], ack["error_code"]) == (False, "STORE_UNAVAILABLE")
    assert "signature" not in json.dumps(ack)


async def test_whatever_breaks_is_answered(service: Service) -> None:
    service.store.failure = RuntimeError("a bug")
    ack = await service.complete()
    assert (ack["request_id"], ack["success"]) == ("c1", False)
    assert ack["error_code"] == "STORE_UNAVAILABLE", "which a camera tries again"
    assert "a bug" not in json.dumps(ack)
    assert isinstance(service.reply.fault, RuntimeError)


# ---- arithmetic


@pytest.mark.parametrize(
    "total, least, expected",
    [
        (1, PART, PART),
        (2**31 - 1, PART, PART),
        (100 * 1024 * MAX_PARTS, 102_400, 102_400),
        (100 * 1024 * MAX_PARTS + 1, 102_400, 2 * 65536),
        (2**31 - 1, 102_400, 4 * 65536),
    ],
)
def test_parts_are_large_enough_for_the_whole(total: int, least: int, expected: int) -> None:
    size = part_size(total, least)
    assert size == expected
    assert size * MAX_PARTS >= total


def test_the_digest_of_parts_is_that_of_s3() -> None:
    pieces = [b"a" * 10, b"b" * 10, b"c"]
    parts = [part(number, len(piece), piece) for number, piece in enumerate(pieces, 1)]
    digests = b"".join(hashlib.md5(piece).digest() for piece in pieces)
    assert multipart_etag(parts) == f"{hashlib.md5(digests).hexdigest()}-3"
    assert multipart_etag([*parts, Part(4, 1, "not-an-md5")]) is None


def test_a_store_that_lists_parts_many_times_over_costs_little() -> None:
    held = [part(number, 10, b"%d" % copy) for number in range(1, 40) for copy in range(20)]
    assert joined(held, 390, f"{ETAG}-39") is None
    assert parts_done(held, 10, 390) == 39
