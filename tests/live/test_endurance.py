"""Many clips and large ones through the whole camera in a heap of 512 KiB: it must not grow."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.cameras import DEVICE_ID, Camera, sha256
from tests.live.clips import make_clip
from tools.material import Footage
from tools.services import CloudService, Mosquitto, ObjectStore

CLIPS, BATCH, WARM_UP = 100, 10, 20
CLIP_BYTES = 150_000
SMALL_BYTES, LARGE_BYTES = 1_000_000, 100_000_000
PATIENCE_SEC = 60.0
# What garbage collection may mistake for a reference, and a queue's or a cache's last growth.
SLACK_BYTES = 2048
NO_PARTS = {"upload": {"multipart_threshold_kb": 2097151}}


@pytest.fixture(scope="module")
def cloud(broker: Mosquitto, seaweedfs: ObjectStore) -> Iterator[None]:
    with CloudService(broker, seaweedfs, [DEVICE_ID]):
        yield


def deliver(camera: Camera, store: ObjectStore, clips: dict[str, Path]) -> None:
    """Upload clips, by name on the card; each must arrive byte for byte and leave the card."""
    for name, source in clips.items():
        camera.upload(source, name)
    paths: dict[str, str] = {}
    left = set(clips)
    while left:
        event = camera.events.next(PATIENCE_SEC)
        assert event.get("event") != "upload_failed", event
        if event.get("event") == "upload_started":
            paths[event["filename"]] = event["cloud_path"]
        elif event.get("event") == "upload_completed":
            left.remove(event["filename"])
    copy = camera.card / "copy"
    for name, source in clips.items():
        store.client().download_file(store.bucket, paths[name], str(copy))
        assert sha256(copy) == sha256(source)
    camera.wait_until_empty()


def test_a_hundred_clips_leave_the_heap_as_it_was(
    interpreter: str,
    cloud: None,
    seaweedfs: ObjectStore,
    broker: Mosquitto,
    film: Footage,
    tmp_path: Path,
) -> None:
    rests = {}
    with Camera(interpreter, tmp_path, broker, film) as camera:
        for done in range(0, CLIPS, BATCH):
            names = [f"r{number:07d}.ts" for number in range(done + 1, done + BATCH + 1)]
            clips = {name: make_clip(film, tmp_path / name, CLIP_BYTES) for name in names}
            is_watched = done + BATCH in (WARM_UP, CLIPS) and interpreter == "micropython"
            if is_watched:
                camera.start_heap_watch()
            deliver(camera, seaweedfs, clips)
            if is_watched:
                rests[done + BATCH] = camera.end_heap_watch()[1]
            for clip in clips.values():
                clip.unlink()
        assert "Traceback" not in camera.said()
    if rests:  # CPython tells no such figure
        assert rests[CLIPS] - rests[WARM_UP] <= SLACK_BYTES, rests


def test_a_large_clip_takes_no_more_heap_than_a_small_one(
    cloud: None, seaweedfs: ObjectStore, broker: Mosquitto, film: Footage, tmp_path: Path
) -> None:
    peaks = {}
    with Camera("micropython", tmp_path, broker, film, NO_PARTS) as camera:
        for number, size_bytes in enumerate((SMALL_BYTES, SMALL_BYTES, LARGE_BYTES), 1):
            source = make_clip(film, tmp_path / "source", size_bytes)
            camera.start_heap_watch()
            deliver(camera, seaweedfs, {f"r{number:07d}.ts": source})
            peaks[size_bytes], _ = camera.end_heap_watch()
        assert "Traceback" not in camera.said()
    assert peaks[LARGE_BYTES] - peaks[SMALL_BYTES] <= SLACK_BYTES, peaks
