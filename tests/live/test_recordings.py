"""What is recorded and how, by the whole camera: every trigger, pre-roll, parts, background, load."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.host.test_ts_conformance import tsreport
from tests.live.cameras import DEVICE_ID, Camera
from tests.live.contents import read
from tests.live.test_pipeline import elementary_stream, slices
from tools.demo.footage_check import decode_errors, frame_count
from tools.material import Footage, footage
from tools.services import CloudService, Mosquitto, ObjectStore

HEAP = "1M"
RING_KB = 512
PRE_ROLL = {"pre_roll_sec": 2, "pre_roll_kb": RING_KB}
ON_CARD = {"upload": {"enable_cloud_upload": False}}
TRIGGERS = {
    "historical_recording": 0,
    "scheduled_recording": 1,
    "manual_recording": 1,
    "motion_detection": 2,
    "security_alert": 3,
}
Event = dict[str, Any]


def check(path: Path, frames: int) -> list[bytes]:
    """Three validators have nothing to say of a clip; its slices."""
    assert decode_errors(path) == ""
    assert frame_count(path) == frames
    assert tsreport(path) == ([], 0)
    return slices(elementary_stream(path))


def is_run_of(recorded: list[bytes], film: Footage) -> bool:
    """Whether these are pictures of the film one after another, which is played again and again."""
    source = slices(film.h264.read_bytes())
    first = source.index(recorded[0])
    rounds = (first + len(recorded)) // len(source) + 1
    return recorded == (source * rounds)[first : first + len(recorded)]


def finished(camera: Camera, until_sec: float, **fields: object) -> list[Event]:
    """The clips that were finished until so long nothing was."""
    found = []
    try:
        while True:
            found.append(camera.events.wait("recording_completed", until_sec, **fields))
    except TimeoutError:
        return found


def joined(clips: list[Event], there: Path) -> Path:
    there.write_bytes(b"".join(Path(clip["file_path"]).read_bytes() for clip in clips))
    return there


def test_every_trigger_gives_a_clip_that_begins_before_it(
    interpreter: str, seaweedfs: ObjectStore, broker: Mosquitto, film: Footage, tmp_path: Path
) -> None:
    with (
        CloudService(broker, seaweedfs, [DEVICE_ID]),
        Camera(interpreter, tmp_path, broker, film, {"recorder": PRE_ROLL}, heap=HEAP) as camera,
    ):
        time.sleep(3)  # a past to begin with
        for trigger, priority in TRIGGERS.items():
            clip = camera.record(2, trigger=trigger)
            assert (clip["trigger"], clip["priority"]) == (trigger, priority)
            # From the newest key frame that is old enough, and they come once a second.
            assert 2000 <= clip["pre_roll_ms"] <= 3100
            assert abs(clip["duration_ms"] - clip["pre_roll_ms"] - 2000) <= 500
            done = camera.events.wait("upload_completed", 20, file_path=clip["file_path"])
            copy = tmp_path / "copy.ts"
            copy.write_bytes(read(seaweedfs, done["poster"]["cloud_path"]).body)
            assert is_run_of(check(copy, clip["frames"]), film)

            # A viewer fetches so much of the object and has a still.
            assert done["poster"]["offset"] == 0
            poster = tmp_path / "poster.ts"
            poster.write_bytes(copy.read_bytes()[: done["poster"]["bytes"]])
            assert frame_count(poster) == 1
            assert decode_errors(poster) == ""


def test_parts_are_the_source_frame_by_frame(
    interpreter: str, broker: Mosquitto, film: Footage, tmp_path: Path
) -> None:
    """Continuous mode over a film that is played once: all of it is in the clips, cut at key frames."""
    changes: Mapping[str, Any] = {
        "source": {"loop": False},
        "recorder": {**PRE_ROLL, "mode": "continuous", "max_clip_sec": 2},
        **ON_CARD,
    }
    with Camera(interpreter, tmp_path, broker, film, changes, heap=HEAP) as camera:
        clips = finished(camera, 8)
        assert [clip["part"] for clip in clips] == list(range(len(clips)))
        assert len(clips) >= 4
        for clip in clips:
            assert clip["trigger"] == "historical_recording"
            check(Path(clip["file_path"]), clip["frames"])
        assert sum(clip["frames"] for clip in clips) == film.frames
        whole = joined(clips, tmp_path / "whole.ts")
        assert check(whole, film.frames) == slices(film.h264.read_bytes())


def test_motion_is_cut_out_of_a_continuous_recording(
    interpreter: str, broker: Mosquitto, film: Footage, tmp_path: Path
) -> None:
    changes = {"recorder": {**PRE_ROLL, "mode": "continuous"}, **ON_CARD}
    with Camera(interpreter, tmp_path, broker, film, changes, heap=HEAP) as camera:
        camera.events.wait("recording_started", 10, trigger="historical_recording")
        (tmp_path / "motion").touch()
        camera.events.wait("recording_started", 10, trigger="motion_detection", priority=2)
        time.sleep(1)
        (tmp_path / "motion").unlink()
        camera.events.wait("recording_started", 10, trigger="historical_recording")
    clips = [event for event in camera.events.seen if event.get("event") == "recording_completed"]
    assert [clip["trigger"] for clip in clips] == ["historical_recording", "motion_detection"]
    whole = joined(clips, tmp_path / "whole.ts")
    assert is_run_of(check(whole, sum(clip["frames"] for clip in clips)), film)


def test_motion_is_found_in_the_sizes_of_pictures(
    interpreter: str, broker: Mosquitto, tmp_path: Path
) -> None:
    """No sensor: the film itself is still for a while, and then something moves."""
    film = footage("street_quality")
    changes = {
        "motion": {"detect": "size", "sensitivity": 50},
        "recorder": {"pre_roll_sec": 2, "pre_roll_kb": 384},
        **ON_CARD,
    }
    with Camera(interpreter, tmp_path, broker, film, changes, heap="2M") as camera:
        clip = camera.events.wait("recording_completed", 60, trigger="motion_detection")
        assert is_run_of(check(Path(clip["file_path"]), clip["frames"]), film)


@pytest.mark.parametrize("interpreter", ["micropython"], indirect=True)
def test_no_frame_is_lost_while_uploads_go_on(
    interpreter: str, seaweedfs: ObjectStore, broker: Mosquitto, tmp_path: Path
) -> None:
    """4 Mbit/s onto the card and out at the same time, with a ring of 512 KiB in a heap of 1 MiB."""
    film = footage("steady_4mbit")
    changes = {"recorder": {**PRE_ROLL, "pre_roll_sec": 1, "max_clip_sec": 3}}
    with (
        CloudService(broker, seaweedfs, [DEVICE_ID]),
        Camera(interpreter, tmp_path, broker, film, changes, heap=HEAP) as camera,
    ):
        time.sleep(2)
        camera.events.command("trigger", duration_sec=20)
        clips, delivered, at_once = [], [], 0
        while not clips or len(delivered) < len(clips) or len(clips) < 7:
            event = camera.events.next(30)
            name = event.get("event")
            if name == "recording_completed":
                clips.append(event)
            elif name == "upload_completed":
                delivered.append(event)
                at_once += len(clips) < 7
            assert name not in ("upload_failed", "recording_failed"), json.dumps(event)
        assert at_once >= 4, "uploads were to go on while it recorded"
        assert [clip["part"] for clip in clips] == list(range(len(clips)))
        cloud_paths = {event["file_path"]: event["poster"]["cloud_path"] for event in delivered}
        whole = tmp_path / "whole.ts"
        whole.write_bytes(
            b"".join(read(seaweedfs, cloud_paths[clip["file_path"]]).body for clip in clips)
        )
        recorded = check(whole, sum(clip["frames"] for clip in clips))
        assert is_run_of(recorded, film)
        assert abs(len(recorded) / film.fps - 21.5) < 1.5
