"""Logs go out compressed, footage as it is."""

import gzip
from pathlib import Path

from tests.live.cameras import DEVICE_ID, Camera
from tools.material import Footage
from tools.services import CloudService, Mosquitto, ObjectStore

LOG = b"".join(b"%06d motion on the left, clip m%07d.ts begun\n" % (n, n // 7) for n in range(4000))


def test_a_log_is_smaller_in_the_store_and_whole(
    interpreter: str, seaweedfs: ObjectStore, broker: Mosquitto, film: Footage, tmp_path: Path
) -> None:
    with (
        CloudService(broker, seaweedfs, [DEVICE_ID]),
        Camera(interpreter, tmp_path, broker, film, {"upload": {"compress": "gzip"}}) as camera,
    ):
        log = camera.recordings / "camera.log"
        log.write_bytes(LOG)
        camera.events.command("upload_file", path=str(log))
        started = camera.events.wait("upload_started", 20)
        done = camera.events.wait("upload_completed", 20)
        camera.wait_until_gone("camera.log")

        clip = camera.record(1)
        footage = camera.events.wait("upload_started", 20, file_path=clip["file_path"])
        camera.events.wait("upload_completed", 20, file_path=clip["file_path"])

    assert started["file_path"] == done["file_path"] == str(log)
    assert started["cloud_path"].endswith("_camera.log.gz")
    assert footage["cloud_path"].endswith(".ts")
    found = seaweedfs.client().get_object(Bucket=seaweedfs.bucket, Key=started["cloud_path"])
    body = found["Body"].read()
    assert gzip.decompress(body) == LOG
    assert len(body) < len(LOG) // 3
    assert found["ContentType"] == "text/plain"
    assert list((tmp_path / "work").iterdir()) == []
