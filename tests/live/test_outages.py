"""The broker or the store dies in mid-upload and comes back: the clip is delivered all the same."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.cameras import DEVICE_ID, Camera
from tools.desk import STORES
from tools.material import Footage, footage
from tools.services import (
    CloudService,
    Mosquitto,
    ObjectStore,
    Proxy,
    Toxiproxy,
    mosquitto,
    toxiproxy,
)

MANY = {"upload": {"retry_max_attempts": 50, "idle_timeout_sec": 5, "request_timeout_sec": 3}}
SLOW_KB_PER_SEC = 128


@pytest.fixture(scope="module")
def long_film() -> Footage:
    """Footage whose clips are far bigger than the socket buffers on the way."""
    return footage("bigbuckbunny")


@pytest.fixture(scope="module")
def faults() -> Iterator[Toxiproxy]:
    with toxiproxy() as running:
        yield running


@contextlib.contextmanager
def slow_way(faults: Toxiproxy, store: ObjectStore) -> Iterator[Proxy]:
    """A proxy that makes an upload last long enough to be disturbed."""
    proxy = faults.proxy(store.address)
    proxy.add_toxic("bandwidth", stream="upstream", rate=SLOW_KB_PER_SEC)
    try:
        yield proxy
    finally:
        proxy.remove()


def read_back(store: ObjectStore, cloud_path: str) -> bytes:
    return bytes(store.client().get_object(Bucket=store.bucket, Key=cloud_path)["Body"].read())


@pytest.mark.parametrize("kind", sorted(STORES))
def test_the_store_is_killed_in_mid_upload(
    kind: str,
    interpreter: str,
    faults: Toxiproxy,
    broker: Mosquitto,
    long_film: Footage,
    tmp_path: Path,
) -> None:
    with STORES[kind]() as store, slow_way(faults, store) as way:
        endpoint = f"http://{way.address}"
        with (
            CloudService(broker, store, [DEVICE_ID], endpoint=endpoint),
            Camera(interpreter, tmp_path, broker, long_film, MANY) as camera,
        ):
            clip = camera.record(3)
            held = Path(clip["file_path"]).read_bytes()
            camera.events.wait("upload_progress", 20)
            store.kill()
            failed = camera.events.wait("upload_failed", 30)
            assert failed["error_code"] in ("CONNECTION_LOST", "TIMEOUT", "BAD_RESPONSE"), failed
            assert Path(clip["file_path"]).exists()
            store.start()
            started = camera.events.wait("upload_started", 60)
            camera.events.wait("upload_completed", 60)
            assert read_back(store, started["cloud_path"]) == held
            assert camera.clips() == []


def wait_until_stored(store: ObjectStore, key: str, timeout_sec: float = 60) -> None:
    deadline = time.monotonic() + timeout_sec
    while not store.client().list_objects_v2(Bucket=store.bucket, Prefix=key).get("KeyCount"):
        assert time.monotonic() < deadline, f"{key} does not arrive"
        time.sleep(0.1)


def test_the_broker_is_killed_in_mid_upload(
    interpreter: str, faults: Toxiproxy, seaweedfs: ObjectStore, long_film: Footage, tmp_path: Path
) -> None:
    with mosquitto() as broker, slow_way(faults, seaweedfs) as way:
        endpoint = f"http://{way.address}"
        with (
            CloudService(broker, seaweedfs, [DEVICE_ID], endpoint=endpoint),
            Camera(interpreter, tmp_path, broker, long_film, MANY) as camera,
        ):
            first = camera.record(3)
            held = Path(first["file_path"]).read_bytes()
            started = camera.events.wait("upload_started", 20)
            camera.events.wait("upload_progress", 20)
            broker.kill()
            camera.wait_for("MQTT link down")
            # The upload needs no broker: it goes on. Only its end waits for the cloud's word.
            wait_until_stored(seaweedfs, started["cloud_path"])
            assert Path(first["file_path"]).read_bytes() == held
            broker.start()
            camera.wait_for("upload completed: " + first["file_path"], 60)
            assert read_back(seaweedfs, started["cloud_path"]) == held
            camera.events.wait_status("online", 60)
            second = camera.record(1)
            camera.events.wait("upload_completed", 60, file_path=second["file_path"])
            assert camera.clips() == []


def test_a_clip_made_while_the_broker_is_away_waits_for_it(
    interpreter: str, seaweedfs: ObjectStore, film: Footage, tmp_path: Path
) -> None:
    with mosquitto() as broker:
        with (
            CloudService(broker, seaweedfs, [DEVICE_ID]),
            Camera(interpreter, tmp_path, broker, film, MANY) as camera,
        ):
            broker.kill()
            camera.wait_for("MQTT link down")
            (tmp_path / "motion").touch()
            camera.wait_for("recording started")
            (tmp_path / "motion").unlink()
            camera.wait_for("recording completed")
            broker.start()
            camera.wait_for("upload completed", 60)
            assert camera.clips() == []
            assert camera.is_running()
