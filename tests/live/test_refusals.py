"""What goes wrong at the store or the cloud: the right code, the file kept, the camera alive."""

import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tests.live.cameras import DEVICE_ID, Camera
from tools.cloud_service.config import S3Config
from tools.cloud_service.presign import S3Presigner
from tools.material import Footage
from tools.services import CloudService, Mosquitto, ObjectStore, free_port

Answer = dict[str, Any]


@contextlib.contextmanager
def crooked_cloud(
    broker: Mosquitto, store: ObjectStore, spoil: Callable[[Answer], None], expires_sec: int = 60
) -> Iterator[None]:
    """A cloud that answers as the real one would, after `spoil` had its way with the answer."""
    config = S3Config(
        kind="s3",
        endpoint=store.endpoint,
        path_style=True,
        bucket=store.bucket,
        region=store.region,
        access_key=store.access_key,
        secret_key=store.secret_key,
    )
    presigner, ready = S3Presigner(config), threading.Event()

    def on_message(client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        request = json.loads(message.payload)
        put = presigner.put(request["file_name"], "video/mp2t", expires_sec)
        answer = {
            "success": True,
            "request_id": request["request_id"],
            "upload_url": put.url,
            "method": "PUT",
            "content_type": "video/mp2t",
            "cloud_file_path": request["file_name"],
        }
        spoil(answer)
        client.publish(f"devices/{DEVICE_ID}/upload/response", json.dumps(answer), qos=1)

    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.on_message = on_message
    client.on_subscribe = lambda *_: ready.set()
    client.connect(broker.host, broker.port)
    client.subscribe(f"devices/{DEVICE_ID}/upload/request", qos=1)
    client.loop_start()
    try:
        assert ready.wait(5)
        yield
    finally:
        client.disconnect()
        client.loop_stop()


def wrong_signature(answer: Answer) -> None:
    head, _, signature = answer["upload_url"].rpartition("X-Amz-Signature=")
    flipped = "0" if signature[0] != "0" else "1"
    answer["upload_url"] = f"{head}X-Amz-Signature={flipped}{signature[1:]}"


def other_content_type(answer: Answer) -> None:
    answer["content_type"] = "video/mp4"


def late(answer: Answer) -> None:
    time.sleep(2)  # its URL is valid for a second


def dead_store(answer: Answer) -> None:
    before, _, rest = answer["upload_url"].partition("//")
    answer["upload_url"] = f"{before}//127.0.0.1:{free_port()}/{rest.partition('/')[2]}"


FAULTS = {
    "wrong signature": (wrong_signature, 60, "SIGNATURE_MISMATCH", False),
    "content type": (other_content_type, 60, "SIGNATURE_MISMATCH", False),
    "expired": (late, 1, "URL_EXPIRED", True),
    "store down": (dead_store, 60, "CONNECTION_LOST", True),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_upload_that_cannot_be_is_reported_and_the_file_kept(
    fault: str,
    interpreter: str,
    any_store: ObjectStore,
    broker: Mosquitto,
    film: Footage,
    tmp_path: Path,
) -> None:
    spoil, expires_sec, code, will_retry = FAULTS[fault]
    with (
        Camera(interpreter, tmp_path, broker, film) as camera,
        crooked_cloud(broker, any_store, spoil, expires_sec),
    ):
        clip = camera.record(1)
        held = hashlib.md5(Path(clip["file_path"]).read_bytes()).digest()
        failed = camera.events.wait("upload_failed", 30)
        assert (failed["error_code"], failed["will_retry"]) == (code, will_retry), failed
        assert failed["retry_count"] == 1
        assert hashlib.md5(Path(clip["file_path"]).read_bytes()).digest() == held
        assert "X-Amz" not in camera.said(), "a signed query on the console"
        # The camera goes on: it records the next clip.
        camera.record(1)
        assert camera.is_running()
        assert "Traceback" not in camera.said()


def test_a_camera_that_is_not_listed_is_refused(
    interpreter: str, seaweedfs: ObjectStore, broker: Mosquitto, film: Footage, tmp_path: Path
) -> None:
    with (
        CloudService(broker, seaweedfs, ["SOMEBODY_ELSE"]),
        Camera(interpreter, tmp_path, broker, film) as camera,
    ):
        clip = camera.record(1)
        failed = camera.events.wait("upload_failed", 20)
        assert (failed["error_code"], failed["will_retry"]) == ("UNAUTHORIZED", False)
        assert Path(clip["file_path"]).stat().st_size == clip["file_size"]


def test_without_a_cloud_the_request_times_out(
    interpreter: str, broker: Mosquitto, film: Footage, tmp_path: Path
) -> None:
    quick = {"upload": {"request_timeout_sec": 1}}
    with Camera(interpreter, tmp_path, broker, film, quick) as camera:
        clip = camera.record(1)
        failed = camera.events.wait("upload_failed", 20)
        assert failed["error_code"] == "NO_RESPONSE"
        assert Path(clip["file_path"]).stat().st_size == clip["file_size"]


def test_a_recording_that_goes_on_cannot_be_uploaded(
    interpreter: str, broker: Mosquitto, film: Footage, tmp_path: Path
) -> None:
    with Camera(interpreter, tmp_path, broker, film) as camera:
        camera.events.command("trigger", duration_sec=3)
        started = camera.events.wait("recording_started", 20)
        camera.events.command("upload_file", command_id="7", path=started["file_path"])
        refused = camera.events.next(10)
        while refused.get("command_id") != "7" or "success" not in refused:
            refused = camera.events.next(10)
        assert not refused["success"] and "being recorded" in refused["error_message"]
        clip = camera.events.wait("recording_completed", 20)
        assert Path(clip["file_path"]).stat().st_size == clip["file_size"]
