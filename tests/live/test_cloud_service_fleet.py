"""The running cloud service as operators use it: several processes, HTTP, clean-up, TLS, OSS appends."""

from __future__ import annotations

import hashlib
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import requests

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
from tools.services import CloudService, Minio, Mosquitto, OssStandin, SeaweedFS
from tools.testca import TestCA

DEVICE = "ESP32P4_CAM_001"
PATH = f"{DEVICE}/2025/07/11/143022_motion_video.ts"
SMALL = random.Random(2).randbytes(250_000)
FAST = {"stale_hours": 8 / 3600}  # unfinished uploads live for eight seconds


@pytest.fixture(scope="module")
def oss() -> Iterator[OssStandin]:
    with OssStandin() as running:
        yield running


@pytest.fixture(params=["seaweedfs", "minio", "oss"])
def store(request: pytest.FixtureRequest) -> AnyStore:
    running: AnyStore = request.getfixturevalue(request.param)
    return running


# ---- several processes


def test_two_processes_share_the_load_and_answer_once(seaweedfs: SeaweedFS) -> None:
    devices = [f"CAM_{number}" for number in range(4)]
    with ExitStack() as opened:
        broker = opened.enter_context(Mosquitto())
        services = [
            opened.enter_context(
                CloudService(broker, seaweedfs, devices, shared=True, uploads={"slot_sec": 1})
            )
            for _ in range(2)
        ]
        cameras = [opened.enter_context(ProtocolCamera(broker, device)) for device in devices]
        ids = {
            camera.device_id: [
                camera.tell("request", {"file_name": f"{camera.device_id}/{n}", "file_size": 1})
                for n in range(50)
            ]
            for camera in cameras
        }
        for camera in cameras:
            wanted = ids[camera.device_id]
            camera.loop_until(lambda: all(camera.answers(i) for i in wanted))  # noqa: B023
        for camera in cameras:  # the last answer of each came after all others would have
            last = camera.ask(f"{camera.device_id}/last", 1, protocol=1)
            assert last["success"] is True
            answered = sorted(reply["request_id"] for reply in camera.replies)
            assert answered == sorted([*ids[camera.device_id], last["request_id"]])
        # each notes an answer a moment after it is out
        wait_until(lambda: sum(granted(service) for service in services) >= 4 * 51)
        shares = [granted(service) for service in services]
        assert sum(shares) == 4 * 51
        assert min(shares) > 0, f"one did it all: {shares}"
        # what came to the one comes to the other from now on
        services[0].stop()
        for camera in cameras:
            ack = camera.complete(f"{camera.device_id}/0", 1, "failed")
            assert ack["success"] is True


def granted(service: CloudService) -> int:
    return sum(event["event"] == "granted" for event in service.events())


def test_any_process_goes_on_with_an_upload(broker: Mosquitto, minio: Minio) -> None:
    part = 5 * 1024 * 1024
    clip = random.Random(3).randbytes(part + 1000)
    pieces = split(clip, part)
    with ProtocolCamera(broker, DEVICE) as camera:
        with CloudService(broker, minio, [DEVICE]):
            grant = camera.ask(PATH, len(clip))
            assert send(grant["parts"][0]["upload_url"], pieces[0]).status_code == 200
        with CloudService(broker, minio, [DEVICE]):
            resume = {"upload_id": grant["upload_id"], "next_part": 2}
            grant = camera.ask(PATH, len(clip), resume=resume)
            assert grant["parts_done"] == 1
            assert send(grant["parts"][0]["upload_url"], pieces[1]).status_code == 200
        with CloudService(broker, minio, [DEVICE]):
            told = {"upload_id": grant["upload_id"], "multipart_etag": multipart_etag(pieces)}
            assert camera.complete(PATH, len(clip), **told)["verified"] is True
    assert contents.read(minio, PATH).body == clip


def test_a_device_holds_so_many_uploads_at_a_time(broker: Mosquitto, seaweedfs: SeaweedFS) -> None:
    limits = {"max_per_device": 2, "slot_sec": 600}
    with (
        CloudService(broker, seaweedfs, [DEVICE], uploads=limits),
        ProtocolCamera(broker, DEVICE) as camera,
    ):
        assert camera.ask(f"{DEVICE}/1", 1)["success"] is True
        assert camera.ask(f"{DEVICE}/2", 1)["success"] is True
        refused = camera.ask(f"{DEVICE}/3", 1)
        assert refused["error_code"] == "RATE_LIMITED"
        assert 1 <= refused["retry_after"] <= 600
        assert camera.ask(f"{DEVICE}/2", 1)["success"] is True
        assert camera.complete(f"{DEVICE}/1", 0, "failed")["success"] is True
        assert camera.ask(f"{DEVICE}/3", 1)["success"] is True


# ---- clean-up


def test_uploads_that_nobody_goes_on_with_are_dropped(broker: Mosquitto, store: AnyStore) -> None:
    slow, idle = f"{DEVICE}/slow.ts", f"{DEVICE}/idle.ts"
    with (
        CloudService(broker, store, [DEVICE, "GONE"], uploads={"stale_hours": 0}),
        ProtocolCamera(broker, DEVICE) as camera,
        ProtocolCamera(broker, "GONE") as other,
    ):
        living = camera.ask(slow, 20_000_000)
        camera.ask(idle, 20_000_000)
        other.ask("GONE/kept.ts", 20_000_000)
    with ExitStack() as opened:
        opened.enter_context(in_use(living["parts"][0]["upload_url"]))
        services = [
            opened.enter_context(CloudService(broker, store, [DEVICE], shared=True, uploads=FAST))
            for _ in range(2)
        ]
        wait_until(lambda: not contents.pending(store, idle))
        assert contents.pending(store, slow) == [living["upload_id"]]
        assert len(contents.pending(store, "GONE/kept.ts")) == 1, "its device is not listed"
        wait_until(lambda: idle in dropped(services))  # noted a moment after it is done
        for path in dropped(services):
            assert path.startswith(f"{DEVICE}/") and path != slow


def dropped(services: list[CloudService]) -> set[str]:
    told = [event for one in services for event in one.events()]
    return {event["cloud_file_path"] for event in told if event["event"] == "stale_upload_aborted"}


@contextmanager
def in_use(url: str) -> Iterator[None]:
    """A part is sent there again and again, as by a camera on a bad line."""
    done = threading.Event()

    def use() -> None:
        while not done.wait(0.3):
            assert send(url, SMALL).status_code == 200

    with ThreadPoolExecutor(1) as pool:
        using = pool.submit(use)
        try:
            yield
        finally:
            done.set()
        using.result()


def wait_until(condition: Callable[[], bool], timeout_sec: float = 60) -> None:
    deadline = time.monotonic() + timeout_sec
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.1)


# ---- HTTP


def test_an_upload_over_http_alone(broker: Mosquitto, store: AnyStore) -> None:
    path = f"{DEVICE}/over-http.ts"
    with (
        CloudService(broker, store, [DEVICE], http=True) as service,
        requests.Session() as session,
    ):
        session.trust_env = False
        session.headers["Authorization"] = f"Bearer {service.tokens[DEVICE]}"

        def say(kind: str, **fields: Any) -> Answer:
            message = {"request_id": kind, "device_id": DEVICE, "protocol": 2, **fields}
            url = f"{service.http_url}/upload/{kind}"
            answer: Answer = session.post(url, data=json.dumps(message), timeout=30).json()
            return answer

        grant = say("request", file_name=path, file_size=len(SMALL), content_md5=md5(SMALL))
        assert put(grant, SMALL).status_code == 200
        ack = say(
            "complete",
            cloud_file_path=path,
            file_size=len(SMALL),
            content_md5=md5(SMALL),
            outcome="stored",
        )
        assert (ack["success"], ack["verified"]) == (True, True)
    assert contents.read(store, path).body == SMALL


# ---- TLS and temporary keys


@pytest.mark.parametrize("kind", [Minio, OssStandin], ids=["minio", "oss"])
def test_the_store_is_asked_over_tls_and_its_certificate_checked(
    kind: type[Minio] | type[OssStandin], broker: Mosquitto
) -> None:
    with kind(TestCA()) as store, ProtocolCamera(broker, DEVICE) as camera:
        with CloudService(broker, store, [DEVICE]):
            grant = camera.ask(PATH, 20_000_000)
            assert (grant["success"], grant["mode"]) == (True, "multipart")
            assert camera.complete(PATH, 1)["error_code"] == "NO_UPLOAD"
        store.ca_file.write_bytes(TestCA().pem)  # nobody it knows has signed the certificate
        with CloudService(broker, store, [DEVICE]):
            refused = camera.ask(PATH, 20_000_000)
            assert refused["error_code"] == "STORE_UNAVAILABLE"


def test_oss_with_temporary_keys(broker: Mosquitto) -> None:
    with (
        OssStandin(security_token="a-session-token") as store,
        CloudService(
            broker, store, [DEVICE], uploads={"large_files": "append", "part_size_bytes": 102_400}
        ),
        ProtocolCamera(broker, DEVICE) as camera,
    ):
        append(camera, PATH, SMALL)
        assert contents.read(store, PATH).body == SMALL
        grant = camera.ask(f"{DEVICE}/put.ts", 10)
        assert put(grant, SMALL[:10]).status_code == 200


# ---- AppendObject


def append(camera: ProtocolCamera, path: str, data: bytes, **fields: Any) -> list[Answer]:
    """Append until the service says that all is there; the grants that led there."""
    ask: Answer = {"capabilities": ["put", "multipart", "append"], **fields}
    grants = [camera.ask(path, len(data), **ask)]
    size = grants[0]["part_size"]
    pieces = split(data, size)
    while grants[-1]["parts_done"] < len(pieces):
        piece = pieces[grants[-1]["parts_done"]]
        resume = {
            "upload_id": "append",
            "next_part": grants[-1]["parts_done"] + 1,
            "part_md5": md5(piece),
            "part_size": len(piece),
        }
        grants.append(camera.ask(path, len(data), resume=resume, **ask))
        (entry,) = grants[-1]["parts"]
        assert entry["part_number"] == resume["next_part"]
        answer = append_part(grants[-1], piece)
        assert answer.status_code == 200, answer.text
        grants.append(camera.ask(path, len(data), **ask))
    return grants


def append_part(grant: Answer, piece: bytes) -> requests.Response:
    headers = {"Content-Type": grant["content_type"], **grant["extra_headers"]}
    return send(grant["parts"][0]["upload_url"], piece, headers, grant["method"])


@pytest.fixture
def appending(broker: Mosquitto, oss: OssStandin) -> Iterator[ProtocolCamera]:
    uploads = {"large_files": "append", "part_size_bytes": 102_400}
    with (
        CloudService(broker, oss, [DEVICE], uploads=uploads),
        ProtocolCamera(broker, DEVICE) as camera,
    ):
        yield camera


def test_parts_are_appended_to_one_object(appending: ProtocolCamera, oss: OssStandin) -> None:
    path = f"{DEVICE}/appended.ts"
    append(appending, path, SMALL)
    told = {"upload_id": "append", "content_md5": md5(SMALL)}
    for _ in range(2):
        ack = appending.complete(path, len(SMALL), **told)
        assert (ack["success"], ack["verified"], ack["size"]) == (True, True, len(SMALL))
    found = contents.read(oss, path)
    assert (found.body, found.content_type) == (SMALL, CONTENT_TYPE)
    again = append(appending, path, SMALL)
    assert (len(again), again[0]["parts_done"]) == (1, 3), "it is all there"


def test_a_damaged_part_is_not_appended(appending: ProtocolCamera, oss: OssStandin) -> None:
    path, piece = f"{DEVICE}/damaged.ts", SMALL[:102_400]
    ask: Answer = {"capabilities": ["append"]}
    resume = {"upload_id": "append", "next_part": 1, "part_md5": md5(piece), "part_size": 102_400}
    grant = appending.ask(path, len(SMALL), resume=resume, **ask)
    assert append_part(grant, piece[::-1]).status_code == 400
    assert appending.ask(path, len(SMALL), **ask)["parts_done"] == 0
    assert append_part(grant, piece).status_code == 200
    late = append_part(grant, piece)
    assert (late.status_code, "PositionNotEqualToLength" in late.text) == (409, True)
    assert appending.ask(path, len(SMALL), **ask)["parts_done"] == 1
    append(appending, path, SMALL)
    digest = hashlib.sha256(contents.read(oss, path).body).digest()
    assert digest == hashlib.sha256(SMALL).digest()


def test_an_object_cut_short_is_not_called_stored(appending: ProtocolCamera) -> None:
    path = f"{DEVICE}/short.ts"
    append(appending, path, SMALL[:150_000])
    ack = appending.complete(path, len(SMALL), upload_id="append", content_md5=md5(SMALL))
    assert (ack["success"], ack["error_code"]) == (False, "INTEGRITY")


# ---- hostile messages

HOSTILE = {
    "no JSON": b"\xff\x00",
    "nested": b'{"request_id":' + b"[" * 4000,
    "an array": b"[1]",
    "no fields": b"{}",
    "wrong types": b'{"request_id":{},"device_id":[],"outcome":7,"cloud_file_path":true}',
    "another's path": b'{"request_id":"x","device_id":"ESP32P4_CAM_001","outcome":"aborted",'
    b'"cloud_file_path":"OTHER/a.ts","upload_id":"1"}',
    "large": b'{"padding":"' + b"x" * 9000 + b'"}',
}


@pytest.mark.parametrize("kind", ["request", "complete"])
def test_whatever_comes_is_answered_once(
    kind: str, broker: Mosquitto, seaweedfs: SeaweedFS
) -> None:
    with (
        CloudService(broker, seaweedfs, [DEVICE]) as service,
        ProtocolCamera(broker, DEVICE) as camera,
    ):
        for payload in HOSTILE.values():
            camera.publish(kind, payload)
        camera.publish(kind, b"x" * 1_000_000)  # the broker keeps this from the service
        last = camera.ask(PATH, 1)
        assert last["success"] is True
        camera.loop_until(lambda: len(camera.replies) > len(HOSTILE))
        refused = [reply for reply in camera.replies if reply is not last]
        assert {reply["success"] for reply in refused} == {False}
        assert {reply["error_code"] for reply in refused} <= {"BAD_REQUEST", "UNAUTHORIZED"}
        assert len(refused) == len(HOSTILE)
        assert service.is_running
        assert all(event["level"] == "INFO" for event in service.events())
