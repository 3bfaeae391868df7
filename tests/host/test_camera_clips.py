"""Real footage out of the camera adapters' stand-ins, recorded and judged by ffmpeg and ffprobe."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tools.demo.footage_check import decode_errors, frame_count
from tools.interpreters import micropython
from tools.material import footage

ROOT = Path(__file__).resolve().parents[2]
WIDTH, HEIGHT, FPS = 640, 480, 25
SPS, PPS, SLICE, IDR = 7, 8, 1, 5
# As the P4 encodes: baseline, an IDR picture every second, its parameter sets before it.
ENCODER = (
    *("-vf", f"scale={WIDTH}:{HEIGHT}", "-an", "-c:v", "libx264", "-profile:v", "baseline"),
    *("-preset", "veryfast", "-bsf:v", "filter_units=remove_types=6", "-x264-params"),
    f"repeat-headers=1:ref=1:bframes=0:scenecut=0:keyint={FPS}:min-keyint={FPS}:threads=1",
)
HEAP = "32m"  # a stand-in has its frames on the heap, and the film


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("film") / "vga.h264"
    source = footage("bikes")
    command = ["ffmpeg", "-v", "error", "-r", str(FPS), "-i", source.h264, *ENCODER, target]
    subprocess.run(command, check=True)
    return target


def record(interpreter: str, adapter: str, film: Path, folder: Path) -> list[dict[str, Any]]:
    commands = {
        "cpython": [sys.executable],
        "micropython": [micropython(), "-X", f"heapsize={HEAP}"],
    }
    known = {"ADAPTER": adapter, "FILM": film, "WIDTH": WIDTH, "HEIGHT": HEIGHT, "FPS": FPS}
    program = ROOT / "tests" / "host" / "camera_device.py"
    done = subprocess.run(
        [*commands[interpreter], ROOT / "tests" / "run_device.py", program, "record"],
        env=os.environ | {name: str(value) for name, value in known.items()} | {"FOLDER": folder},
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line[5:] for line in done.stdout.splitlines() if line.startswith("clip ")]
    return [json.loads(line) for line in lines]


def nals(stream: bytes) -> list[bytes]:
    """The NAL units of an elementary stream that make pictures: sets and slices."""
    found = [nal.rstrip(b"\0") for nal in stream.split(b"\0\0\1")[1:]]
    return [nal for nal in found if nal[0] & 31 in (SPS, PPS, SLICE, IDR)]


def elementary(clip: Path) -> bytes:
    command = ["ffmpeg", "-v", "error", "-i", clip, "-c", "copy", "-f", "h264", "-"]
    return subprocess.run(command, check=True, capture_output=True).stdout


@pytest.mark.parametrize("interpreter", ["cpython", "micropython"])
@pytest.mark.parametrize("adapter", ["esp_vision", "pydevices"])
def test_footage_reaches_the_clips_whole(
    interpreter: str, adapter: str, film: Path, tmp_path: Path
) -> None:
    clips = record(interpreter, adapter, film, tmp_path)
    assert [(clip["width"], clip["height"]) for clip in clips] == [(WIDTH, HEIGHT)] * len(clips)
    assert clips[0]["frames"] == 50 and clips[0]["duration_ms"] == 2000
    recorded = []
    for clip in clips:
        path = Path(clip["path"])
        assert frame_count(path) == clip["frames"]
        assert not decode_errors(path)
        recorded += nals(elementary(path))
    taken = nals(film.read_bytes())
    begin = taken.index(recorded[2]) - 2  # the first slice; its sets lie before it, as at every IDR
    assert recorded == taken[begin : begin + len(recorded)]
    assert sum(nal[0] & 31 in (SLICE, IDR) for nal in recorded) >= 75
