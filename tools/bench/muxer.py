"""P5: instructions of the muxer and the block writer per byte of footage, and what they add to it."""

import subprocess
from collections.abc import Callable

from tools.bench.interpreter import ROOT, MeasurementFailed, count, run, scratch
from tools.bench.report import Row, Target
from tools.material import footage

_FILM = "bench_4mbit"
_SECONDS = 5, 15
_SLIM_FILM = "bench_2mbit"


def measure(say: Callable[[str], None]) -> list[Row]:
    film = footage(_FILM)
    target = scratch("muxed.ts")

    def per_byte(work: str) -> float:
        say(f"counts instructions: {work}")
        few, many = (
            count("muxing.py", work, film.h264.relative_to(ROOT), film.fps * seconds, target)
            for seconds in _SECONDS
        )
        return float(many["instructions"] - few["instructions"]) / (many["bytes"] - few["bytes"])

    cut = per_byte("cut")
    copy, mux, hashed = (per_byte(work) - cut for work in ("copy", "mux", "hash"))
    (ROOT / target).unlink()
    if copy <= 0:
        raise MeasurementFailed("copying took no instructions")
    what = "instructions per byte of 4 Mbit/s footage"
    return [
        Row(
            "P5",
            f"{what}, TS muxer and block writer; against a memory copy of the same",
            mux,
            copy,
            Target("value", "<=", 10),
        ),
        Row("P5", f"{what}, MD5; against the muxer and block writer", hashed - mux, mux),
        *_overhead(),
    ]


def _overhead() -> list[Row]:
    """What the container costs, here and with the muxer that most of the world uses."""
    film, ours, theirs = footage(_SLIM_FILM), scratch("ours.ts"), scratch("theirs.ts")
    bare = run("muxing.py", "mux", film.h264.relative_to(ROOT), film.frames, ours)["bytes"]
    command = ["ffmpeg", "-v", "error", "-y", "-r", str(film.fps), "-i", str(film.h264)]
    subprocess.run([*command, "-c", "copy", str(ROOT / theirs)], check=True)
    rows = [
        Row(
            "P5",
            f"bytes of a clip at 2 Mbit/s and 30 fps, {whose} muxer; against its elementary stream",
            (ROOT / there).stat().st_size,
            bare,
            target,
        )
        for whose, there, target in (
            ("the camera's", ours, Target("ratio", "<=", 1.03)),
            ("ffmpeg's", theirs, None),
        )
    ]
    for there in (ours, theirs):
        (ROOT / there).unlink()
    return rows
