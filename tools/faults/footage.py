"""Real footage for the camera whose recordings are cut: small pictures, one film for each boot.

    build/faults/film-N.units    size and a bit for IDR, then the bytes, of each access unit
    build/faults/film-N.frames   the MD5 of each picture as ffmpeg decodes it, a line each

No two boots see the same, so that no clip is a copy of another one's.
"""

import json
import os
import struct
import subprocess
import tempfile
from pathlib import Path

from tools import material
from tools.faults import images

FPS = 25
_WIDTH, _HEIGHT = 160, 96
_GROUP = 10
_KBIT = 130
_KEY = 1 << 31
# By the boot's number: how its film differs from the others, and its length. Days need more.
_DAY_SEC, _RECOVERY_SEC = 13, 5
_FILMS = (
    ("null", _RECOVERY_SEC),
    ("hflip", _DAY_SEC),
    ("vflip", _RECOVERY_SEC),
    ("negate", _DAY_SEC),
    ("hflip,vflip", _RECOVERY_SEC),
    ("hflip,negate", _RECOVERY_SEC),
)
_SHOTS = ("bikes", "bigbuckbunny")
_STAMP = "films.json"


def make() -> None:
    """Make all films unless they are there. Raises material.MaterialError."""
    shots = [material.footage(name) for name in _SHOTS]
    made_from = [repr((_recipe(number), shots)) for number in range(len(_FILMS))]
    stamp = images.FOLDER / _STAMP
    if stamp.exists() and json.loads(stamp.read_text()) == made_from:
        return
    images.FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=images.FOLDER) as scratch:
        for number in range(len(_FILMS)):
            h264 = Path(scratch, f"{number}.h264")
            inputs = [word for shot in shots for word in ("-r", str(FPS), "-i", str(shot.h264))]
            _ask("ffmpeg", "-v", "error", "-nostdin", *inputs, *_recipe(number), str(h264))
            units, frames = _units(h264), _frames(h264)
            if units.count != len(frames):
                raise material.MaterialError(f"{units.count} units, {len(frames)} pictures")
            _put(f"film-{number}.units", units.packed, scratch)
            _put(f"film-{number}.frames", "".join(md5 + "\n" for md5 in frames).encode(), scratch)
        _put(_STAMP, json.dumps(made_from).encode(), scratch)


def _recipe(number: int) -> tuple[str, ...]:
    """What the board's encoder puts out, as tools.material has it, but small and of short groups."""
    change, seconds = _FILMS[number]
    sized = ";".join(f"[{n}:v]scale={_WIDTH}:{_HEIGHT},setsar=1[v{n}]" for n in range(len(_SHOTS)))
    joined = "".join(f"[v{n}]" for n in range(len(_SHOTS))) + f"concat=n={len(_SHOTS)}"
    x264 = f"repeat-headers=1:ref=1:bframes=0:scenecut=0:keyint={_GROUP}:min-keyint={_GROUP}"
    rate = ("-b:v", f"{_KBIT}k", "-maxrate", f"{_KBIT}k", "-bufsize", f"{_KBIT // 2}k")
    return (
        *("-filter_complex", f"{sized};{joined},{change}", "-t", str(seconds)),
        *("-pix_fmt", "yuv420p", "-c:v", "libx264", "-profile:v", "baseline"),
        *("-preset", "veryfast", "-x264-params", x264 + ":threads=1", *rate),
        *("-bsf:v", "filter_units=remove_types=6", "-f", "h264"),
    )


class _Units:
    def __init__(self, packed: bytes, count: int) -> None:
        self.packed = packed
        self.count = count


def _units(h264: Path) -> _Units:
    """The access units as ffprobe finds them; together they are the file."""
    shown = ("-show_entries", "packet=size,flags", "-of", "json")
    packets = json.loads(_ask("ffprobe", "-v", "error", *shown, str(h264)))["packets"]
    data, packed, at = h264.read_bytes(), bytearray(), 0
    for packet in packets:
        size = int(packet["size"])
        packed += struct.pack("<I", size | (_KEY if "K" in packet["flags"] else 0))
        packed += data[at : at + size]
        at += size
    if at != len(data):
        raise material.MaterialError(f"{h264}: {len(data)} bytes, {at} of them in access units")
    return _Units(bytes(packed), len(packets))


def _frames(h264: Path) -> list[str]:
    how = ("-threads", "1", "-r", str(FPS), "-i", str(h264), "-fps_mode", "passthrough")
    lines = _ask("ffmpeg", "-v", "error", "-nostdin", *how, "-f", "framemd5", "-").splitlines()
    return [line.rsplit(",", 1)[1].strip() for line in lines if not line.startswith("#")]


def _put(name: str, data: bytes, scratch: str) -> None:
    """Two runs at once make the same, each for itself."""
    made = Path(scratch, name)
    made.write_bytes(data)
    os.replace(made, images.FOLDER / name)


def _ask(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise material.MaterialError(f"{command[0]}: {done.stderr.strip()}")
    return done.stdout
