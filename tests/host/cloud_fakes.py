"""What the cloud service's core is given in tests: a signer and a store that keep everything in memory."""

from __future__ import annotations

import base64
import datetime
import hashlib
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tools.cloud_service.config import UploadPolicy
from tools.cloud_service.handlers import COMPLETE, UploadHandler
from tools.cloud_service.handlers import REQUEST as ASK
from tools.cloud_service.plan import Part, multipart_etag
from tools.cloud_service.presign import PresignedPut
from tools.cloud_service.store import ObjectExists, PendingUpload, StoredObject, UploadGone

DEVICE = "ESP32P4_CAM_001"
NOW = 1_691_234_567
PATH = f"{DEVICE}/2025/07/11/143022_motion_video.ts"
MIB = 1024 * 1024
PART = 5 * MIB
MD5 = base64.b64encode(bytes(range(16))).decode()
ETAG = bytes(range(16)).hex()
Answer = dict[str, Any]
REQUEST: dict[str, Any] = {  # the specification's example
    "request_id": "upload_1a2b3c4d",
    "file_name": PATH,
    "file_size": 15728640,
    "priority": 2,
    "timestamp": 1691234567,
    "device_id": DEVICE,
    "metadata": {
        "content_type": "video/mp2t",
        "format": "H264/MPEG-TS",
        "trigger": "motion_detection",
        "duration": 120,
        "resolution": "1080p",
    },
}


class Recorder:
    """A presigner and appender that notes what it was asked to sign."""

    def __init__(self, headers: dict[str, str] | None = None, url_bytes: int = 0) -> None:
        self.signed: list[tuple[Any, ...]] = []
        self.headers = headers or {}
        self._padding = "s" * url_bytes

    def put(self, key: str, content_type: str, expires_sec: int, **more: Any) -> PresignedPut:
        given = {name: value for name, value in more.items() if value}
        self.signed.append((key, content_type, expires_sec, *([given] if given else [])))
        return PresignedPut(f"{self.address(key)}?signature=s", dict(self.headers))

    def part(self, key: str, upload_id: str, number: int, expires_sec: int) -> str:
        self.signed.append((key, upload_id, number, expires_sec))
        return f"{self.address(key)}?part={number}&signature={self._padding}"

    def append(
        self, key: str, content_type: str, position: int, content_md5: str, expires_sec: int
    ) -> PresignedPut:
        self.signed.append((key, content_type, position, content_md5, expires_sec))
        return PresignedPut(
            f"{self.address(key)}?append&position={position}", {"Content-MD5": content_md5}
        )

    def address(self, key: str) -> str:
        return f"https://store.test/{key}"


def part(number: int, size: int, content: bytes = b"") -> Part:
    return Part(number, size, hashlib.md5(content or b"%d" % number).hexdigest())


@dataclass
class MemoryStore:
    """Objects, their bytes' MD5s and uploads by name; the next call raises `failure`, if there is one."""

    objects: dict[str, StoredObject] = field(default_factory=dict)
    md5s: dict[str, str] = field(default_factory=dict)
    uploads: dict[tuple[str, str], list[Part]] = field(default_factory=dict)
    calls: list[tuple[Any, ...]] = field(default_factory=list)
    failure: Exception | None = None
    forbids_overwrite: bool = True

    def __post_init__(self) -> None:
        self._ids = itertools.count(1)

    async def create_upload(self, key: str, content_type: str, content_encoding: str | None) -> str:
        self._note("create", key, content_type, content_encoding)
        upload_id = f"upload-{next(self._ids)}"
        self.uploads[key, upload_id] = []
        return upload_id

    async def list_parts(self, key: str, upload_id: str) -> list[Part]:
        self._note("list", key, upload_id)
        return sorted(self._upload(key, upload_id), key=lambda part: part.number)

    async def complete_upload(self, key: str, upload_id: str, parts: Sequence[Part]) -> None:
        self._note("complete", key, upload_id, [part.number for part in parts])
        self._upload(key, upload_id)
        if self.forbids_overwrite and key in self.objects:
            raise ObjectExists("PreconditionFailed", "it is there")
        del self.uploads[key, upload_id]
        size = sum(part.size_bytes for part in parts)
        self.objects[key] = StoredObject(size, multipart_etag(parts) or "")

    async def abort_upload(self, key: str, upload_id: str) -> None:
        self._note("abort", key, upload_id)
        self.uploads.pop((key, upload_id), None)

    async def head(self, key: str) -> StoredObject | None:
        self._note("head", key)
        return self.objects.get(key)

    async def md5(self, key: str, found: StoredObject) -> str:
        self._note("md5", key)
        return self.md5s[key]

    def _upload(self, key: str, upload_id: str) -> list[Part]:
        if (key, upload_id) not in self.uploads:
            raise UploadGone("NoSuchUpload", "there is none")
        return self.uploads[key, upload_id]

    def _note(self, *call: Any) -> None:
        self.calls.append(call)
        failure, self.failure = self.failure, None
        if failure:
            raise failure


@dataclass
class BlockingMemory:
    """What the clean-up looks through: uploads, and when each was added to last."""

    pending: dict[PendingUpload, datetime.datetime]
    aborted: list[str] = field(default_factory=list)
    failure: Exception | None = None

    def pending_uploads(self) -> list[PendingUpload]:
        if self.failure:
            raise self.failure
        return list(self.pending)

    def last_change(self, upload: PendingUpload) -> datetime.datetime:
        if upload not in self.pending:
            raise UploadGone("NoSuchUpload", "another process was quicker")
        return self.pending[upload]

    def abort_upload(self, key: str, upload_id: str) -> None:
        self.aborted.append(upload_id)


FULL = [part(1, PART), part(2, PART), part(3, 10)]  # of a file with 2 * PART + 10 bytes


class Service:
    """The handler with its surroundings, and a clock that can be set."""

    def __init__(self, store: MemoryStore | None = None, **policy: Any) -> None:
        self.signer, self.store, self.now = Recorder(), store or MemoryStore(), float(NOW)
        limits = UploadPolicy(**policy)
        self.handler = UploadHandler(
            self.signer, self.store, [DEVICE, "B"], limits, lambda: self.now, self.signer
        )

    async def ask(self, device: str = DEVICE, **fields: Any) -> Answer:
        asked = {"protocol": 2, "capabilities": ["put", "multipart"], "device_id": device}
        if device != DEVICE:
            asked["file_name"] = f"{device}/a.ts"
        return await self.say(device, ASK, {**REQUEST, **asked, **fields})

    async def complete(self, outcome: str = "stored", **fields: Any) -> Answer:
        told = {"request_id": "c1", "device_id": DEVICE, "cloud_file_path": PATH, "file_size": 12}
        return await self.say(DEVICE, COMPLETE, {**told, "outcome": outcome, **fields})

    async def say(self, device: str, kind: str, message: Answer) -> Answer:
        self.reply = await self.handler.answer(device, kind, json.dumps(message).encode())
        assert self.reply.topic.startswith(f"devices/{device}/upload/")
        answer: Answer = json.loads(self.reply.payload)
        return answer
