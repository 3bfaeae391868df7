"""A camera's side of the upload protocol with ordinary clients: MQTT by paho, HTTP by requests."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import paho.mqtt.client as mqtt
import requests
from paho.mqtt.enums import CallbackAPIVersion

from tools.services import Mosquitto

Answer = dict[str, Any]
CONTENT_TYPE = "video/mp2t"
_ids = itertools.count(1)


def md5(data: bytes) -> str:
    """As Content-MD5 has it."""
    return base64.b64encode(hashlib.md5(data).digest()).decode()


def multipart_etag(parts: Sequence[bytes]) -> str:
    digests = b"".join(hashlib.md5(part).digest() for part in parts)
    return f"{hashlib.md5(digests).hexdigest()}-{len(parts)}"


def split(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def send(
    url: str, data: bytes, headers: dict[str, str] | None = None, method: str = "PUT"
) -> requests.Response:
    """One body to a presigned URL, with these headers and no others that are signed."""
    with requests.Session() as session:
        session.trust_env = False
        return session.request(method, url, data=data, headers=headers or {}, timeout=30)


def put(grant: Answer, data: bytes) -> requests.Response:
    """The whole file, as the grant of a single PUT says."""
    headers = {"Content-Type": grant["content_type"], **grant["extra_headers"]}
    return send(grant["upload_url"], data, headers, grant["method"])


class ProtocolCamera:
    """Asks and completes as `device_id`; every answer to it is kept in `replies`."""

    def __init__(self, broker: Mosquitto, device_id: str) -> None:
        self.device_id = device_id
        self.replies: list[Answer] = []
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = self._on_message
        self._subscribed = False
        self._client.on_subscribe = lambda *_: setattr(self, "_subscribed", True)
        self._client.connect(broker.host, broker.port)
        topics = (f"devices/{device_id}/upload/{name}" for name in ("response", "complete_ack"))
        self._client.subscribe([(topic, 1) for topic in topics])
        self.loop_until(lambda: self._subscribed)

    def __enter__(self) -> ProtocolCamera:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.disconnect()

    def ask(self, path: str, size: int, **fields: Any) -> Answer:
        """One request; protocol 2, with all capabilities unless told otherwise."""
        asked = {"protocol": 2, "capabilities": ["put", "multipart"]}
        return self.say("request", {**asked, "file_name": path, "file_size": size, **fields})

    def complete(self, path: str, size: int, outcome: str = "stored", **fields: Any) -> Answer:
        told = {"cloud_file_path": path, "file_size": size, "outcome": outcome}
        return self.say("complete", {**told, **fields})

    def say(self, kind: str, fields: dict[str, Any]) -> Answer:
        """Send one message and wait for its answer."""
        request_id = self.tell(kind, fields)
        self.loop_until(lambda: bool(self.answers(request_id)))
        return self.answers(request_id)[0]

    def tell(self, kind: str, fields: dict[str, Any]) -> str:
        """Send one message; its request_id."""
        message = {"request_id": f"r{next(_ids)}", "device_id": self.device_id, **fields}
        self.publish(kind, json.dumps(message).encode())
        return str(message["request_id"])

    def publish(self, kind: str, payload: bytes) -> None:
        """Send anything at all."""
        self._client.publish(f"devices/{self.device_id}/upload/{kind}", payload, qos=1)

    def answers(self, request_id: str) -> list[Answer]:
        return [reply for reply in self.replies if reply["request_id"] == request_id]

    def loop_until(self, done: Callable[[], bool], timeout_sec: float = 30) -> None:
        deadline = time.monotonic() + timeout_sec
        while not done():
            assert time.monotonic() < deadline, f"not in time; answers: {self.replies}"
            self._client.loop(0.02)

    def _on_message(self, _client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        self.replies.append(json.loads(message.payload))
