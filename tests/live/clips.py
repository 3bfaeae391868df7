"""Clips of any size to put on a card: whole TS packets of real footage, no two stretches alike."""

import functools
import subprocess
from pathlib import Path

from tools.material import Footage

PACKET_BYTES = 188
# A packet of PID 0x1FFF is padding to any reader; a number in it makes stretches differ.
_PADDING_HEAD = b"\x47\x1f\xff\x10"


def make_clip(film: Footage, path: Path, size_bytes: int) -> Path:
    """Write a clip of so many bytes, rounded down to whole packets."""
    stretch, packets_left, number = _transport_stream(film), size_bytes // PACKET_BYTES, 0
    with path.open("wb") as file:
        while packets_left:
            packets = _padding(path.name, number) + stretch
            packets = packets[: packets_left * PACKET_BYTES]
            file.write(packets)
            packets_left -= len(packets) // PACKET_BYTES
            number += 1
    return path


def _padding(name: str, number: int) -> bytes:
    return _PADDING_HEAD + f"{name} {number} ".encode().ljust(PACKET_BYTES - 4, b"\xff")


@functools.cache
def _transport_stream(film: Footage) -> bytes:
    command = ["ffmpeg", "-v", "error", "-i", str(film.h264), "-c", "copy", "-f", "mpegts", "-"]
    return subprocess.run(command, check=True, capture_output=True).stdout
