"""P8: requests per second that the cloud service answers over MQTT, against its SDK's bare presigning.

Per core means per second of CPU time of the service's own process, so that a broker and a camera
side on the same machine, or other work on it, do not count. What two processes do in the same time
shows only on a machine that has a core for each of them and others for broker and cameras; what
one request costs when two share the load shows everywhere (more: each gets fewer at a time).
"""

import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from pydantic import SecretStr

from tools.bench.interpreter import MeasurementFailed
from tools.bench.report import Row, Target
from tools.cloud_service.clients import s3_client
from tools.cloud_service.config import S3Config
from tools.services import CloudService, Minio, Mosquitto

_DEVICE = "ESP32P4_CAM_001"
_REQUESTS = 3000
_IN_FLIGHT = 64  # fewer than the broker queues for a client
_ROUNDS = 5
_LONGEST_SEC = 120
_CORES_NEEDED = 4  # a service each on two, broker and cameras on the others


def measure(say: Callable[[str], None]) -> list[Row]:
    with ExitStack() as opened:
        say("starts the services")
        alone, pair = (_services(opened, count) for count in (1, 2))
        rounds = []
        for number in range(1 + _ROUNDS):
            say(f"asks for {_REQUESTS} URLs in each way, round {number} of {_ROUNDS}")
            rounds.append((_bare_per_cpu_sec(), _served(*alone), _served(*pair)))
    return _rows(rounds[1:])  # the first one warms up


class _Rate(NamedTuple):
    per_cpu_sec: float
    per_sec: float


def _rows(rounds: Sequence[tuple[float, _Rate, _Rate]]) -> list[Row]:
    """Each round gives one ratio, for the machine may be busy with other things; the median counts."""
    cores = os.cpu_count() or 1
    has_cores = cores >= _CORES_NEEDED
    here = "" if has_cores else f" (no target: {cores} cores here, for broker and cameras as well)"
    return [
        _row(
            "requests/s and core answered over MQTT; against the SDK's presigning in a bare loop",
            [(one.per_cpu_sec, bare) for bare, one, _ in rounds],
            Target("ratio", ">=", 0.5),
        ),
        _row(
            "requests/s and core of two processes that share the load; against one process",
            [(two.per_cpu_sec, one.per_cpu_sec) for _, one, two in rounds],
            None,
        ),
        _row(
            f"requests/s by the clock of two processes; against one process{here}",
            [(two.per_sec, one.per_sec) for _, one, two in rounds],
            Target("ratio", ">=", 1.8) if has_cores else None,
        ),
    ]


def _row(what: str, pairs: Sequence[tuple[float, float]], target: Target | None) -> Row:
    value, against = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = statistics.median(mine / theirs for mine, theirs in pairs)
    return Row("P8", what, value, against, target, ratio)


def _services(opened: ExitStack, count: int) -> tuple[Mosquitto, list[CloudService]]:
    """A broker and services of its own; the store is only an address, for signing asks none."""
    broker = opened.enter_context(Mosquitto())
    services = [CloudService(broker, Minio(), [_DEVICE], shared=count > 1) for _ in range(count)]
    return broker, [opened.enter_context(service) for service in services]


def _bare_per_cpu_sec() -> float:
    config = S3Config(
        kind="s3",
        bucket="cams",
        endpoint="http://127.0.0.1:9000",
        path_style=True,
        access_key="AK",
        secret_key=SecretStr("SK"),
    )
    client = s3_client(config, config.endpoint)

    def presign(number: int) -> str:
        asked = {"Bucket": config.bucket, "Key": _path(number), "ContentType": "video/mp2t"}
        return client.generate_presigned_url("put_object", Params=asked, ExpiresIn=600)

    presign(0)  # what is loaded once does not count
    started = time.process_time()
    for number in range(_REQUESTS):
        presign(number)
    return _REQUESTS / (time.process_time() - started)


def _served(broker: Mosquitto, services: Sequence[CloudService]) -> _Rate:
    before, started = _cpu_sec(services), time.monotonic()
    _ask_all(broker)
    took_sec = time.monotonic() - started
    return _Rate(_REQUESTS / (_cpu_sec(services) - before), _REQUESTS / took_sec)


def _ask_all(broker: Mosquitto) -> None:
    """Ask for every file once, and wait until each is answered with a URL."""
    answered: set[str] = set()
    refused: list[bytes] = []

    def on_message(client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        answer = json.loads(message.payload)
        if not answer["success"]:
            refused.append(bytes(message.payload))
        answered.add(answer["request_id"])

    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.on_message = on_message
    client.max_inflight_messages_set(_IN_FLIGHT)
    client.connect(broker.host, broker.port)
    client.subscribe(f"devices/{_DEVICE}/upload/response", qos=1)
    asked, deadline = 0, time.monotonic() + _LONGEST_SEC
    while len(answered) < _REQUESTS:
        while asked < min(_REQUESTS, len(answered) + _IN_FLIGHT):
            client.publish(f"devices/{_DEVICE}/upload/request", _request(asked), qos=1)
            asked += 1
        client.loop(0.05)
        if refused or time.monotonic() > deadline:
            raise MeasurementFailed(f"{len(answered)} of {_REQUESTS} answered; {refused[:1]}")
    client.disconnect()


def _request(number: int) -> str:
    return json.dumps(
        {
            "request_id": f"upload_{number}",
            "device_id": _DEVICE,
            "file_name": _path(number),
            "file_size": 15728640,
            "priority": 2,
            "timestamp": 1691234567,
            "metadata": {"content_type": "video/mp2t", "trigger": "motion_detection"},
        }
    )


def _path(number: int) -> str:
    return f"{_DEVICE}/2025/07/11/{number:06d}_motion_video.ts"


def _cpu_sec(services: Sequence[CloudService]) -> float:
    """What their processes have used so far, user and system."""
    ticks = 0
    for service in services:
        fields = Path(f"/proc/{service.pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")
