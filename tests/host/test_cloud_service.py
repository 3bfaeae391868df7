"""The cloud service: its decisions as tables, its signatures, and the running program on a broker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tools.cloud_service import config as configuration
from tools.cloud_service.config import ConfigError, MqttConfig, OssConfig, S3Config, UploadPolicy
from tools.cloud_service.handlers import MAX_REQUEST_BYTES, UploadHandler
from tools.cloud_service.presign import PresignedPut, presigner
from tools.cloud_service.service import tls_context
from tools.services import CloudService, Minio, Mosquitto, ServiceError
from tools.testca import TestCA

ROOT = Path(__file__).resolve().parents[2]
DEVICE = "ESP32P4_CAM_001"
TOPIC = f"devices/{DEVICE}/upload/request"
NOW = 1_691_234_567
REQUEST: dict[str, Any] = {  # the specification's example
    "request_id": "upload_1a2b3c4d",
    "file_name": f"{DEVICE}/2025/07/11/143022_motion_video.ts",
    "file_size": 15728640,
    "priority": 2,
    "timestamp": 1691234567,
    "device_id": DEVICE,
    "metadata": {
        "content_type": "video/mp2t",
        "format": "H264/MPEG-TS",
        "trigger": "motion_detection",
        "duration": 120,
        "resolution": "1080p",
    },
}


class Recorder:
    """A presigner that notes what it was asked to sign."""

    def __init__(self) -> None:
        self.signed: list[tuple[str, str, int]] = []

    def put(self, key: str, content_type: str, expires_sec: int) -> PresignedPut:
        self.signed.append((key, content_type, expires_sec))
        return PresignedPut(f"https://store.test/{key}?signature=s", {"x-oss-storage-class": "IA"})


def handler(signer: Recorder | None = None, **policy: Any) -> UploadHandler:
    limits = UploadPolicy(**{"expires_sec": 3600, **policy})
    return UploadHandler(signer or Recorder(), [DEVICE], limits, lambda: NOW + 0.9)


def changed(**fields: Any) -> bytes:
    return json.dumps({**REQUEST, **fields}).encode()


def answer(payload: bytes, topic: str = TOPIC, **policy: Any) -> dict[str, Any]:
    reply = handler(**policy).handle(topic, payload)
    assert reply.topic == topic.replace("request", "response")
    document = json.loads(reply.payload)
    assert isinstance(document, dict)
    return document


def test_a_good_request_gets_the_specified_fields_and_two_more() -> None:
    signer = Recorder()
    reply = handler(signer).handle(TOPIC, json.dumps(REQUEST).encode())
    assert reply.topic == f"devices/{DEVICE}/upload/response"
    assert json.loads(reply.payload) == {
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
    assert signer.signed == [(REQUEST["file_name"], "video/mp2t", 3600)]
    assert "signature" not in json.dumps(reply.log)


def test_an_unlisted_device_is_refused_as_specified() -> None:
    signer = Recorder()
    reply = handler(signer).handle("devices/STRANGER/upload/request", changed(device_id="STRANGER"))
    assert reply.topic == "devices/STRANGER/upload/response"
    assert json.loads(reply.payload) == {
        "success": False,
        "request_id": "upload_1a2b3c4d",
        "error_code": "UNAUTHORIZED",
        "error_message": "Device not authorized",
    }
    assert signer.signed == []


def test_a_listed_device_cannot_ask_on_anothers_topic() -> None:
    refused = answer(changed(), topic="devices/STRANGER/upload/request")
    assert refused["error_code"] == "UNAUTHORIZED"
    refused = answer(changed(device_id="STRANGER"))
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
def test_a_bad_request_is_told_what_is_allowed(payload: bytes, told: str) -> None:
    signer = Recorder()
    reply = handler(signer).handle(TOPIC, payload)
    refused = json.loads(reply.payload)
    assert (refused["success"], refused["error_code"]) == (False, "BAD_REQUEST")
    assert told in refused["error_message"]
    assert len(reply.payload) < 1024
    assert signer.signed == []


def test_the_request_id_is_repeated_whenever_it_can_be_read() -> None:
    assert answer(changed(file_size=0))["request_id"] == "upload_1a2b3c4d"
    assert answer(changed(request_id=["a"]))["request_id"] == ""
    assert answer(changed(request_id="x" * 5000))["request_id"] == ""


def test_optional_and_unknown_fields() -> None:
    least = {name: REQUEST[name] for name in ("request_id", "device_id", "file_name", "file_size")}
    granted = answer(json.dumps(least).encode(), content_types=("video/mp4", "video/mp2t"))
    assert (granted["success"], granted["content_type"]) == (True, "video/mp4")
    assert answer(changed(protocol=2, capabilities=["put"], resume=None))["success"] is True
    assert answer(changed(file_name=f"{DEVICE}/门口 (1)+&=.ts"))["success"] is True


# ---- signatures, all offline


def query(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def s3(**settings: Any) -> S3Config:
    return S3Config(
        **{"kind": "s3", "bucket": "cams", "access_key": "AK", "secret_key": "SK", **settings}
    )


def oss(**settings: Any) -> OssConfig:
    return OssConfig(
        **{
            "kind": "oss",
            "bucket": "your-bucket",
            "region": "cn-hangzhou",
            "access_key": "AK",
            "secret_key": "SK",
            **settings,
        }
    )


def test_s3_signs_the_content_type_and_every_extra_header() -> None:
    config = s3(storage_class="STANDARD_IA", server_side_encryption="AES256")
    signed = presigner(config).put("cam/a b.ts", "video/mp2t", 600)
    assert signed.extra_headers == {
        "x-amz-storage-class": "STANDARD_IA",
        "x-amz-server-side-encryption": "AES256",
    }
    asked = query(signed.url)
    assert asked["X-Amz-Algorithm"] == "AWS4-HMAC-SHA256"
    assert asked["X-Amz-Expires"] == "600"
    names = ["content-type", "host", "x-amz-server-side-encryption", "x-amz-storage-class"]
    assert asked["X-Amz-SignedHeaders"].split(";") == names
    assert "SK" not in signed.url.replace("SignedHeaders", "")


@pytest.mark.parametrize(
    "settings, address",
    [
        ({"region": "eu-central-1"}, "https://cams.s3.eu-central-1.amazonaws.com/cam/a.ts"),
        (
            {"endpoint": "http://127.0.0.1:9000", "path_style": True},
            "http://127.0.0.1:9000/cams/cam/a.ts",
        ),
        ({"endpoint": "https://s3.example.org"}, "https://cams.s3.example.org/cam/a.ts"),
    ],
)
def test_s3_addresses(settings: dict[str, Any], address: str) -> None:
    url = presigner(s3(**settings)).put("cam/a.ts", "video/mp2t", 60).url
    assert url.partition("?")[0] == address


def test_oss_signs_the_content_type_and_every_extra_header() -> None:
    config = oss(storage_class="Standard", server_side_encryption="AES256")
    signed = presigner(config).put("cam/2025/a b.ts", "video/mp2t", 3600)
    assert signed.extra_headers == {
        "x-oss-storage-class": "Standard",
        "x-oss-server-side-encryption": "AES256",
    }
    parts = urlsplit(signed.url)
    assert (parts.scheme, parts.netloc) == ("https", "your-bucket.oss-cn-hangzhou.aliyuncs.com")
    assert parts.path == "/cam/2025/a%20b.ts"
    asked = query(signed.url)
    assert asked["x-oss-signature-version"] == "OSS4-HMAC-SHA256"
    assert asked["x-oss-expires"] == "3600", "no less than the reply promises"
    day = asked["x-oss-date"][:8]
    assert asked["x-oss-credential"] == f"AK/{day}/cn-hangzhou/oss/aliyun_v4_request"
    assert len(bytes.fromhex(asked["x-oss-signature"])) == 32
    assert "SK" not in signed.url


@pytest.mark.parametrize(
    "change",
    [
        {"content_type": "text/plain"},
        {"key": "cam/b.ts"},
        {"storage_class": "IA"},
        {"secret_key": "other"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_an_oss_signature_depends_on_all_that_it_covers(
    change: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def sign(**given: str) -> str:
        put = {"key": "cam/a.ts", "content_type": "video/mp2t"}
        put.update({name: given.pop(name) for name in list(given) if name in put})
        asked = query(
            presigner(oss(**{"storage_class": "Standard", **given})).put(**put, expires_sec=60).url
        )
        return asked["x-oss-signature"] if asked["x-oss-date"] == date else sign(**given, **put)

    date = query(presigner(oss()).put("x", "video/mp2t", 60).url)["x-oss-date"]
    assert sign() == sign()
    assert sign(**change) != sign()


def test_oss_allows_the_longest_lifetime_and_another_endpoint() -> None:
    config = oss(endpoint="https://oss-cn-hangzhou-internal.aliyuncs.com")
    url = presigner(config).put("a", "video/mp2t", configuration.MAX_EXPIRES_SEC).url
    assert urlsplit(url).netloc == "your-bucket.oss-cn-hangzhou-internal.aliyuncs.com"
    assert query(url)["x-oss-expires"] == "604799"


def test_credentials_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "FROM_ENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("OSS_ACCESS_KEY_ID", "FROM_ENV")
    monkeypatch.setenv("OSS_ACCESS_KEY_SECRET", "secret")
    keys = {"access_key": None, "secret_key": None}
    url = presigner(s3(**keys)).put("a", "video/mp2t", 60).url
    assert query(url)["X-Amz-Credential"].startswith("FROM_ENV/")
    url = presigner(oss(**keys)).put("a", "video/mp2t", 60).url
    assert query(url)["x-oss-credential"].startswith("FROM_ENV/")


def test_missing_credentials_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("AWS_", "OSS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    keys = {"access_key": None, "secret_key": None}
    with pytest.raises(ConfigError, match="AWS_ACCESS_KEY_ID"):
        presigner(s3(**keys))
    with pytest.raises(ConfigError, match="OSS_ACCESS_KEY_ID"):
        presigner(oss(**keys))


# ---- configuration

GOOD: dict[str, Any] = {
    "devices": [DEVICE],
    "mqtt": {"host": "127.0.0.1"},
    "store": {"kind": "s3", "bucket": "cams", "access_key": "AK", "secret_key": "SK"},
}


def section(name: str, **values: Any) -> dict[str, Any]:
    return {**GOOD, name: {**GOOD.get(name, {}), **values}}


BAD_CONFIGS = {
    "no devices": ({k: v for k, v in GOOD.items() if k != "devices"}, "devices: Field required"),
    "device id": ({**GOOD, "devices": ["a/b"]}, "devices.0: String should match pattern"),
    "unknown section": (
        {**GOOD, "mqqt": {}},
        "mqqt: unknown key, allowed: devices, mqtt, store, uploads",
    ),
    "unknown key": (
        section("uploads", expire=1),
        "uploads.expire: unknown key, allowed: content_types, ",
    ),
    "unknown store key": (
        section("store", region_name="x"),
        "store.region_name: unknown key, allowed: acc",
    ),
    "unknown kind": (section("store", kind="gcs"), "'s3', 'oss'"),
    "oss without region": (section("store", kind="oss"), "store.region: Field required"),
    "endpoint": (
        section("store", endpoint="127.0.0.1:9000"),
        "store.endpoint: String should match pattern",
    ),
    "half a key pair": (
        section("store", secret_key=None),
        "store: access_key and secret_key go together",
    ),
    "port": (section("mqtt", port=99999), "mqtt.port: Input should be less than or equal to 65535"),
    "ca without tls": (
        section("mqtt", ca_file="ca.pem"),
        "mqtt: ca_file, cert_file and key_file are for tls",
    ),
    "cert without key": (
        section("mqtt", tls=True, cert_file="c"),
        "mqtt: cert_file and key_file go together",
    ),
    "expiry": (
        section("uploads", expires_sec=604800),
        "uploads.expires_sec: Input should be less than",
    ),
    "no types": (
        section("uploads", content_types=[]),
        "uploads.content_types: Tuple should have at least 1",
    ),
}


@pytest.mark.parametrize("document, told", BAD_CONFIGS.values(), ids=BAD_CONFIGS.keys())
def test_a_wrong_key_is_named_with_what_is_allowed(document: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configuration.parse(document, "config.toml")
    assert f"config.toml: {told}" in str(caught.value) or told in str(caught.value)
    assert "SK" not in str(caught.value)


def test_the_example_is_a_good_configuration() -> None:
    config = configuration.load(ROOT / "tools" / "cloud_service" / "config.example.toml")
    assert (config.devices, config.uploads) == (frozenset([DEVICE]), UploadPolicy())


def test_every_key_is_in_the_example() -> None:
    example = (ROOT / "tools" / "cloud_service" / "config.example.toml").read_text()
    for model in (configuration.MqttConfig, S3Config, OssConfig, UploadPolicy):
        for name in model.model_fields:
            assert f"{name} = " in example, f"{name} is missing"


def test_the_broker_password_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MQTT_PASSWORD", "hush")
    config = configuration.parse(GOOD)
    assert config.mqtt.password and config.mqtt.password.get_secret_value() == "hush"
    assert "hush" not in repr(config) and "SK" not in repr(config)


@pytest.mark.parametrize(
    "text", [None, "devices = [", "devices = 1"], ids=["missing", "no TOML", "wrong"]
)
def test_the_command_refuses_a_bad_file_without_a_traceback(
    text: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "config.toml"
    if text is not None:
        path.write_text(text)
    command = [sys.executable, "-m", "tools.cloud_service", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert str(path) in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("text", [None, "no certificate"], ids=["missing", "no PEM"])
def test_tls_files_that_cannot_be_loaded_are_a_configuration_error(
    text: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "ca.pem"
    if text is not None:
        path.write_text(text)
    config = MqttConfig(host="127.0.0.1", tls=True, ca_file=path)
    with pytest.raises(ConfigError, match="ca_file"):
        tls_context(config)


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


def log_lines(service: CloudService) -> list[dict[str, Any]]:
    return [json.loads(line) for line in service.log_path.read_text().splitlines()]


def wait_for_event(service: CloudService, event: str, count: int = 1) -> None:
    deadline = time.monotonic() + 15
    while [line["event"] for line in log_lines(service)].count(event) < count:
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
        assert log_lines(service)[-1]["event"] == "stopped"
        for secret in ("X-Amz", query(granted["upload_url"])["X-Amz-Signature"], Minio.secret_key):
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
        assert "CERTIFICATE_VERIFY_FAILED" in log_lines(service)[-1]["error"]
