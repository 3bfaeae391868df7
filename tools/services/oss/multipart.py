"""Multipart uploads: a directory each, with its parts, until completed or aborted."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from alibabacloud_oss_v2.crc import Crc64

from tools.services.oss.blobs import Blob, write_json
from tools.services.oss.errors import OssError, no_such_upload
from tools.services.oss.objects import MULTIPART, Record, Store

MIN_PART_BYTES = 100 * 1024
_HEX = set("0123456789ABCDEF")


@dataclass(frozen=True)
class Upload:
    upload_id: str
    key: str
    initiated: float
    headers: dict[str, str]


@dataclass(frozen=True)
class Part:
    number: int
    etag: str
    crc64: int
    size: int
    modified: float
    blob: str


class Uploads:
    """The uploads of all buckets of `store`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def initiate(
        self, bucket: str, key: str, headers: dict[str, str], forbid_overwrite: bool
    ) -> Upload:
        with self._store.lock:
            self._store.check_may_write(bucket, key, forbid_overwrite, "0026-00000002")
        upload_id = secrets.token_hex(16).upper()
        upload = Upload(upload_id, key, time.time(), headers)
        directory = self._store.bucket(bucket) / "uploads" / upload_id
        directory.mkdir()
        write_json(directory / "upload.json", asdict(upload))
        return upload

    def find(self, bucket: str, key: str, upload_id: str, ec: str = "0042-00000002") -> Upload:
        """Raises OssError for an upload that is not, is over, or is another object's."""
        directory = self._directory(bucket, upload_id)
        if not upload_id or not set(upload_id) <= _HEX or not (directory / "upload.json").exists():
            raise no_such_upload(upload_id, ec)
        upload = Upload(**json.loads((directory / "upload.json").read_text()))
        if upload.key != key:
            raise no_such_upload(upload_id, ec)
        return upload

    def put_part(self, bucket: str, upload: Upload, number: int, blob: Blob) -> Part:
        """A part that comes again takes the place of the earlier one."""
        with self._store.lock:
            self.find(bucket, upload.key, upload.upload_id, "0042-00000104")
            directory = self._directory(bucket, upload.upload_id)
            before = self._part(directory, number)
            os.replace(blob.path, directory / blob.path.name)
            part = Part(number, blob.etag, blob.crc64, blob.size, time.time(), blob.path.name)
            write_json(directory / f"{number}.json", asdict(part))
            if before:
                (directory / before.blob).unlink()
        return part

    def parts(self, bucket: str, upload: Upload) -> list[Part]:
        """What is stored, in the order of the numbers."""
        directory = self._directory(bucket, upload.upload_id)
        with self._store.lock:
            numbers = sorted(
                int(path.stem) for path in directory.glob("*.json") if path.stem.isdigit()
            )
            found = [self._part(directory, number) for number in numbers]
        return [part for part in found if part]

    def complete(
        self,
        bucket: str,
        upload: Upload,
        listed: list[tuple[int, str]] | None,
        forbid_overwrite: bool,
    ) -> Record:
        """Make the object of the parts listed (None: of all); the upload is over then."""
        store = self._store
        with store.lock:
            self.find(bucket, upload.key, upload.upload_id)
            chosen = self._chosen(bucket, upload, listed)
            store.check_may_write(bucket, upload.key, forbid_overwrite, "0042-00000214")
            directory = self._directory(bucket, upload.upload_id)
            blobs, crc64 = [], 0
            for part in chosen:
                # A second name for the bytes: ending the upload removes only its own.
                name = secrets.token_hex(16)
                os.link(directory / part.blob, store.bucket(bucket) / "blobs" / name)
                blobs.append((name, part.size))
                crc64 = Crc64.combine(crc64, part.crc64, part.size)
            record = Record(
                upload.key,
                MULTIPART,
                _etag(chosen),
                crc64,
                sum(part.size for part in chosen),
                time.time(),
                upload.headers,
                blobs,
            )
            store.save(bucket, record)
            shutil.rmtree(directory)
        return record

    def abort(self, bucket: str, upload: Upload) -> None:
        with self._store.lock:
            self.find(bucket, upload.key, upload.upload_id)
            shutil.rmtree(self._directory(bucket, upload.upload_id))

    def all(self, bucket: str) -> list[Upload]:
        """All that are going on, in the order of keys, then of ids."""
        directory = self._store.bucket(bucket) / "uploads"
        with self._store.lock:
            found = [
                Upload(**json.loads(path.read_text())) for path in directory.glob("*/upload.json")
            ]
        return sorted(found, key=lambda upload: (upload.key.encode(), upload.upload_id))

    def _chosen(
        self, bucket: str, upload: Upload, listed: list[tuple[int, str]] | None
    ) -> list[Part]:
        stored = {part.number: part for part in self.parts(bucket, upload)}
        if listed is None:
            listed = [(part.number, part.etag) for part in stored.values()]
        numbers = [number for number, _ in listed]
        if numbers != sorted(set(numbers)):
            raise OssError(
                400,
                "InvalidPartOrder",
                "The list of parts was not in ascending order. Parts list must specified in order"
                " by part number.",
            )
        chosen = []
        for number, etag in listed:
            part = stored.get(number)
            if part is None or etag.strip('"').upper() != part.etag:
                raise OssError(
                    400,
                    "InvalidPart",
                    "One or more of the specified parts could not be found or the specified"
                    " entity tag might not have matched the part's entity tag.",
                    details={"PartNumber": str(number), "UploadId": upload.upload_id},
                )
            chosen.append(part)
        for part in chosen[:-1]:
            if part.size < MIN_PART_BYTES:
                raise OssError(
                    400,
                    "EntityTooSmall",
                    "Your proposed upload smaller than the minimum allowed size.",
                    details={
                        "ProposedSize": str(part.size),
                        "MinSizeAllowed": str(MIN_PART_BYTES),
                        "PartNumber": str(part.number),
                        "ETag": part.etag,
                    },
                )
        return chosen

    def _directory(self, bucket: str, upload_id: str) -> Path:
        return self._store.bucket(bucket) / "uploads" / upload_id

    @staticmethod
    def _part(directory: Path, number: int) -> Part | None:
        path = directory / f"{number}.json"
        return Part(**json.loads(path.read_text())) if path.exists() else None


def _etag(parts: list[Part]) -> str:
    """OSS's form. How it is made OSS does not say, so it is not S3's MD5 of binary MD5s here."""
    digest = hashlib.md5("".join(part.etag for part in parts).encode(), usedforsecurity=False)
    return f"{digest.hexdigest().upper()}-{len(parts)}"
