"""Uploads that are interrupted go on where they were, and clips go out while they are recorded."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.live.cameras import DEVICE_ID, Camera, sha256
from tests.live.clips import PACKET_BYTES, make_clip
from tests.live.relay import Relay
from tools.desk import STORES
from tools.material import Footage, footage
from tools.services import CloudService, Mosquitto, ObjectStore, Proxy, mosquitto, toxiproxy

CLIP = "r0000001.ts"
MB = 1_000_000
PART_BYTES = 5 << 20
LARGE_BYTES, LINE_BYTES_PER_SEC = 100 * MB, 40 * MB
PARTS = -(-LARGE_BYTES // PART_BYTES)
INTERRUPTIONS = 10
IDLE_SEC = 2
PATIENCE_SEC = 60.0
MANY = {
    "upload": {
        "retry_max_attempts": 50,
        "retry_delay_sec": 1,
        "idle_timeout_sec": IDLE_SEC,
        "request_timeout_sec": 3,
        "max_concurrent_uploads": 1,
    }
}


class Desk(NamedTuple):
    """All that may fail on the way of a clip."""

    broker: Mosquitto
    store: ObjectStore
    proxy: Proxy
    line: Relay
    camera: Camera


def digest_of(store: ObjectStore, camera: Camera, cloud_path: str) -> str:
    copy = camera.card / "copy"
    store.client().download_file(store.bucket, cloud_path, str(copy))
    return sha256(copy)


def only_object(store: ObjectStore) -> str:
    """The path of the one clip that a store holds."""
    listed = store.client().list_objects_v2(Bucket=store.bucket, Prefix=DEVICE_ID)
    (entry,) = listed.get("Contents", [])
    return entry["Key"]


def wait_for_object(store: ObjectStore, cloud_path: str) -> None:
    deadline = time.monotonic() + PATIENCE_SEC
    while not store.client().list_objects_v2(Bucket=store.bucket, Prefix=cloud_path)["KeyCount"]:
        assert time.monotonic() < deadline, f"{cloud_path} does not arrive"
        time.sleep(0.05)


def kill_store(desk: Desk) -> None:
    desk.store.kill()
    desk.store.start()


def kill_broker(desk: Desk) -> None:
    said_before = len(desk.camera.said())
    desk.broker.kill()
    desk.camera.wait_for("MQTT link down", since=said_before)
    desk.broker.start()
    desk.camera.wait_for("MQTT link up", PATIENCE_SEC, since=said_before)


def reset_camera(desk: Desk) -> None:
    desk.camera.reboot()


def swallow(desk: Desk) -> None:
    said_before = len(desk.camera.said())
    with desk.proxy.toxic("timeout", stream="upstream", timeout=0):
        desk.camera.wait_for("TIMEOUT", since=said_before)


def reset_line(desk: Desk) -> None:
    said_before = len(desk.camera.said())
    with desk.proxy.toxic("reset_peer", stream="upstream", timeout=0):
        desk.camera.wait_for("upload failed", since=said_before)


# While the broker is away the upload goes on for as long as it has URLs: so not at the end.
WAYS: tuple[Callable[[Desk], None], ...] = (
    kill_broker,
    reset_camera,
    kill_store,
    swallow,
    reset_line,
)


def wait_until_within(line: Relay, part: int) -> None:
    """Until something of that part is on its way, or of a later one."""

    def is_within() -> bool:
        begun = [upload.part or 0 for upload in line.uploads if upload.sent_bytes > MB]
        return max(begun, default=0) >= part

    line.wait_for(is_within, f"part {part}")


@pytest.mark.parametrize("interpreter", ["micropython"], indirect=True)
@pytest.mark.parametrize("kind", sorted(STORES))
def test_a_large_clip_survives_ten_interruptions(
    kind: str, interpreter: str, film: Footage, tmp_path: Path
) -> None:
    source = make_clip(film, tmp_path / "source", LARGE_BYTES)
    with contextlib.ExitStack() as opened:
        enter = opened.enter_context
        broker, store = enter(mosquitto()), enter(STORES[kind]())
        proxy = enter(toxiproxy()).proxy(store.address)
        line = enter(Relay(proxy.host, proxy.port, LINE_BYTES_PER_SEC))
        enter(CloudService(broker, store, [DEVICE_ID], endpoint=line.endpoint))
        camera = Camera(interpreter, tmp_path / "card", broker, film, MANY)
        original = sha256(camera.put(source, CLIP))
        enter(camera)
        desk = Desk(broker, store, proxy, line, camera)
        for number, interrupt in enumerate(WAYS * (INTERRUPTIONS // len(WAYS))):
            wait_until_within(line, 1 + number * PARTS // INTERRUPTIONS)
            interrupt(desk)
        camera.wait_for("upload completed", PATIENCE_SEC, since=0)
        camera.wait_until_empty()
        assert digest_of(store, camera, only_object(store)) == original
        assert "Traceback" not in camera.said()
        assert {upload.part for upload in line.uploads} == set(range(1, PARTS + 1))
        # Each failure and each reset costs less than a part, and nothing else costs anything.
        cuts = camera.said().count("upload failed") + INTERRUPTIONS // len(WAYS)
        assert line.sent_bytes - source.stat().st_size < cuts * PART_BYTES


@pytest.fixture(scope="module")
def relay(seaweedfs: ObjectStore) -> Iterator[Relay]:
    with Relay(seaweedfs.host, seaweedfs.port) as relay:
        yield relay


@pytest.fixture(scope="module")
def cloud(broker: Mosquitto, seaweedfs: ObjectStore, relay: Relay) -> Iterator[CloudService]:
    with CloudService(broker, seaweedfs, [DEVICE_ID], endpoint=relay.endpoint) as service:
        yield service


def test_power_fails_between_proof_and_deletion(
    interpreter: str,
    cloud: CloudService,
    relay: Relay,
    seaweedfs: ObjectStore,
    broker: Mosquitto,
    film: Footage,
    tmp_path: Path,
) -> None:
    relay.start_afresh()
    camera = Camera(interpreter, tmp_path, broker, film, MANY, freeze_at="remove")
    path = camera.put(make_clip(film, tmp_path / "source", MB), CLIP)
    original = sha256(path)
    with camera:
        camera.wait_for("frozen at remove", PATIENCE_SEC)
        started = camera.events.wait("upload_started", PATIENCE_SEC)
        assert sha256(path) == original
        camera.freeze_at = ""
        camera.reboot()
        camera.wait_until_empty()
        assert digest_of(seaweedfs, camera, started["cloud_path"]) == original
        assert len(relay.of(CLIP)) == 1


def test_power_fails_before_the_answer_is_heard(
    interpreter: str,
    cloud: CloudService,
    relay: Relay,
    seaweedfs: ObjectStore,
    broker: Mosquitto,
    film: Footage,
    tmp_path: Path,
) -> None:
    """The store has the clip and nobody knows: it is not overwritten, found, and then deleted."""
    relay.start_afresh()
    camera = Camera(interpreter, tmp_path, broker, film, MANY)
    path = camera.put(make_clip(film, tmp_path / "source", MB), CLIP)
    original = sha256(path)
    with camera:
        relay.answers.clear()
        started = camera.events.wait("upload_started", PATIENCE_SEC)
        relay.wait_for(lambda: any(upload.is_whole for upload in relay.of(CLIP)), "body")
        camera.kill()
        assert sha256(path) == original
        relay.answers.set()
        wait_for_object(seaweedfs, started["cloud_path"])
        camera.start()
        again = camera.events.wait("upload_started", PATIENCE_SEC)
        assert again["cloud_path"] == started["cloud_path"]
        camera.events.wait("upload_completed", PATIENCE_SEC)
        camera.wait_until_empty()
        assert digest_of(seaweedfs, camera, started["cloud_path"]) == original


# Live: source.fps makes the footage, of 25 fps, come almost five times as fast.
LIVE = {
    "source": {"fps": 120},
    "upload": {**MANY["upload"], "live_upload": True, "multipart_threshold_kb": 1024},
}


@pytest.fixture(scope="module")
def rich_film() -> Footage:
    return footage("bigbuckbunny")


def stored_parts(store: ObjectStore) -> tuple[str, list[int]]:
    """The path and the parts' sizes of the one unfinished upload in the store."""
    client = store.client()
    uploads = client.list_multipart_uploads(Bucket=store.bucket).get("Uploads", [])
    if not uploads:
        return "", []
    (upload,) = uploads
    listed = client.list_parts(Bucket=store.bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    return upload["Key"], [part["Size"] for part in listed.get("Parts", [])]


def clear_uploads(store: ObjectStore) -> None:
    """End the unfinished uploads that others left."""
    client = store.client()
    for upload in client.list_multipart_uploads(Bucket=store.bucket).get("Uploads", []):
        client.abort_multipart_upload(
            Bucket=store.bucket, Key=upload["Key"], UploadId=upload["UploadId"]
        )


def wait_for_part(store: ObjectStore) -> str:
    """Until the store lists the first part of its only unfinished upload; the object's path."""
    deadline = time.monotonic() + PATIENCE_SEC
    while stored_parts(store)[1] != [PART_BYTES]:
        assert time.monotonic() < deadline, "no part in the store"
        time.sleep(0.05)
    return stored_parts(store)[0]


def test_a_clip_is_in_the_store_while_it_is_recorded(
    interpreter: str,
    cloud: CloudService,
    relay: Relay,
    seaweedfs: ObjectStore,
    broker: Mosquitto,
    rich_film: Footage,
    tmp_path: Path,
) -> None:
    relay.start_afresh()
    clear_uploads(seaweedfs)
    with Camera(interpreter, tmp_path, broker, rich_film, LIVE) as camera:
        held = hold_recording(camera, seconds=8)
        cloud_path = wait_for_part(seaweedfs)
        assert "recording completed" not in camera.said()
        clip = camera.events.wait("recording_completed", PATIENCE_SEC)
        camera.events.wait("upload_completed", PATIENCE_SEC)
        camera.wait_until_empty()
        assert held.stat().st_size == clip["file_size"]
        assert digest_of(seaweedfs, camera, cloud_path) == sha256(held)
        assert stored_parts(seaweedfs) == ("", [])
        assert relay.sent_bytes == clip["file_size"]
        assert "Traceback" not in camera.said()


def test_power_fails_while_a_clip_is_recorded_and_goes_out(
    interpreter: str,
    cloud: CloudService,
    relay: Relay,
    seaweedfs: ObjectStore,
    broker: Mosquitto,
    rich_film: Footage,
    tmp_path: Path,
) -> None:
    relay.start_afresh()
    clear_uploads(seaweedfs)
    with Camera(interpreter, tmp_path, broker, rich_film, LIVE) as camera:
        held = hold_recording(camera, seconds=60)
        cloud_path = wait_for_part(seaweedfs)
        camera.kill()
        left = held.read_bytes()
        whole = len(left) // PACKET_BYTES * PACKET_BYTES
        camera.start()
        camera.events.wait("upload_completed", PATIENCE_SEC)
        camera.wait_until_empty()
        held.write_bytes(left[:whole])
        assert digest_of(seaweedfs, camera, cloud_path) == sha256(held)
        assert stored_parts(seaweedfs) == ("", [])
        assert relay.sent_bytes - whole < PART_BYTES
        assert "Traceback" not in camera.said()


def hold_recording(camera: Camera, seconds: int) -> Path:
    """Begin to record; another name for the file, which stays when the camera deletes its own."""
    camera.events.command("trigger", duration_sec=seconds)
    started = camera.events.wait("recording_started", PATIENCE_SEC)
    held = camera.card / "held"
    os.link(started["file_path"], held)
    return held
