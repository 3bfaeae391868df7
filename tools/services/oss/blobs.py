"""Files of the store: bodies on their way to disk, read back in pieces, and records as JSON."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

from alibabacloud_oss_v2.crc import Crc64

_CHUNK = 1 << 18


@dataclass(frozen=True)
class Blob:
    """A received body on disk, not yet part of anything."""

    path: Path
    size: int
    md5: bytes
    crc64: int

    @property
    def etag(self) -> str:
        return self.md5.hex().upper()


class BlobWriter:
    """Takes a body chunk by chunk; what is not finished leaves no file."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / secrets.token_hex(16)
        self._file = self._path.open("xb")
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._crc = Crc64(0)
        self.size = 0

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self._md5.update(data)
        self._crc.update(data)
        self.size += len(data)

    def finish(self) -> Blob:
        self._file.close()
        return Blob(self._path, self.size, self._md5.digest(), self._crc.sum64())

    def discard(self) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)


def read_files(files: list[tuple[BufferedReader, int]], start: int, end: int) -> Iterator[bytes]:
    """Bytes from `start` to before `end` of the files one after the other; closes them."""
    offset = 0
    for file, size in files:
        with file:
            file.seek(max(0, start - offset))
            left = min(end - offset, size) - file.tell()
            while left > 0:
                data = file.read(min(left, _CHUNK))
                left -= len(data)
                yield data
        offset += size


def write_json(path: Path, value: Any) -> None:
    """Whole or not at all."""
    temporary = path.with_suffix(f".{secrets.token_hex(4)}")
    temporary.write_text(json.dumps(value))
    os.replace(temporary, path)
