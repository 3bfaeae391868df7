"""The whole camera at a camera of the LAN: GStreamer's RTSP server, its real footage, its restarts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.live.cameras import Camera
from tests.live.test_pipeline import elementary_stream, slices
from tools.demo.footage_check import decode_errors, frame_count
from tools.material import Footage
from tools.services import Mosquitto, RtspServer

# CPython is there to tell a fault of the interpreter from one of ours.
SECONDS = {"cpython": 10, "micropython": 60}
LOOPS = 10  # of a film of ten seconds
PATIENCE_SEC = 30


def from_network(server: RtspServer, path: str = "live", **source: Any) -> dict[str, Any]:
    """What to change in a camera's configuration."""
    url = f"rtsp://{server.address}/{path}"
    login = {"user": server.user, "password": server.password} if server.auth != "none" else {}
    return {
        "source": {"type": "rtsp", "url": url, **login, **source},
        "upload": {"enable_cloud_upload": False},
    }


def check(clip: Mapping[str, Any], film: Footage) -> None:
    """The clip is a run of the server's pictures: none lost, none twice, bit by bit the same."""
    path = Path(clip["file_path"])
    assert decode_errors(path) == ""
    assert frame_count(path) == clip["frames"]
    sent, recorded = slices(film.h264.read_bytes()) * LOOPS, slices(elementary_stream(path))
    assert len(recorded) == clip["frames"]
    first = sent.index(recorded[0])
    assert recorded == sent[first : first + len(recorded)]


def assert_no_loss(camera: Camera) -> None:
    said = camera.said()
    for complaint in ("lost", "no access unit", "larger than"):
        assert complaint not in said, said


def test_a_minute_is_recorded_without_a_gap_and_goes_on_after_a_restart(
    interpreter: str, broker: Mosquitto, film: Footage, tmp_path: Path
) -> None:
    seconds, motion = SECONDS[interpreter], tmp_path / "motion"
    with (
        RtspServer(film, loops=LOOPS, auth="digest") as server,
        Camera(interpreter, tmp_path, broker, film, from_network(server)) as camera,
    ):
        clip = camera.record(seconds)
        check(clip, film)
        assert abs(clip["frames"] - seconds * film.fps) <= film.fps
        assert (clip["width"], clip["height"], clip["fps"]) == (film.width, film.height, film.fps)

        motion.touch()
        camera.events.wait("recording_started", PATIENCE_SEC)
        server.kill()
        check(camera.events.wait("recording_completed", PATIENCE_SEC), film)
        camera.events.wait("source_failed", PATIENCE_SEC)
        server.start()
        camera.events.wait("source_restored", PATIENCE_SEC)
        motion.unlink()
        check(camera.events.wait("recording_completed", PATIENCE_SEC), film)
        assert_no_loss(camera)


@pytest.mark.parametrize(("auth", "path"), [("none", "aggregated"), ("basic", "live")])
def test_other_ways_of_the_server(
    interpreter: str, broker: Mosquitto, film: Footage, tmp_path: Path, auth: str, path: str
) -> None:
    with (
        RtspServer(film, loops=LOOPS, auth=auth) as server,
        Camera(interpreter, tmp_path, broker, film, from_network(server, path)) as camera,
    ):
        check(camera.record(2), film)
        assert_no_loss(camera)


def test_what_cannot_be_recorded_is_told(
    interpreter: str, broker: Mosquitto, film: Footage, tmp_path: Path
) -> None:
    with RtspServer(film, auth="digest") as server:
        for number, (path, source, told) in enumerate(
            (
                ("h265", {}, "no H.264 video, but: video H265/90000"),
                ("sound", {}, "no H.264 video, but: audio PCMA/8000"),
                ("nowhere", {}, "404 Not Found"),
                ("live", {"password": "guess"}, "401"),
                ("live", {"user": "", "password": ""}, "asks for a user and a password"),
            )
        ):
            changes = from_network(server, path, **source)
            with Camera(interpreter, tmp_path / str(number), broker, film, changes) as camera:
                camera.wait_for(told, PATIENCE_SEC)
                assert server.password not in camera.said() and "guess" not in camera.said()
