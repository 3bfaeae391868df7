"""The cloud service: its answers to plain cameras as tables, and the running program on a broker."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tests.host.cloud_fakes import DEVICE, NOW, REQUEST, MemoryStore, Recorder
from tools.cloud_service.config import UploadPolicy
from tools.cloud_service.handlers import UploadHandler
from tools.cloud_service.messages import MAX_REQUEST_BYTES
from tools.services import CloudService, Minio, Mosquitto, ServiceError
from tools.testca import TestCA


def handler(signer: Recorder | None = None, **policy: Any) -> UploadHandler:
    limits = UploadPolicy(**{"expires_sec": 3600, **policy})
    signer = signer or Recorder({"x-oss-storage-class": "IA"})
    return UploadHandler(signer, MemoryStore(), [DEVICE], limits, lambda: NOW + 0.9)


def changed(**fields: Any) -> bytes:
    return json.dumps({**REQUEST, **fields}).encode()


async def answer(payload: bytes, device: str = DEVICE, **policy: Any) -> dict[str, Any]:
    reply = await handler(**policy).answer(device, "upload/request", payload)
    assert reply.topic == f"devices/{device}/upload/response"
    document = json.loads(reply.payload)
    assert isinstance(document, dict)
    return document


async def test_a_good_request_gets_the_specified_fields_and_two_more() -> None:
    signer = Recorder({"x-oss-storage-class": "IA"})
    reply = await handler(signer).answer(DEVICE, "upload/request", changed())
    assert reply.topic == f"devices/{DEVICE}/upload/response"
    expected = {
        "success": True,
        "request_id": "upload_1a2b3c4d",
        "upload_url": f"https://store.test/{REQUEST['file_name']}?signature=s",
        "method": "PUT",
        "content_type": "video/mp2t",
        "cloud_file_path": REQUEST["file_name"],
        "expires_at": NOW + 3600,
        "extra_headers": {"x-oss-storage-class": "IA"},
        "server_time": NOW,
        "expires_in": 3600,
    }
    assert json.loads(reply.payload) == expected
    assert list(json.loads(reply.payload)) == list(expected), "in the specification's order"
    assert signer.signed == [(REQUEST["file_name"], "video/mp2t", 3600)]
    assert "signature" not in json.dumps(reply.log)


async def test_an_unlisted_device_is_refused_as_specified() -> None:
    signer = Recorder()
    asked = changed(device_id="STRANGER")
    reply = await handler(signer).answer("STRANGER", "upload/request", asked)
    assert reply.topic == "devices/STRANGER/upload/response"
    assert json.loads(reply.payload) == {
        "success": False,
        "request_id": "upload_1a2b3c4d",
        "error_code": "UNAUTHORIZED",
        "error_message": "Device not authorized",
    }
    assert signer.signed == []


async def test_a_listed_device_cannot_ask_on_anothers_topic() -> None:
    refused = await answer(changed(), device="STRANGER")
    assert refused["error_code"] == "UNAUTHORIZED"
    refused = await answer(changed(device_id="STRANGER"))
    assert refused["error_code"] == "UNAUTHORIZED"
    assert refused["error_message"] == "device_id is not that of the topic"


def nested(depth: int) -> bytes:
    return b'{"metadata":' + b"[" * depth + b"]" * depth + b"}"


BAD_REQUESTS = {
    "no JSON": (b"upload please", "not JSON"),
    "empty": (b"", "not JSON"),
    "not UTF-8": (b'{"request_id":"\xff"}', "not JSON"),
    "cut short": (changed()[:-5], "not JSON"),
    "no object": (b"[]", "JSON object"),
    "nested deeply": (nested(4000), "not JSON"),
    "too large": (changed(padding="x" * MAX_REQUEST_BYTES), f"at most {MAX_REQUEST_BYTES} bytes"),
    "no fields": (b"{}", "file_name: Field required"),
    "request_id not text": (changed(request_id=7), "request_id: Input should be a valid string"),
    "request_id with space": (changed(request_id="a b"), "request_id: String should match pattern"),
    "request_id too long": (
        changed(request_id="x" * 65),
        "request_id: String should match pattern",
    ),
    "file_size zero": (
        changed(file_size=0),
        "file_size: Input should be greater than or equal to 1",
    ),
    "file_size text": (changed(file_size="1"), "file_size: Input should be a valid integer"),
    "file_size true": (changed(file_size=True), "file_size: Input should be a valid integer"),
    "file_size float": (changed(file_size=1.5), "file_size: Input should be a valid integer"),
    "file_size above limit": (changed(file_size=2**31), "file_size: at most 2147483647 is allowed"),
    "priority 4": (changed(priority=4), "priority: Input should be less than or equal to 3"),
    "priority -1": (changed(priority=-1), "priority: Input should be greater than or equal to 0"),
    "timestamp negative": (changed(timestamp=-1), "timestamp: Input should be greater"),
    "metadata no object": (changed(metadata=[]), "metadata: Input should be"),
    "duration NaN": (
        changed(metadata={"duration": float("nan")}),
        "metadata.duration: Input should be",
    ),
    "trigger too long": (
        changed(metadata={"trigger": "x" * 65}),
        "metadata.trigger: String should have at most",
    ),
    "content type": (
        changed(metadata={"content_type": "text/html"}),
        "metadata.content_type: allowed: video/mp2t",
    ),
    "no name": (changed(file_name=""), "path segments are not allowed"),
    "another's folder": (changed(file_name="OTHER/a.ts"), f"file_name: must be below {DEVICE}/"),
    "a longer id's folder": (
        changed(file_name=f"{DEVICE}2/a.ts"),
        f"file_name: must be below {DEVICE}/",
    ),
    "the folder itself": (changed(file_name=f"{DEVICE}/"), "path segments are not allowed"),
    "absolute": (changed(file_name=f"/{DEVICE}/a.ts"), "path segments are not allowed"),
    "climbing": (changed(file_name=f"{DEVICE}/../OTHER/a.ts"), "path segments are not allowed"),
    "dot": (changed(file_name=f"{DEVICE}/./a.ts"), "path segments are not allowed"),
    "double slash": (changed(file_name=f"{DEVICE}//a.ts"), "path segments are not allowed"),
    "backslash": (changed(file_name=f"{DEVICE}/..\\a.ts"), "no backslash"),
    "newline": (changed(file_name=f"{DEVICE}/a\r\nHost: b"), "only printable characters"),
    "zero byte": (changed(file_name=f"{DEVICE}/a\0.ts"), "only printable characters"),
    "right to left": (changed(file_name=f"{DEVICE}/\u202est.a"), "only printable characters"),
    "half a surrogate": (b'{"file_name":"\\ud800"}', "not JSON"),
    "long name": (changed(file_name=f"{DEVICE}/" + "x" * 512), "at most 512 bytes"),
    "long name in bytes": (changed(file_name=f"{DEVICE}/" + "像" * 200), "at most 512 bytes"),
}


@pytest.mark.parametrize("payload, told", BAD_REQUESTS.values(), ids=BAD_REQUESTS.keys())
async def test_a_bad_request_is_told_what_is_allowed(payload: bytes, told: str) -> None:
    signer = Recorder()
    reply = await handler(signer).answer(DEVICE, "upload/request", payload)
    refused = json.loads(reply.payload)
    assert (refused["success"], refused["error_code"]) == (False, "BAD_REQUEST")
    assert told in refused["error_message"]
    assert len(reply.payload) < 1024
    assert signer.signed == []


async def test_the_request_id_is_repeated_whenever_it_can_be_read() -> None:
    assert (await answer(changed(file_size=0)))["request_id"] == "upload_1a2b3c4d"
    assert (await answer(changed(request_id=["a"])))["request_id"] == ""
    assert (await answer(changed(request_id="x" * 5000)))["request_id"] == ""


async def test_optional_and_unknown_fields() -> None:
    least = {name: REQUEST[name] for name in ("request_id", "device_id", "file_name", "file_size")}
    granted = await answer(json.dumps(least).encode(), content_types=("video/mp4", "video/mp2t"))
    assert (granted["success"], granted["content_type"]) == (True, "video/mp4")
    assert (await answer(changed(colour="red", metadata={"mood": 1})))["success"] is True
    assert (await answer(changed(file_name=f"{DEVICE}/门口 (1)+&=.ts")))["success"] is True


# ---- the running program


class Camera:
    """A plain MQTT client in a camera's place."""

    def __init__(self, broker: Mosquitto, device: str = DEVICE) -> None:
        self.replies: list[dict[str, Any]] = []
        self._device = device
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = lambda _client, _data, message: self.replies.append(
            json.loads(message.payload)
        )
        if broker.ca:
            self._client.tls_set(str(broker.ca_file))
        self._client.connect(broker.host, broker.port)
        self._client.subscribe(f"devices/{device}/upload/response", qos=1)
        self.loop_until(self._client.is_connected)

    def send(self, payload: bytes, *, retain: bool = False) -> None:
        sent = self._client.publish(
            f"devices/{self._device}/upload/request", payload, qos=1, retain=retain
        )
        self.loop_until(sent.is_published)

    def ask(self, payload: bytes) -> dict[str, Any]:
        self.send(payload)
        self.loop_until(lambda: bool(self.replies))
        return self.replies.pop(0)

    def loop_until(self, done: Callable[[], bool], timeout_sec: float = 10) -> None:
        deadline = time.monotonic() + timeout_sec
        while not done():
            assert time.monotonic() < deadline, "no answer in time"
            self._client.loop(0.02)


@contextmanager
def running(ca: TestCA | None = None) -> Iterator[tuple[Mosquitto, CloudService]]:
    """Broker and service; the store is only an address, for signing needs none."""
    with Mosquitto(ca) as broker, CloudService(broker, Minio(), [DEVICE]) as service:
        yield broker, service


def wait_for_event(service: CloudService, event: str, count: int = 1) -> None:
    deadline = time.monotonic() + 15
    while [line["event"] for line in service.events()].count(event) < count:
        assert time.monotonic() < deadline, f"no {event} in {service.log_path.read_text()}"
        time.sleep(0.05)


def test_it_answers_over_a_broker_and_its_log_keeps_secrets() -> None:
    with running() as (broker, service):
        granted = Camera(broker).ask(changed())
        assert granted["success"] is True
        assert granted["upload_url"].startswith("http://127.0.0.1:")
        assert abs(granted["server_time"] - time.time()) < 5
        refused = Camera(broker, "STRANGER").ask(changed(device_id="STRANGER"))
        assert refused["error_code"] == "UNAUTHORIZED"
        wait_for_event(service, "granted")
        service.stop()
        log = service.log_path.read_text()
        assert service.events()[-1]["event"] == "stopped"
        signature = parse_qs(urlsplit(granted["upload_url"]).query)["X-Amz-Signature"][0]
        for secret in ("X-Amz", signature, Minio.secret_key):
            assert secret not in log


def test_what_it_cannot_read_does_not_stop_it() -> None:
    with running() as (broker, service):
        camera = Camera(broker)
        assert camera.ask(b"\xff\x00")["error_code"] == "BAD_REQUEST"
        assert camera.ask(nested(3000))["error_code"] == "BAD_REQUEST"
        camera.send(changed(padding="x" * 1_000_000))  # the broker keeps this from the service
        assert camera.ask(changed(request_id="after"))["request_id"] == "after"
        assert service.is_running


def test_a_retained_request_is_not_answered_again() -> None:
    with running() as (broker, service):
        camera = Camera(broker)
        camera.send(changed(request_id="retained"), retain=True)
        camera.loop_until(lambda: bool(camera.replies))
        assert camera.replies.pop()["request_id"] == "retained"
        service.stop()
        service.start()
        assert camera.ask(changed(request_id="fresh"))["request_id"] == "fresh"
        assert camera.replies == []


def test_it_comes_back_after_the_broker() -> None:
    with running() as (broker, service):
        broker.kill()
        wait_for_event(service, "broker_lost")
        broker.start()
        wait_for_event(service, "ready", count=2)
        assert Camera(broker).ask(changed())["success"] is True


def test_it_speaks_tls_and_checks_the_broker() -> None:
    with running(TestCA()) as (broker, service):
        assert Camera(broker).ask(changed())["success"] is True
        service.stop()
        broker.ca_file.write_bytes(TestCA().pem)
        service.start_timeout_sec = 3
        with pytest.raises(ServiceError):
            service.start()
        assert "CERTIFICATE_VERIFY_FAILED" in service.events()[-1]["error"]
