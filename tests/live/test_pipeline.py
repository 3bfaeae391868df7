"""One clip from frame to bucket, on both interpreters and both stores."""

import hashlib
import subprocess
from pathlib import Path

import pytest

from tests.live.cameras import DEVICE_ID, Camera
from tools.demo.footage_check import decode_errors, frame_count
from tools.material import Footage
from tools.services import CloudService, Mosquitto, ObjectStore

# Time enough to look at the clip on the card before it is delivered.
HOLD = {"upload": {"upload_delay_sec": 1}}
START_CODE = b"\x00\x00\x01"


def stored(store: ObjectStore, cloud_path: str) -> bytes:
    return bytes(store.client().get_object(Bucket=store.bucket, Key=cloud_path)["Body"].read())


def slices(h264: bytes) -> list[bytes]:
    """The slice NAL units of an Annex-B stream: the frames, whatever stands around them."""
    units = h264.split(START_CODE)
    return [unit.rstrip(b"\x00") for unit in units if unit and unit[0] & 0x1F in (1, 5)]


def elementary_stream(clip: Path) -> bytes:
    command = ["ffmpeg", "-v", "error", "-i", str(clip), "-c", "copy", "-f", "h264", "-"]
    return subprocess.run(command, check=True, capture_output=True).stdout


def test_a_clip_by_motion_is_delivered_verified_and_deleted(
    interpreter: str, any_store: ObjectStore, broker: Mosquitto, film: Footage, tmp_path: Path
) -> None:
    with (
        CloudService(broker, any_store, [DEVICE_ID]),
        Camera(interpreter, tmp_path, broker, film, HOLD) as camera,
    ):
        (tmp_path / "motion").touch()
        camera.events.wait("recording_started", 10, trigger="motion_detection", priority=2)
        (tmp_path / "motion").unlink()
        clip = camera.events.wait("recording_completed", 20)
        held = Path(clip["file_path"]).read_bytes()
        started = camera.events.wait("upload_started", 20)
        progress = camera.events.wait("upload_progress", 20)
        done = camera.events.wait("upload_completed", 20)

    assert started["cloud_path"].startswith(f"{DEVICE_ID}/20")
    assert started["file_size"] == clip["file_size"] == len(held)
    assert progress["total_bytes"] == len(held)
    assert done["cloud_url"] == f"{any_store.endpoint}/{any_store.bucket}/{started['cloud_path']}"
    content = stored(any_store, started["cloud_path"])
    assert hashlib.sha256(content).digest() == hashlib.sha256(held).digest()
    assert camera.clips() == []

    copy = tmp_path / "copy.ts"
    copy.write_bytes(content)
    assert decode_errors(copy) == ""
    assert frame_count(copy) == clip["frames"]
    # The clip's frames are a run of the source's: none lost, none twice, none out of order.
    source, recorded = slices(film.h264.read_bytes()), slices(elementary_stream(copy))
    first = source.index(recorded[0])
    assert recorded == (source * 2)[first : first + len(recorded)]


@pytest.mark.parametrize("interpreter", ["micropython"], indirect=True)
def test_clips_of_all_priorities_arrive(
    interpreter: str, seaweedfs: ObjectStore, broker: Mosquitto, film: Footage, tmp_path: Path
) -> None:
    triggers = ("historical_recording", "manual_recording", "motion_detection", "security_alert")
    with (
        CloudService(broker, seaweedfs, [DEVICE_ID]),
        Camera(interpreter, tmp_path, broker, film) as camera,
    ):
        for priority, trigger in enumerate(triggers):
            clip = camera.record(1, trigger=trigger)
            assert (clip["trigger"], clip["priority"]) == (trigger, priority)
            camera.events.wait("upload_completed", 20, file_path=clip["file_path"])
        assert camera.clips() == []


def test_clips_of_an_earlier_run_are_delivered(
    interpreter: str, seaweedfs: ObjectStore, broker: Mosquitto, film: Footage, tmp_path: Path
) -> None:
    later = {"upload": {"upload_delay_sec": 3600}}
    with Camera(interpreter, tmp_path, broker, film, later) as camera:
        clip = camera.record(1, trigger="security_alert")
    held = Path(clip["file_path"]).read_bytes()
    with (
        CloudService(broker, seaweedfs, [DEVICE_ID]),
        Camera(interpreter, tmp_path, broker, film) as camera,
    ):
        started = camera.events.wait("upload_started", 20, file_path=clip["file_path"], priority=3)
        camera.events.wait("upload_completed", 20)
        assert camera.clips() == []
    assert stored(seaweedfs, started["cloud_path"]) == held
