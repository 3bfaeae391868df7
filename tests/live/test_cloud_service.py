"""Protocol 2 from end to end: the running service, a broker, and what the store then holds."""

from __future__ import annotations

import gzip
import hashlib
import itertools
import random
from collections.abc import Iterator
from typing import Any

import pytest

from tests.live import contents
from tests.live.contents import AnyStore
from tests.live.protocol_camera import (
    CONTENT_TYPE,
    Answer,
    ProtocolCamera,
    md5,
    multipart_etag,
    put,
    send,
    split,
)
from tools.services import CloudService, Mosquitto, OssStandin

DEVICE = "ESP32P4_CAM_001"
PART = 5 * 1024 * 1024
CLIP = random.Random(1).randbytes(2 * PART + 1_234_567)  # three parts
SMALL = CLIP[:300_000]
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def oss() -> Iterator[OssStandin]:
    with OssStandin() as running:
        yield running


@pytest.fixture(scope="module", params=["seaweedfs", "minio", "oss"])
def store(request: pytest.FixtureRequest) -> AnyStore:
    running: AnyStore = request.getfixturevalue(request.param)
    return running


@pytest.fixture(scope="module")
def service(broker: Mosquitto, store: AnyStore) -> Iterator[CloudService]:
    with CloudService(broker, store, [DEVICE, "OTHER_CAM"], uploads={"max_per_device": 50}) as up:
        yield up


@pytest.fixture
def camera(broker: Mosquitto, service: CloudService) -> Iterator[ProtocolCamera]:
    with ProtocolCamera(broker, DEVICE) as playing:
        yield playing


@pytest.fixture
def path() -> str:
    return f"{DEVICE}/2025/07/11/{next(_numbers):06d}_motion_video.ts"


def stored(store: AnyStore, path: str) -> bytes:
    found = contents.read(store, path)
    assert found.content_type == CONTENT_TYPE
    return found.body


def is_oss(store: AnyStore) -> bool:
    return isinstance(store, OssStandin)


def send_parts(grant: Answer, data: bytes) -> None:
    """All parts of the grant's batch, each proven by its ETag."""
    parts = split(data, grant["part_size"])
    for entry in grant["parts"]:
        part = parts[entry["part_number"] - 1]
        answer = send(entry["upload_url"], part)
        assert answer.status_code == 200, answer.text
        assert answer.headers["ETag"].strip('"').lower() == hashlib.md5(part).hexdigest()


def told(grant: Answer, data: bytes) -> dict[str, Any]:
    """What `complete` says of an upload in parts."""
    etag = multipart_etag(split(data, grant["part_size"]))
    return {"upload_id": grant["upload_id"], "multipart_etag": etag, "content_md5": md5(data)}


# ---- one PUT


def test_a_put_with_its_md5_is_verified(camera: ProtocolCamera, store: AnyStore, path: str) -> None:
    grant = camera.ask(path, len(SMALL), content_md5=md5(SMALL))
    assert grant["requires_complete"] is True
    condition = {"x-oss-forbid-overwrite": "true"} if is_oss(store) else {"If-None-Match": "*"}
    assert grant["extra_headers"] == {"Content-MD5": md5(SMALL), **condition}
    assert put(grant, SMALL).status_code == 200
    ack = camera.complete(path, len(SMALL), content_md5=md5(SMALL))
    assert (ack["success"], ack["verified"], ack["size"]) == (True, True, len(SMALL))
    assert ack["cloud_url"] == f"{store.endpoint}/{store.bucket}/{path}"
    assert ack["cloud_url"] == grant["upload_url"].partition("?")[0]
    assert ack["etag"] == hashlib.md5(SMALL).hexdigest()
    assert stored(store, path) == SMALL


def test_other_bytes_than_the_md5_says_are_not_stored(
    camera: ProtocolCamera, store: AnyStore, path: str
) -> None:
    grant = camera.ask(path, len(SMALL), content_md5=md5(SMALL))
    damaged = bytes([SMALL[0] ^ 1]) + SMALL[1:]
    answer = put(grant, damaged)
    code = "InvalidDigest" if is_oss(store) else "BadDigest"
    assert (answer.status_code, f"<Code>{code}</Code>" in answer.text) == (400, True)
    assert not contents.names(store, path)
    ack = camera.complete(path, len(SMALL), content_md5=md5(SMALL))
    assert (ack["success"], ack["error_code"]) == (False, "NO_UPLOAD")


def test_an_object_is_never_overwritten(camera: ProtocolCamera, store: AnyStore, path: str) -> None:
    first = camera.ask(path, len(SMALL), content_md5=md5(SMALL))
    second = camera.ask(path, len(SMALL), content_md5=md5(SMALL))
    assert put(first, SMALL).status_code == 200
    again = put(second, SMALL)
    status, code = (409, "FileAlreadyExists") if is_oss(store) else (412, "PreconditionFailed")
    assert (again.status_code, f"<Code>{code}</Code>" in again.text) == (status, True)
    ack = camera.complete(path, len(SMALL), content_md5=md5(SMALL))
    assert (ack["success"], ack["verified"]) == (True, True), "it is there, and the same"
    ack = camera.complete(path, len(SMALL), content_md5=md5(SMALL[::-1]))
    assert (ack["success"], ack["error_code"]) == (False, "INTEGRITY"), "it is there, but another"
    assert stored(store, path) == SMALL


def test_a_wrong_size_is_told(camera: ProtocolCamera, path: str) -> None:
    grant = camera.ask(path, len(SMALL))
    assert put(grant, SMALL[:-1]).status_code == 200, "nothing in the grant forbids it"
    ack = camera.complete(path, len(SMALL))
    assert (ack["success"], ack["error_code"]) == (False, "INTEGRITY")


def test_without_a_digest_it_is_stored_but_not_verified(camera: ProtocolCamera, path: str) -> None:
    assert put(camera.ask(path, len(SMALL)), SMALL).status_code == 200
    ack = camera.complete(path, len(SMALL))
    assert (ack["success"], ack["verified"]) == (True, False)


def test_a_compressed_body_says_so_in_the_store(
    camera: ProtocolCamera, store: AnyStore, path: str
) -> None:
    body = gzip.compress(SMALL)
    what = {"content_md5": md5(body), "content_encoding": "gzip"}
    grant = camera.ask(path, len(body), **what)
    assert grant["extra_headers"]["Content-Encoding"] == "gzip"
    assert put(grant, body).status_code == 200
    ack = camera.complete(path, len(body), **what)
    assert ack["verified"] is True
    assert contents.read(store, path).content_encoding == "gzip"


# ---- many parts


def test_an_upload_in_parts_is_joined_and_verified(
    camera: ProtocolCamera, store: AnyStore, path: str
) -> None:
    grant = camera.ask(path, len(CLIP), content_md5=md5(CLIP))
    assert "upload_url" not in grant
    assert (grant["mode"], grant["part_size"], grant["parts_done"]) == ("multipart", PART, 0)
    assert (grant["method"], grant["content_type"], grant["extra_headers"]) == ("PUT", "", {})
    assert [part["part_number"] for part in grant["parts"]] == [1, 2, 3]
    send_parts(grant, CLIP)
    assert not contents.names(store, path)
    ack = camera.complete(path, len(CLIP), **told(grant, CLIP))
    assert (ack["success"], ack["verified"], ack["size"]) == (True, True, len(CLIP)), ack
    assert ack["cloud_url"].endswith(path)
    again = camera.complete(path, len(CLIP), **told(grant, CLIP))
    assert {**again, "request_id": ack["request_id"]} == ack, "the acknowledgement may be lost"
    forgetful = camera.complete(path, len(CLIP), content_md5=md5(CLIP))
    assert (forgetful["success"], forgetful["verified"]) == (True, True), "its bytes tell"
    mistaken = camera.complete(path, len(CLIP), content_md5=md5(CLIP[::-1]))
    assert (mistaken["success"], mistaken["error_code"]) == (False, "INTEGRITY")
    assert hashlib.sha256(stored(store, path)).digest() == hashlib.sha256(CLIP).digest()
    assert contents.pending(store, path) == []


def test_an_upload_is_resumed_where_the_store_is(
    camera: ProtocolCamera, store: AnyStore, path: str
) -> None:
    grant = camera.ask(path, len(CLIP))
    resume = {"upload_id": grant["upload_id"], "next_part": 3}
    parts = split(CLIP, PART)
    assert send(grant["parts"][0]["upload_url"], parts[0]).status_code == 200
    # The camera believes in two parts, the store holds one.
    again = camera.ask(path, len(CLIP), resume=resume)
    assert (again["parts_done"], again["part_size"]) == (1, PART)
    assert [part["part_number"] for part in again["parts"]] == [2, 3]
    # A part that is shorter than it should be does not count.
    assert send(again["parts"][0]["upload_url"], parts[1][:-1]).status_code == 200
    assert camera.ask(path, len(CLIP), resume=resume)["parts_done"] == 1
    # The camera knows of less than the store holds: it may send that again.
    send_parts(again, CLIP)
    everything = camera.ask(path, len(CLIP), resume={**resume, "next_part": 2})
    assert (everything["parts_done"], everything["parts"]) == (3, [])
    ack = camera.complete(path, len(CLIP), **told(grant, CLIP))
    assert ack["verified"] is True
    assert stored(store, path) == CLIP


def test_a_completed_upload_is_not_begun_again(
    camera: ProtocolCamera, store: AnyStore, path: str
) -> None:
    grant = camera.ask(path, len(CLIP))
    resume = {"upload_id": grant["upload_id"], "next_part": 1}
    send_parts(grant, CLIP)
    assert camera.complete(path, len(CLIP), **told(grant, CLIP))["verified"] is True
    again = camera.ask(path, len(CLIP), resume=resume)
    assert (again["success"], again["parts_done"], again["parts"]) == (True, 3, [])
    assert contents.pending(store, path) == []


def test_an_unknown_upload_cannot_be_resumed(camera: ProtocolCamera, path: str) -> None:
    grant = camera.ask(path, len(CLIP))
    assert camera.complete(path, 0, "aborted", upload_id=grant["upload_id"])["success"] is True
    resume = {"upload_id": grant["upload_id"], "next_part": 1}
    refused = camera.ask(path, len(CLIP), resume=resume)
    assert (refused["success"], refused["error_code"]) == (False, "NO_UPLOAD")
    refused = camera.ask(path, len(CLIP), resume={**resume, "upload_id": "made-up"})
    assert (refused["success"], refused["error_code"]) == (False, "NO_UPLOAD")


def test_parts_that_are_not_the_cameras_are_never_joined(
    camera: ProtocolCamera, store: AnyStore, path: str
) -> None:
    grant = camera.ask(path, len(CLIP))
    damaged = CLIP[:PART] + bytes([CLIP[PART] ^ 1]) + CLIP[PART + 1 :]
    send_parts(grant, damaged)
    ack = camera.complete(path, len(CLIP), **told(grant, CLIP))
    assert (ack["success"], ack["error_code"]) == (False, "INTEGRITY")
    assert not contents.names(store, path)
    assert contents.pending(store, path) == [], "a new attempt starts from zero"


def test_a_missing_part_is_found(camera: ProtocolCamera, store: AnyStore, path: str) -> None:
    grant = camera.ask(path, len(CLIP))
    send_parts({**grant, "parts": grant["parts"][:2]}, CLIP)
    ack = camera.complete(path, len(CLIP), **told(grant, CLIP))
    assert (ack["success"], ack["error_code"]) == (False, "INTEGRITY")
    assert not contents.names(store, path)


def test_a_failed_upload_is_kept_and_an_aborted_one_dropped(
    camera: ProtocolCamera, store: AnyStore, path: str
) -> None:
    grant = camera.ask(path, len(CLIP))
    send_parts({**grant, "parts": grant["parts"][:1]}, CLIP)
    upload_id = grant["upload_id"]
    ack = camera.complete(path, len(CLIP), "failed", upload_id=upload_id, error_code="TIMEOUT")
    assert ack.items() >= {"success": True, "verified": False}.items()
    assert contents.pending(store, path) == [upload_id]
    for _ in range(2):
        ack = camera.complete(path, len(CLIP), "aborted", upload_id=upload_id)
        assert ack.items() >= {"success": True, "verified": False}.items()
        assert contents.pending(store, path) == []


def test_a_live_upload_grows_beyond_its_first_size(
    camera: ProtocolCamera, store: AnyStore, path: str
) -> None:
    grant = camera.ask(path, 100_000, live=True)
    assert [part["part_number"] for part in grant["parts"]] == [1, 2, 3, 4]
    send_parts({**grant, "parts": grant["parts"][:3]}, CLIP)
    resume = {"upload_id": grant["upload_id"], "next_part": 3}
    growing = camera.ask(path, 2 * PART, live=True, resume=resume)
    assert growing["parts_done"] == 2, "whether the third is the last is not known yet"
    ended = camera.ask(path, len(CLIP), resume=resume)
    assert (ended["parts_done"], ended["parts"]) == (3, [])
    ack = camera.complete(path, len(CLIP), **told(grant, CLIP))
    assert ack["verified"] is True
    assert stored(store, path) == CLIP


def test_an_object_that_came_meanwhile_is_not_overwritten(
    camera: ProtocolCamera, store: AnyStore, path: str
) -> None:
    grant = camera.ask(path, len(CLIP))
    send_parts(grant, CLIP)
    contents.write(store, path, CLIP[::-1])
    ack = camera.complete(path, len(CLIP), **told(grant, CLIP))
    assert (ack["success"], ack["error_code"]) == (False, "INTEGRITY")
    assert contents.read(store, path).body == CLIP[::-1]
    assert contents.pending(store, path) == []


# ---- who may


def test_nobody_ends_anothers_upload(
    camera: ProtocolCamera, broker: Mosquitto, store: AnyStore, path: str
) -> None:
    grant = camera.ask(path, len(CLIP))
    with ProtocolCamera(broker, "OTHER_CAM") as other:
        refused = other.complete(path, 0, "aborted", upload_id=grant["upload_id"])
        assert (refused["success"], refused["error_code"]) == (False, "BAD_REQUEST")
        resume = {"upload_id": grant["upload_id"], "next_part": 1}
        refused = other.ask(path, len(CLIP), resume=resume)
        assert (refused["success"], refused["error_code"]) == (False, "BAD_REQUEST")
        refused = other.complete(path, 0, "aborted", device_id=DEVICE)
        assert (refused["success"], refused["error_code"]) == (False, "UNAUTHORIZED")
    assert contents.pending(store, path) == [grant["upload_id"]]
