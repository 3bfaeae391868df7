"""The camera and the cloud service against OSS: its signatures, its parts, its appended objects."""

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import alibabacloud_oss_v2 as oss
import pytest

from tests.live.cameras import DEVICE_ID, Camera
from tests.live.protocol_camera import ProtocolCamera, md5, multipart_etag, send, split
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
    return footage("steady_4mbit")


def stored(standin: OssStandin, cloud_path: str) -> tuple[bytes, str]:
    """The object and its type."""
    request = oss.GetObjectRequest(bucket=standin.bucket, key=cloud_path)
    found = standin.client().get_object(request)
    assert found.body is not None
    return found.body.content, str(found.object_type)


def replace(standin: OssStandin, cloud_path: str, kind: str) -> bytes:
    """Put other bytes in the place of an object, as many as it has and of the same type."""
    client, bucket = standin.client(), standin.bucket
    content, _ = stored(standin, cloud_path)
    other = bytes([content[0] ^ 1]) + content[1:]
    client.delete_object(oss.DeleteObjectRequest(bucket=bucket, key=cloud_path))
    if kind == "append":
        client.append_object(
            oss.AppendObjectRequest(bucket=bucket, key=cloud_path, position=0, body=other)
        )
        return other
    begun = client.initiate_multipart_upload(
        oss.InitiateMultipartUploadRequest(bucket=bucket, key=cloud_path)
    )
    upload = {"bucket": bucket, "key": cloud_path, "upload_id": begun.upload_id}
    sent = client.upload_part(oss.UploadPartRequest(part_number=1, body=other, **upload))
    named = oss.CompleteMultipartUpload(parts=[oss.UploadPart(part_number=1, etag=sent.etag)])
    client.complete_multipart_upload(
        oss.CompleteMultipartUploadRequest(complete_multipart_upload=named, **upload)
    )
    return other


def completes(service: CloudService) -> list[tuple[bool, str]]:
    """What it has answered to those who said that all is stored: verified or not, and why not."""
    return [
        (event.get("verified", False), event.get("error_code", ""))
        for event in service.events()
        if event.get("outcome") == "stored"
    ]


def last_complete(service: CloudService) -> tuple[bool, str]:
    """The last of them; it logs an answer after it has gone out."""
    deadline = time.monotonic() + 10
    while not (found := completes(service)):
        assert time.monotonic() < deadline, "no `complete` was answered"
        time.sleep(0.05)
    return found[-1]


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
        assert last_complete(service) == (True, "")
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
        CloudService(broker, standin, [DEVICE_ID], uploads=uploads) as service,
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
        assert last_complete(service) == (True, "")
        camera.wait_until_empty()


def test_what_was_appended_before_a_reset_is_read_back_before_the_clip_goes(
    standin: OssStandin, broker: Mosquitto, film: Footage, tmp_path: Path
) -> None:
    uploads = {"large_files": "append", "part_size_bytes": PART_BYTES}
    slow = {
        "upload": {
            **IN_PARTS["upload"],
            "upload_delay_sec": 1,
            "retry_delay_sec": 0,
            "bandwidth_limit_kbps": 250,
        }
    }
    with (
        CloudService(broker, standin, [DEVICE_ID], uploads=uploads) as service,
        Camera("micropython", tmp_path, broker, film, slow) as camera,
    ):
        camera.events.command("trigger", duration_sec=2)
        clip = camera.events.wait("recording_completed", 30)
        path = camera.events.wait("upload_started", 20)["cloud_path"]
        while camera.events.wait("upload_progress", 20)["bytes_uploaded"] < PART_BYTES:
            pass
        camera.kill()
        other = replace(standin, path, "append")
        assert len(other) >= PART_BYTES
        camera.start()
        failed = camera.events.wait("upload_failed", 60)
        while failed["will_retry"]:
            assert failed["error_code"] == "INTEGRITY"
            failed = camera.events.wait("upload_failed", 60)
        assert failed["error_code"] == "INTEGRITY"
        content, _ = stored(standin, path)
        assert len(content) == clip["file_size"], "of the right size"
        assert content.startswith(other), "nobody touches it"
        assert Path(clip["file_path"]).exists(), "the only copy"
        assert set(completes(service)) == {(False, "INTEGRITY")}


# ---- nothing but its bytes tells what such an object is


@pytest.mark.parametrize("large_files", ["multipart", "append"])
def test_an_object_of_the_right_size_with_other_bytes_is_never_verified(
    large_files: str, standin: OssStandin, broker: Mosquitto
) -> None:
    uploads = {"large_files": large_files, "part_size_bytes": PART_BYTES}
    path, content = f"{DEVICE_ID}/hostile-{large_files}.ts", bytes(range(256)) * 500
    parts = split(content, PART_BYTES)
    told: dict[str, Any] = {"content_md5": md5(content)}
    ask: dict[str, Any] = {"capabilities": ["put", "multipart", "append"]}
    with (
        CloudService(broker, standin, [DEVICE_ID], uploads=uploads),
        ProtocolCamera(broker, DEVICE_ID) as camera,
    ):
        grant = camera.ask(path, len(content), **ask)
        told["upload_id"] = grant["upload_id"]
        if large_files == "multipart":
            told["multipart_etag"] = multipart_etag(parts)
        for number, part in enumerate(parts, 1):
            resume = {"upload_id": grant["upload_id"], "next_part": number}
            resume.update(part_md5=md5(part), part_size=len(part))
            granted = camera.ask(path, len(content), resume=resume, **ask)
            headers = dict(granted["extra_headers"])
            if granted["content_type"]:
                headers["Content-Type"] = granted["content_type"]
            sent = send(granted["parts"][0]["upload_url"], part, headers, granted["method"])
            assert sent.status_code == 200, sent.text
        for _ in range(2):
            ack = camera.complete(path, len(content), **told)
            assert (ack["success"], ack["verified"]) == (True, True)
        other = replace(standin, path, large_files)
        assert len(other) == len(content) and other != content
        for _ in range(2):
            ack = camera.complete(path, len(content), **told)
            assert (ack["success"], ack["error_code"]) == (False, "INTEGRITY")
    assert stored(standin, path)[0] == other
