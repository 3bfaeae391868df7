"""A whole camera set-up on the desk: broker, store, cloud service, and a board with a card.

    with desk(Path("build/desk"), store="seaweedfs") as table:
        table.board.set_pin(PIR_GPIO, 1)
        done = table.events.wait("upload_completed", timeout_sec=30)

Everything is real but the chip. The camera's configuration is the product's, with waits cut short
and plain HTTP allowed, for all of it is on this machine.
"""

import contextlib
import json
import queue
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from tools.material import Footage, footage
from tools.services import CloudService, Minio, Mosquitto, ObjectStore, SeaweedFS
from tools.virtual_board import VirtualBoard, card
from tools.virtual_board.deploy import flash

DEVICE_ID = "ESP32P4_CAM_001"
PIR_GPIO = 4
CARD_FOOTAGE = "footage.h264"
READ_AHEAD_KB = 4  # beside the largest unit of what is played; the default would hold more
STORES = {"seaweedfs": SeaweedFS, "minio": Minio}
Event = dict[str, Any]


class CameraEvents:
    """What a camera publishes, as it comes: every message below `devices/{id}/`."""

    def __init__(self, broker: Mosquitto, device_id: str = DEVICE_ID) -> None:
        self.base = f"devices/{device_id}"
        self.seen: list[Event] = []
        self._arrived: queue.Queue[Event] = queue.Queue()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.on_connect = lambda client, *_: client.subscribe(f"{self.base}/#", qos=1)
        self._client.on_message = self._on_message
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def command(self, command: str, **fields: object) -> None:
        payload = json.dumps({"command": command, **fields})
        self._client.publish(f"{self.base}/command", payload, qos=1)

    def next(self, timeout_sec: float) -> Event:
        """The next message, with its topic; TimeoutError."""
        try:
            event = self._arrived.get(timeout=timeout_sec)
        except queue.Empty:
            raise TimeoutError("the camera published nothing more") from None
        self.seen.append(event)
        return event

    def wait(self, name: str, timeout_sec: float, **fields: object) -> Event:
        """The next event of that name (and with those fields), past all others; TimeoutError."""
        deadline = time.monotonic() + timeout_sec
        while True:
            left = deadline - time.monotonic()
            try:
                event = self.next(max(0.0, left))
            except TimeoutError:
                seen = [e.get("event", e["topic"]) for e in self.seen]
                raise TimeoutError(f"no {name} {fields or ''}; seen: {seen}") from None
            if event.get("event") == name and fields.items() <= event.items():
                return event

    def wait_status(self, status: str, timeout_sec: float) -> Event:
        """The camera's birth message ("online") or last will ("offline"); TimeoutError."""
        deadline = time.monotonic() + timeout_sec
        while True:
            event = self.next(max(0.0, deadline - time.monotonic()))
            if event.get("status") == status:
                return event

    def _on_message(self, _client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        fields = json.loads(message.payload)
        self._arrived.put({**fields, "topic": message.topic})


@dataclass
class Desk:
    broker: Mosquitto
    store: ObjectStore
    cloud: CloudService
    board: VirtualBoard
    events: CameraEvents
    footage: Footage

    def object_bytes(self, cloud_path: str) -> bytes:
        """An object as an independent client reads it back."""
        got = self.store.client().get_object(Bucket=self.store.bucket, Key=cloud_path)
        return bytes(got["Body"].read())

    def object_names(self) -> list[str]:
        listed = self.store.client().list_objects_v2(Bucket=self.store.bucket)
        return [entry["Key"] for entry in listed.get("Contents", [])]

    def recordings(self) -> list[str]:
        """Names of the clips that are on the card now."""
        return card.listdir(self.board.card, "recordings")


def camera_config(broker: Mosquitto, film: Footage, changes: Mapping[str, Any] = {}) -> Event:
    """A config.json for this desk; `changes` maps a section to the keys it sets."""
    config: Event = {
        "device_id": DEVICE_ID,
        "time": {"ntp_host": ""},
        "mqtt": {"host": broker.host, "port": broker.port},
        "source": {
            "path": f"/sdcard/{CARD_FOOTAGE}",
            "fps": film.fps,
            "largest_unit_kb": max(16, film.largest_unit_bytes // 1024 + READ_AHEAD_KB),
        },
        "motion": {"pir_gpio": PIR_GPIO, "post_roll_sec": 1},
        "recorder": {"pre_roll_kb": 0},  # who wants a pre-roll gives the heap for it
        "retention": {"reserve_mb": 2},  # cards here are small
        "upload": {
            "upload_delay_sec": 0,
            "retry_delay_sec": 1,
            "allow_insecure_upload": True,
        },
    }
    for section, keys in changes.items():
        config[section] = {**config.get(section, {}), **keys} if isinstance(keys, dict) else keys
    return config


def make_card(path: Path, config: Event | None, film: Footage, *, size_mb: int = 64) -> None:
    """A FAT32 card image with the footage and, unless None, the configuration."""
    card.create(path, size_mb)
    card.put(path, film.h264, CARD_FOOTAGE)
    if config is not None:
        file = path.with_suffix(".json")
        file.write_text(json.dumps(config, indent=2))
        card.put(path, file, "config.json")


@contextlib.contextmanager
def desk(
    folder: Path,
    *,
    store: str | ObjectStore = "seaweedfs",
    film: str = "bikes",
    heap: str = "2M",
    changes: Mapping[str, Any] = {},
    endpoint: str | None = None,
) -> Iterator[Desk]:
    """Set the table, flash the board with mpremote and wait until the camera is on line.

    `store` is a kind of STORES or a running store; `endpoint` its address as the camera is to see it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as opened:
        enter = opened.enter_context
        broker = enter(Mosquitto())
        shelf = enter(STORES[store]()) if isinstance(store, str) else store
        cloud = enter(CloudService(broker, shelf, [DEVICE_ID], endpoint=endpoint))
        events = enter(contextlib.closing(CameraEvents(broker)))
        clip = footage(film)
        image = folder / "card.img"
        make_card(image, camera_config(broker, clip, changes), clip)
        board = enter(VirtualBoard(image, heap=heap, workdir=folder))
        flash(board.port)
        board.wait_for("MQTT link up", timeout_sec=20)
        yield Desk(broker, shelf, cloud, board, events, clip)
