"""P8: requests per second that the cloud service answers over MQTT, against its SDK's bare presigning.

Per core means per second of CPU time of the service's own process, so that a broker and a camera
side on the same machine, or other work on it, do not count. What two processes do in the same time
shows only on a machine that has a core for each of them and others for broker and cameras; what
one request costs when two share the load shows everywhere.
"""

import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from tools.bench.interpreter import MeasurementFailed
from tools.bench.report import Row, Target
from tools.cloud_service.config import S3Config
from tools.cloud_service.presign import S3Presigner
from tools.services import CloudService, Minio, Mosquitto

_DEVICE = "ESP32P4_CAM_001"
_REQUESTS = 3000
_IN_FLIGHT = 64  # fewer than the broker queues for a client
_ROUNDS = 3
_LONGEST_SEC = 120
_CORES_NEEDED = 4  # a service each on two, broker and cameras on the others


def measure(say: Callable[[str], None]) -> list[Row]:
    say("presigns in a bare loop")
    bare = statistics.median(_bare_per_cpu_sec() for _ in range(_ROUNDS))
    one = _served(1, say)
    two = _served(2, say)
    cores = os.cpu_count() or 1
    has_cores = cores >= _CORES_NEEDED
    here = "" if has_cores else f" ({cores} cores here, which broker and cameras share: no target)"
    return [
        Row(
            "P8",
            "requests/s and core answered over MQTT; against the SDK's presigning in a bare loop",
            one.per_cpu_sec,
            bare,
            Target("ratio", ">=", 0.5),
        ),
        Row(
            "P8",
            "requests/s and core of two processes that share the load; against one process",
            two.per_cpu_sec,
            one.per_cpu_sec,
            Target("ratio", ">=", 0.9),
        ),
        Row(
            "P8",
            f"requests/s by the clock of two processes; against one process{here}",
            two.per_sec,
            one.per_sec,
            Target("ratio", ">=", 1.8) if has_cores else None,
        ),
    ]


class _Rate:
    def __init__(self, per_cpu_sec: float, per_sec: float) -> None:
        self.per_cpu_sec = per_cpu_sec
        self.per_sec = per_sec


def _bare_per_cpu_sec() -> float:
    config = S3Config(
        kind="s3",
        bucket="cams",
        endpoint="http://127.0.0.1:9000",
        path_style=True,
        access_key="AK",
        secret_key="SK",
    )
    presigner = S3Presigner(config)
    presigner.put(_path(0), "video/mp2t", 600)
    started = time.process_time()
    for number in range(_REQUESTS):
        presigner.put(_path(number), "video/mp2t", 600)
    return _REQUESTS / (time.process_time() - started)


def _served(processes: int, say: Callable[[str], None]) -> _Rate:
    """The median of some rounds, after one that warms up."""
    with ExitStack() as opened:
        broker = opened.enter_context(Mosquitto())
        services = [
            # the store is only an address: signing asks none
            opened.enter_context(CloudService(broker, Minio(), [_DEVICE], shared=processes > 1))
            for _ in range(processes)
        ]
        rounds = []
        for number in range(1 + _ROUNDS):
            say(f"asks {processes} process(es), round {number} of {_ROUNDS}")
            before, started = _cpu_sec(services), time.monotonic()
            _ask_all(broker)
            took_sec = time.monotonic() - started
            used_sec = _cpu_sec(services) - before
            rounds.append(_Rate(_REQUESTS / used_sec, _REQUESTS / took_sec))
    del rounds[0]
    return _Rate(
        statistics.median(rate.per_cpu_sec for rate in rounds),
        statistics.median(rate.per_sec for rate in rounds),
    )


def _ask_all(broker: Mosquitto) -> None:
    """Ask for every file once, and wait until each is answered with a URL."""
    answered: set[str] = set()
    refused: list[bytes] = []

    def on_message(client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        answer = json.loads(message.payload)
        if not answer["success"]:
            refused.append(message.payload)
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
