"""The camera and the cloud service against OSS: its signatures, its parts, its appended objects."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import alibabacloud_oss_v2 as oss
import pytest

from tests.live.cameras import DEVICE_ID, Camera
from tools.material import Footage, footage
from tools.services import CloudService, Mosquitto, OssStandin

PART_BYTES = 102_400  # the least that OSS takes
IN_PARTS = {"upload": {"multipart_threshold_kb": 64, "retry_max_attempts": 20}}


@pytest.fixture(scope="module")
def standin() -> Iterator[OssStandin]:
    with OssStandin() as running:
        yield running


@pytest.fixture(scope="module")
def film() -> Footage:
    return footage("bigbuckbunny")


def stored(standin: OssStandin, cloud_path: str) -> tuple[bytes, str]:
    """The object and its type."""
    request = oss.GetObjectRequest(bucket=standin.bucket, key=cloud_path)
    found = standin.client().get_object(request)
    assert found.body is not None
    return found.body.content, str(found.object_type)


def deliver(camera: Camera, standin: OssStandin) -> tuple[dict[str, Any], str]:
    """Record a clip; how its upload ended and of what type its object is, which is the clip."""
    camera.events.command("trigger", duration_sec=3)
    clip = camera.events.wait("recording_completed", 30)
    held = hashlib.sha256(Path(clip["file_path"]).read_bytes()).digest()
    started = camera.events.wait("upload_started", 20)
    done = camera.events.wait("upload_completed", 60)
    content, kind = stored(standin, started["cloud_path"])
    assert hashlib.sha256(content).digest() == held
    assert len(content) == clip["file_size"] > 2 * PART_BYTES
    camera.wait_until_empty()
    return done, kind


@pytest.mark.parametrize(
    ("large_files", "kind"),
    [("put", "Normal"), ("multipart", "Multipart"), ("append", "Appendable")],
)
def test_a_clip_is_delivered_and_verified(
    interpreter: str,
    large_files: str,
    kind: str,
    standin: OssStandin,
    broker: Mosquitto,
    film: Footage,
    tmp_path: Path,
) -> None:
    uploads = {"large_files": large_files, "part_size_bytes": PART_BYTES}
    slow = {"upload": {**IN_PARTS["upload"], "upload_delay_sec": 1}}
    with (
        CloudService(broker, standin, [DEVICE_ID], uploads=uploads) as service,
        Camera(interpreter, tmp_path, broker, film, slow) as camera,
    ):
        done, found = deliver(camera, standin)
        levels = {event["level"] for event in service.events()}
    assert found == kind
    assert levels <= {"INFO", "WARNING"}
    assert done["cloud_url"].startswith("http://") and "?" not in done["cloud_url"]
    assert "Signature" not in camera.said()


@pytest.mark.parametrize("large_files", ["multipart", "append"])
def test_an_interrupted_upload_goes_on_behind_the_last_part(
    interpreter: str,
    large_files: str,
    standin: OssStandin,
    broker: Mosquitto,
    film: Footage,
    tmp_path: Path,
) -> None:
    uploads = {"large_files": large_files, "part_size_bytes": PART_BYTES}
    slow = {"upload": {**IN_PARTS["upload"], "upload_delay_sec": 1, "bandwidth_limit_kbps": 100}}
    with (
        CloudService(broker, standin, [DEVICE_ID], uploads=uploads),
        Camera(interpreter, tmp_path, broker, film, slow) as camera,
    ):
        camera.events.command("trigger", duration_sec=3)
        clip = camera.events.wait("recording_completed", 30)
        held = hashlib.sha256(Path(clip["file_path"]).read_bytes()).digest()
        started = camera.events.wait("upload_started", 20)
        sent = 0
        while sent < 2 * PART_BYTES:
            sent = camera.events.wait("upload_progress", 20)["bytes_uploaded"]
        camera.reboot()
        again = camera.events.wait("upload_started", 30)
        assert again["cloud_path"] == started["cloud_path"]
        first = camera.events.wait("upload_progress", 30)["bytes_uploaded"]
        assert first >= PART_BYTES, "it began anew"
        camera.events.wait("upload_completed", 60)
        content, _ = stored(standin, started["cloud_path"])
        assert hashlib.sha256(content).digest() == held
        camera.wait_until_empty()
