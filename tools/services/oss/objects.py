"""Buckets and objects on disk, so that they outlive the process.

An object is one JSON record that names its blobs, in order: the body of a PUT, the parts of a
multipart upload, or what each append added. A blob is written under a name of its own and the
record is renamed into place last, so an object is there whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from alibabacloud_oss_v2.crc import Crc64

from tools.services.oss.blobs import Blob, BlobWriter, read_files, write_json
from tools.services.oss.errors import OssError, file_already_exists, no_such_bucket, no_such_key

NORMAL, APPENDABLE, MULTIPART = "Normal", "Appendable", "Multipart"


@dataclass(frozen=True)
class Record:
    """One object; `headers` are returned with it, `blobs` are names and sizes."""

    key: str
    kind: str
    etag: str
    crc64: int
    size: int
    modified: float
    headers: dict[str, str]
    blobs: list[tuple[str, int]]


class Store:
    """All buckets under one directory. `lock` guards records; bodies stream outside of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lock = threading.RLock()
        root.mkdir(parents=True, exist_ok=True)
        for path in root.glob("*/uploads"):
            self._remove_orphans(path.parent.name)

    def create_bucket(self, name: str) -> None:
        """As with OSS, an owner may create a bucket again."""
        for part in ("objects", "blobs", "uploads"):
            (self.root / name / part).mkdir(parents=True, exist_ok=True)

    def bucket(self, name: str) -> Path:
        path = self.root / name
        if not (path / "uploads").is_dir():
            raise no_such_bucket(name)
        return path

    def new_blob(self, bucket: str) -> BlobWriter:
        return BlobWriter(self.bucket(bucket) / "blobs")

    def find(self, bucket: str, key: str) -> Record | None:
        path = self._path(bucket, key)
        with self.lock:
            return _read_record(path) if path.exists() else None

    def get(self, bucket: str, key: str) -> Record:
        record = self.find(bucket, key)
        if record is None:
            raise no_such_key(key)
        return record

    def check_may_write(self, bucket: str, key: str, forbid_overwrite: bool, ec: str) -> None:
        if forbid_overwrite and self.find(bucket, key) is not None:
            raise file_already_exists(ec)

    def put(
        self, bucket: str, key: str, blob: Blob, headers: dict[str, str], forbid_overwrite: bool
    ) -> Record:
        record = Record(
            key,
            NORMAL,
            blob.etag,
            blob.crc64,
            blob.size,
            time.time(),
            headers,
            [(blob.path.name, blob.size)],
        )
        with self.lock:
            self.check_may_write(bucket, key, forbid_overwrite, "0026-00000002")
            self.save(bucket, record)
        return record

    def check_append(self, bucket: str, key: str, position: int) -> Record | None:
        """The object to be appended to, if there is one; raises OssError."""
        record = self.find(bucket, key)
        if record and record.kind != APPENDABLE:
            raise OssError(409, "ObjectNotAppendable", "The object is not appendable.")
        length = record.size if record else 0
        if position != length:
            raise OssError(
                409,
                "PositionNotEqualToLength",
                "Position is not equal to file length",
                "0026-00000016",
                headers={"x-oss-next-append-position": str(length)},
            )
        return record

    def append(
        self, bucket: str, key: str, position: int, blob: Blob, headers: dict[str, str]
    ) -> Record:
        with self.lock:
            before = self.check_append(bucket, key, position)
            if before is None:
                before = Record(key, APPENDABLE, "", 0, 0, 0, headers, [])
            added = [(blob.path.name, blob.size)]
            record = replace(
                before,
                etag=_append_etag(before.etag, blob),
                crc64=Crc64.combine(before.crc64, blob.crc64, blob.size),
                size=before.size + blob.size,
                modified=time.time(),
                blobs=before.blobs + added,
            )
            self.save(bucket, record)
        return record

    def delete(self, bucket: str, key: str) -> None:
        with self.lock:
            record = self.find(bucket, key)
            if record:
                self._path(bucket, key).unlink()
                self._remove_blobs(bucket, record.blobs)

    def all(self, bucket: str) -> list[Record]:
        """All objects in the order of their keys' bytes."""
        directory = self.bucket(bucket) / "objects"
        with self.lock:
            records = [_read_record(path) for path in directory.glob("*.json")]
        return sorted(records, key=lambda record: record.key.encode())

    def read(self, bucket: str, record: Record, start: int, end: int) -> Iterator[bytes]:
        """Bytes from `start` to before `end`; an object replaced meanwhile is read to its end."""
        directory = self.bucket(bucket) / "blobs"
        with self.lock:
            files = [(directory.joinpath(name).open("rb"), size) for name, size in record.blobs]
        return read_files(files, start, end)

    def save(self, bucket: str, record: Record) -> None:
        """Put `record` in the place of what is there; the caller holds the lock."""
        before = self.find(bucket, record.key)
        write_json(self._path(bucket, record.key), asdict(record))
        if before:
            self._remove_blobs(bucket, [blob for blob in before.blobs if blob not in record.blobs])

    def _remove_orphans(self, bucket: str) -> None:
        """Bodies that were being received when the process was killed."""
        named = {name for record in self.all(bucket) for name, _ in record.blobs}
        for path in (self.bucket(bucket) / "blobs").iterdir():
            if path.name not in named:
                path.unlink()

    def _path(self, bucket: str, key: str) -> Path:
        name = hashlib.sha256(key.encode()).hexdigest()
        return self.bucket(bucket) / "objects" / f"{name}.json"

    def _remove_blobs(self, bucket: str, blobs: list[tuple[str, int]]) -> None:
        for name, _ in blobs:
            (self.bucket(bucket) / "blobs" / name).unlink(missing_ok=True)


def _read_record(path: Path) -> Record:
    values = json.loads(path.read_text())
    values["blobs"] = [(name, size) for name, size in values["blobs"]]
    return Record(**values)


def _append_etag(before: str, blob: Blob) -> str:
    """OSS does not say how it is made, only that it is not the MD5 of the content."""
    return (
        hashlib.md5(f"append {before}{blob.etag}".encode(), usedforsecurity=False)
        .hexdigest()
        .upper()
    )
