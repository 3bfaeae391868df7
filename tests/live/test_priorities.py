"""Who goes first, how fast at most, and who gives way: seen from the line to the store."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.live.cameras import DEVICE_ID, Camera, sha256
from tests.live.clips import make_clip
from tests.live.relay import PIECE_BYTES, Relay
from tools.material import Footage
from tools.services import CloudService, Mosquitto, ObjectStore

PART_BYTES = 5 << 20
BURST_BYTES = 16384  # what uploads may be ahead of the limit
PATIENCE_SEC = 60.0
TRIGGERS = "hrms"  # first letters of the clips of priority LOW, NORMAL, HIGH, URGENT


def limited(kbps: int, slots: int, **more: object) -> dict[str, Any]:
    return {
        "upload": {"bandwidth_limit_kbps": kbps, "max_concurrent_uploads": slots, **more},
    }


@pytest.fixture(scope="module")
def relay(seaweedfs: ObjectStore, broker: Mosquitto) -> Iterator[Relay]:
    with (
        Relay(seaweedfs.host, seaweedfs.port) as relay,
        CloudService(broker, seaweedfs, [DEVICE_ID], endpoint=relay.endpoint),
    ):
        yield relay


@pytest.fixture
def line(relay: Relay) -> Relay:
    relay.start_afresh()
    return relay


def check_stored(store: ObjectStore, camera: Camera, originals: dict[str, str]) -> None:
    """Every clip, by its name on the card, is in the store and off the card."""
    started = [e for e in camera.events.seen if e.get("event") == "upload_started"]
    paths = {event["filename"]: event["cloud_path"] for event in started}
    copy = camera.card / "copy"
    for name, original in originals.items():
        store.client().download_file(store.bucket, paths[name], str(copy))
        assert sha256(copy) == original
    camera.wait_until_empty()
    assert [e for e in camera.events.seen if e.get("event") == "upload_failed"] == []


def names(camera: Camera, event: str) -> list[str]:
    return [e["filename"] for e in camera.events.seen if e.get("event") == event]


def test_clips_go_out_by_priority_then_by_age(
    interpreter: str,
    line: Relay,
    seaweedfs: ObjectStore,
    broker: Mosquitto,
    film: Footage,
    tmp_path: Path,
) -> None:
    camera = Camera(interpreter, tmp_path, broker, film, limited(1000, slots=1))
    clips = [f"{TRIGGERS[number * 3 % 4]}{number:07d}.ts" for number in range(1, 9)]
    originals = {}
    for name in clips:
        source = make_clip(film, tmp_path / name, 100_000)
        originals[name] = sha256(camera.put(source, name))
    with camera:
        for _ in clips:
            camera.events.wait("upload_completed", PATIENCE_SEC)
        check_stored(seaweedfs, camera, originals)
    expected = sorted(clips, key=lambda name: (-TRIGGERS.index(name[0]), name))
    assert names(camera, "upload_started") == expected
    priorities = [e["priority"] for e in camera.events.seen if e.get("event") == "upload_started"]
    assert priorities == [3, 3, 2, 2, 1, 1, 0, 0]


def test_all_uploads_together_keep_to_the_limit(
    interpreter: str,
    line: Relay,
    seaweedfs: ObjectStore,
    broker: Mosquitto,
    film: Footage,
    tmp_path: Path,
) -> None:
    kbps = 250
    camera = Camera(interpreter, tmp_path, broker, film, limited(kbps, slots=2))
    source = make_clip(film, tmp_path / "source", 600_000)
    originals = {name: sha256(camera.put(source, name)) for name in ("r0000001.ts", "r0000002.ts")}
    with camera:
        for _ in originals:
            camera.events.wait("upload_completed", PATIENCE_SEC)
        check_stored(seaweedfs, camera, originals)
    (begin, first), (end, all_bytes) = line.sent[0], line.sent[-1]
    due = kbps * 1000 * (end - begin)
    assert 0.95 * due <= all_bytes - first <= 1.05 * due + BURST_BYTES, (all_bytes - first) / due
    # Within no second much more than that, either; the line counts in pieces, at both its ends.
    for number, (at, count) in enumerate(line.sent):
        within = [later for when, later in line.sent[number:] if when <= at + 1]
        assert within[-1] - count <= 1.05 * kbps * 1000 + BURST_BYTES + 2 * PIECE_BYTES


def test_an_urgent_clip_interrupts_a_large_one_between_two_parts(
    interpreter: str,
    line: Relay,
    seaweedfs: ObjectStore,
    broker: Mosquitto,
    film: Footage,
    tmp_path: Path,
) -> None:
    low, urgent = "h0000001.ts", "s0000002.ts"
    changes = limited(5000, slots=1, multipart_threshold_kb=6000)
    camera = Camera(interpreter, tmp_path, broker, film, changes)
    large = make_clip(film, tmp_path / "large", 3 * PART_BYTES)
    small = make_clip(film, tmp_path / "small", 300_000)
    originals = {low: sha256(camera.put(large, low)), urgent: sha256(small)}
    with camera:
        line.wait_for(lambda: line.sent_bytes > PART_BYTES // 4, "part on its way")
        camera.upload(small, urgent, "URGENT")
        camera.events.wait("upload_completed", PATIENCE_SEC, filename=urgent)
        assert names(camera, "upload_completed") == [urgent]
        camera.events.wait("upload_completed", PATIENCE_SEC, filename=low)
        check_stored(seaweedfs, camera, originals)
    # The part that had begun was sent to its end, none was sent twice.
    order = [(upload.path.rpartition("_")[2], upload.part) for upload in line.uploads]
    assert order == [(low, 1), (urgent, None), (low, 2), (low, 3)]
    assert all(upload.is_whole for upload in line.uploads)
