"""A cloud of the tests' own: answers a camera's requests over MQTT as a test says."""

import contextlib
import json
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from tools.desk import DEVICE_ID
from tools.services import Mosquitto

SECRET = "X-Signature=secret"
PATIENCE_SEC = 20.0
Message = dict[str, Any]
Answer = Callable[["ScriptedCloud", Message], None]


class ScriptedCloud:
    """Answers while entered, each request with the next answer that was given for its clip.

    An answer is a function of the cloud and the request; without one comes an honest grant, in the
    specification's plain form. What the camera says once all is stored is answered likewise, by
    the acks that were given.
    """

    def __init__(self, broker: Mosquitto, endpoint: str) -> None:
        self._broker, self.endpoint = broker, endpoint
        self._changed = threading.Condition()
        self._requests: list[Message] = []
        self._completes: list[Message] = []
        self._answers: dict[str, deque[Answer]] = defaultdict(deque)
        self._acks: dict[str, deque[Answer]] = defaultdict(deque)

    def __enter__(self) -> "ScriptedCloud":
        subscribed = threading.Event()
        base = self._base = f"devices/{DEVICE_ID}/upload"
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = self._on_message
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.connect(self._broker.host, self._broker.port)
        self._client.subscribe([(f"{base}/request", 1), (f"{base}/complete", 1)])
        self._client.loop_start()
        assert subscribed.wait(PATIENCE_SEC)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def answer(self, clip: str, *answers: Answer) -> None:
        """How to answer the next requests for the clip of that name."""
        self._answers[clip].extend(answers)

    def ack(self, clip: str, *acks: Answer) -> None:
        """How to answer when the camera says that the clip of that name is stored."""
        self._acks[clip].extend(acks)

    def completes(self, clip: str) -> list[Message]:
        """All that the camera said about the ends of uploads of the clip, in their order."""
        told = list(self._completes)
        return [one for one in told if one["cloud_file_path"].endswith(clip)]

    def requests(self, clip: str) -> list[Message]:
        """All requests for the clip, in their order."""
        return [request for request in list(self._requests) if request["file_name"].endswith(clip)]

    def wait(self, clip: str, count: int, timeout_sec: float = PATIENCE_SEC) -> Message:
        """Request number `count` for the clip."""
        with self._changed:
            self._changed.wait_for(lambda: len(self.requests(clip)) >= count, timeout_sec)
        came = self.requests(clip)
        assert len(came) >= count, f"{len(came)} of {count} requests came"
        return came[count - 1]

    def grant(self, request: Message, **changes: object) -> Message:
        """The honest answer to a request, but for the changes."""
        return {
            "success": True,
            "request_id": request["request_id"],
            "upload_url": f"{self.endpoint}/cams/{request['file_name']}?{SECRET}",
            "method": "PUT",
            "content_type": "video/mp2t",
            "cloud_file_path": request["file_name"],
            "expires_at": int(time.time()) + 600,
            "extra_headers": {},
            **changes,
        }

    def verified(self, complete: Message, **changes: object) -> Message:
        """The honest ack, but for the changes."""
        return {
            "request_id": complete["request_id"],
            "success": True,
            "verified": True,
            "cloud_url": f"{self.endpoint}/cams/{complete['cloud_file_path']}",
            "size": complete["file_size"],
            **changes,
        }

    def send(
        self, message: Message | bytes, *, topic: str = "response", retain: bool = False
    ) -> None:
        """Publish on the topic of responses, or on that of acks ("complete_ack")."""
        payload = message if isinstance(message, bytes) else json.dumps(message).encode()
        self._client.publish(f"{self._base}/{topic}", payload, qos=1, retain=retain)

    @contextlib.contextmanager
    def retained(self, message: Message | bytes) -> Iterator[None]:
        """A retained message on the topic of responses for the length of a `with` block."""
        self.send(message, retain=True)
        try:
            yield
        finally:
            self.send(b"", retain=True)

    def _on_message(self, _client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        fields = json.loads(message.payload)
        if message.topic.endswith("/complete"):
            self._completes.append(fields)
            if fields["outcome"] == "stored":
                given = self._acks[fields["cloud_file_path"].rpartition("_")[2]]
                (given.popleft() if given else honest_ack)(self, fields)
            return
        with self._changed:
            self._requests.append(fields)
            self._changed.notify_all()
        given = self._answers[fields["file_name"].rpartition("_")[2]]
        (given.popleft() if given else honest_answer)(self, fields)


def honest_answer(cloud: ScriptedCloud, request: Message) -> None:
    cloud.send(cloud.grant(request))


def honest_ack(cloud: ScriptedCloud, complete: Message) -> None:
    cloud.send(cloud.verified(complete), topic="complete_ack")
