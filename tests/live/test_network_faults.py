"""The line between the camera and its store or broker is cut, reset, swallowed, slowed (Toxiproxy).

A line that fails is told with the right code and the clip stays on the card; a slow one is no
failure. Once the line is good, every clip is in the store, byte for byte, and off the card. One
camera per interpreter goes through all of it.
"""

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.live.cameras import COMMANDS, DEVICE_ID, Camera, sha256
from tests.live.clips import make_clip
from tools.material import Footage
from tools.services import CloudService, Mosquitto, ObjectStore, Proxy, Toxiproxy, toxiproxy

IDLE_SEC, KEEPALIVE_SEC = 2, 2
SMALL_BYTES = 60_000
# More than all sockets on the way take together, so that the body is still on its way.
LARGE_BYTES = 12_000_000
PATIENCE_SEC = 40.0
UPLOAD = {
    "retry_max_attempts": 20,
    "retry_delay_sec": 1,
    "idle_timeout_sec": IDLE_SEC,
    "request_timeout_sec": 5,
}


class Stage:
    """A camera with a proxy on its way to the store and one on its way to the broker."""

    def __init__(self, camera: Camera, store: ObjectStore, to_store: Proxy, to_broker: Proxy):
        self.camera, self.store = camera, store
        self.to_store, self.to_broker = to_store, to_broker
        self.sources: dict[int, Path] = {}
        self._numbers = itertools.count(1)

    def send(self, size_bytes: int) -> Path:
        """A new clip on the card, to be uploaded."""
        clip = f"r{next(self._numbers):07d}.ts"
        return self.camera.upload(self.sources[size_bytes], clip)

    def check_delivered(self, path: Path, original: str) -> None:
        """Completed, byte for byte in the store, off the card."""
        self.camera.events.wait("upload_completed", PATIENCE_SEC, filename=path.name)
        cloud_path = self.told("upload_started", path)[-1]["cloud_path"]
        copy = self.camera.card / "copy"
        self.store.client().download_file(self.store.bucket, cloud_path, str(copy))
        assert sha256(copy) == original
        self.camera.wait_until_gone(path.name)

    def told(self, event: str, path: Path) -> list[dict[str, Any]]:
        """The events of that name about that clip so far."""
        seen = self.camera.events.seen
        return [e for e in seen if e.get("event") == event and e["file_path"] == str(path)]


@pytest.fixture(scope="module")
def faults() -> Iterator[Toxiproxy]:
    with toxiproxy() as running:
        yield running


@pytest.fixture(scope="module", params=sorted(COMMANDS))
def stage(
    request: pytest.FixtureRequest,
    faults: Toxiproxy,
    seaweedfs: ObjectStore,
    broker: Mosquitto,
    film: Footage,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("network")
    to_store, to_broker = faults.proxy(seaweedfs.address), faults.proxy(broker.address)
    changes = {
        "upload": UPLOAD,
        "mqtt": {"keepalive_sec": KEEPALIVE_SEC, "port": to_broker.port},
    }
    with (
        CloudService(broker, seaweedfs, [DEVICE_ID], endpoint=f"http://{to_store.address}"),
        Camera(request.param, folder / "card", broker, film, changes) as camera,
    ):
        stage = Stage(camera, seaweedfs, to_store, to_broker)
        for size_bytes in (SMALL_BYTES, LARGE_BYTES):
            stage.sources[size_bytes] = make_clip(film, folder / str(size_bytes), size_bytes)
        yield stage


@pytest.fixture
def scene(stage: Stage) -> Iterator[Stage]:
    """The stage, with an empty card and a camera that runs even after a test that failed."""
    if not stage.camera.is_running() or stage.camera.clips():
        stage.camera.kill()
        stage.camera.format_card()
        stage.camera.start()
    said_before = len(stage.camera.said())
    yield stage
    assert "Traceback" not in stage.camera.said()[said_before:]


class Fault(NamedTuple):
    """A toxic on the way to the store (`upstream`) or back, and the code that is to be told."""

    toxic: str
    stream: str
    attributes: dict[str, int]
    code: str
    size_bytes: int = LARGE_BYTES


FAULTS = {
    "cut in the head": Fault("limit_data", "upstream", {"bytes": 100}, "CONNECTION_LOST"),
    "cut in mid-body": Fault("limit_data", "upstream", {"bytes": 1_000_000}, "CONNECTION_LOST"),
    "cut in the answer": Fault("limit_data", "downstream", {"bytes": 20}, "CONNECTION_LOST"),
    "reset": Fault("reset_peer", "upstream", {"timeout": 0}, "CONNECTION_LOST"),
    "reset after a while": Fault("reset_peer", "upstream", {"timeout": 300}, "CONNECTION_LOST"),
    "body swallowed": Fault("timeout", "upstream", {"timeout": 0}, "TIMEOUT"),
    "answer swallowed": Fault("timeout", "downstream", {"timeout": 300}, "CONNECTION_LOST"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_line_that_fails_is_told_and_the_clip_kept(name: str, scene: Stage) -> None:
    fault = FAULTS[name]
    original = sha256(scene.sources[fault.size_bytes])
    with scene.to_store.toxic(fault.toxic, stream=fault.stream, **fault.attributes):
        path = scene.send(fault.size_bytes)
        failed = scene.camera.events.wait("upload_failed", 30, filename=path.name)
        assert (failed["error_code"], failed["will_retry"]) == (fault.code, True), failed
        assert sha256(path) == original
    scene.check_delivered(path, original)


SLOWNESS = {
    "32 KB/s": ("bandwidth", "upstream", {"rate": 32}, SMALL_BYTES),
    "500 ms away": ("latency", "downstream", {"latency": 500}, LARGE_BYTES),
    "500 ms and jitter": ("latency", "upstream", {"latency": 500, "jitter": 200}, SMALL_BYTES),
    "closes slowly": ("slow_close", "downstream", {"delay": 1500}, LARGE_BYTES),
    "in crumbs": ("slicer", "upstream", {"average_size": 700, "size_variation": 300}, SMALL_BYTES),
    "answers in crumbs": (
        "slicer",
        "downstream",
        {"average_size": 3, "size_variation": 2, "delay": 1000},
        SMALL_BYTES,
    ),
}


@pytest.mark.parametrize("name", SLOWNESS)
def test_a_slow_line_is_no_failure(name: str, scene: Stage) -> None:
    toxic, stream, attributes, size_bytes = SLOWNESS[name]
    with scene.to_store.toxic(toxic, stream=stream, **attributes):
        path = scene.send(size_bytes)
        scene.check_delivered(path, sha256(scene.sources[size_bytes]))
    assert scene.told("upload_failed", path) == []


def test_a_store_that_is_not_there_is_asked_again(scene: Stage) -> None:
    original = sha256(scene.sources[SMALL_BYTES])
    scene.to_store.disable()
    try:
        path = scene.send(SMALL_BYTES)
        for attempt in (1, 2):
            failed = scene.camera.events.wait("upload_failed", 30, filename=path.name)
            told = (failed["error_code"], failed["retry_count"])
            assert told == ("CONNECTION_LOST", attempt)
        assert sha256(path) == original
    finally:
        scene.to_store.enable()
    scene.check_delivered(path, original)


def test_a_frozen_store_is_found_by_its_silence(scene: Stage) -> None:
    original = sha256(scene.sources[LARGE_BYTES])
    scene.store.pause()
    try:
        path = scene.send(LARGE_BYTES)
        failed = scene.camera.events.wait("upload_failed", 30, filename=path.name)
        assert failed["error_code"] == "TIMEOUT"
        assert sha256(path) == original
    finally:
        scene.store.resume()
    scene.check_delivered(path, original)


BROKER_SLOWNESS = {
    "in crumbs": ("slicer", {"average_size": 3, "size_variation": 2, "delay": 10}),
    "500 ms away": ("latency", {"latency": 500}),
    "2 KB/s": ("bandwidth", {"rate": 2}),
}


@pytest.mark.parametrize("name", BROKER_SLOWNESS)
def test_a_slow_broker_is_no_failure(name: str, scene: Stage) -> None:
    toxic, attributes = BROKER_SLOWNESS[name]
    connections = scene.camera.said().count("MQTT link up")
    with scene.to_broker.toxic(toxic, stream="downstream", **attributes):
        path = scene.send(SMALL_BYTES)
        scene.check_delivered(path, sha256(scene.sources[SMALL_BYTES]))
    assert scene.told("upload_failed", path) == []
    assert scene.camera.said().count("MQTT link up") == connections


BROKER_FAULTS = {
    "reset": ("reset_peer", "upstream", {"timeout": 0}),
    "requests swallowed": ("timeout", "upstream", {"timeout": 0}),
    "answers swallowed": ("timeout", "downstream", {"timeout": 0}),
    "cut in mid-message": ("limit_data", "downstream", {"bytes": 10}),
}


@pytest.mark.parametrize("name", BROKER_FAULTS)
def test_a_broker_that_is_lost_is_found_again(name: str, scene: Stage) -> None:
    """Motion is recorded meanwhile, and everything is delivered afterwards."""
    toxic, stream, attributes = BROKER_FAULTS[name]
    camera, motion = scene.camera, scene.camera.card / "motion"
    said_before = len(camera.said())

    def wait_for(text: str, timeout_sec: float) -> None:
        camera.wait_for(text, timeout_sec, since=said_before)

    with contextlib.ExitStack() as spoilt:
        spoilt.enter_context(scene.to_broker.toxic(toxic, stream=stream, **attributes))
        wait_for("MQTT link down", 1.5 * KEEPALIVE_SEC + 5)
        motion.touch()
        spoilt.close()
        wait_for("recording started", 20)
        motion.unlink()
        wait_for("recording completed", 20)
        wait_for("upload completed", PATIENCE_SEC)
    path = scene.send(SMALL_BYTES)
    scene.check_delivered(path, sha256(scene.sources[SMALL_BYTES]))
