"""Empty cards as mkfs.fat makes them, kept as the few sectors that are not empty."""

import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "faults"
_SECTOR = 512
# Where Debian keeps file system tools, too.
PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


class Kind(NamedTuple):
    what: str
    size_mb: int
    options: tuple[str, ...]


# A FAT32 volume has 65,525 clusters at least, however large they are.
IMAGES = {
    "fat32-32k": Kind("FAT32, clusters of 32 KiB", 2200, ("-F", "32", "-s", "64")),
    "fat32-512": Kind("FAT32, clusters of 512 bytes", 40, ("-F", "32", "-s", "1")),
    "fat16-4k": Kind("FAT16, clusters of 4 KiB", 64, ("-F", "16", "-s", "8")),
}


def make(name: str) -> Path:
    """Make build/faults/NAME.sectors: how many there are, then number and bytes of each."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    kind, target = IMAGES[name], FOLDER / f"{name}.sectors"
    command = shutil.which("mkfs.fat", path=PATH)
    if command is None:
        raise FileNotFoundError("mkfs.fat is missing: install it with `apt install dosfstools`")
    with tempfile.NamedTemporaryFile(dir=FOLDER) as image:
        size_bytes = kind.size_mb << 20
        image.truncate(size_bytes)
        serial = ("-i", "c0ffee00")  # else it is the time
        subprocess.run(
            [command, *serial, *kind.options, image.name], check=True, capture_output=True
        )
        # Two runs at once make the same, each for itself.
        with tempfile.NamedTemporaryFile(dir=FOLDER, delete=False) as made:
            made.write(struct.pack("<I", size_bytes // _SECTOR))
            for number, data in _sectors(image.fileno(), size_bytes):
                made.write(struct.pack("<I", number) + data)
    os.replace(made.name, target)
    return target


def _sectors(file: int, size_bytes: int) -> Iterator[tuple[int, bytes]]:
    """Sectors that are not empty; mkfs.fat leaves holes, so that gigabytes cost nothing."""
    at = 0
    while at < size_bytes:
        try:
            begin = os.lseek(file, at, os.SEEK_DATA)
        except OSError:  # nothing but a hole to the end
            return
        at = os.lseek(file, begin, os.SEEK_HOLE)
        for start in range(begin, at, _SECTOR):
            data = os.pread(file, _SECTOR, start)
            if any(data):
                yield start // _SECTOR, data
