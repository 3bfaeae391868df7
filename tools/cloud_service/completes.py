"""Answers to `complete`: nothing is called stored before the store itself said so.

A repeated `complete` finds the object and compares it again, so a lost answer costs nothing. What
the store tells no MD5 of is read back and compared with what the camera says: size proves nothing.
Pure: no IO of its own.
"""

from __future__ import annotations

import base64
import re
from typing import Any

from tools.cloud_service.messages import INTEGRITY, NO_UPLOAD, CompleteRequest, Refusal
from tools.cloud_service.plan import joined
from tools.cloud_service.presign import Presigner
from tools.cloud_service.slots import Slots
from tools.cloud_service.store import (
    UNREADABLE,
    ObjectExists,
    PartsRefused,
    Store,
    StoredObject,
    StoreError,
    UploadGone,
)

Answer = dict[str, Any]

_MD5_ETAG = re.compile(r"[0-9a-f]{32}")
_OTHER_BYTES = "the object's digest is not that of the camera"


class Completer:
    """Ends uploads: joins parts, compares with what the camera says, frees the slot."""

    def __init__(
        self, presigner: Presigner, store: Store, slots: Slots, read_back_bytes: int
    ) -> None:
        self._presigner = presigner
        self._store = store
        self._slots = slots
        self._read_back_bytes = read_back_bytes

    async def complete(self, request: CompleteRequest) -> Answer:
        """The acknowledgement; Refusal or StoreError."""
        self._slots.free(request.device_id, request.cloud_file_path)
        if request.outcome == "stored":
            return await self._stored(request)
        if request.outcome == "aborted" and request.multipart_id:
            await self._store.abort_upload(request.cloud_file_path, request.multipart_id)
        return {"success": True, "request_id": request.request_id, "verified": False}

    async def _stored(self, request: CompleteRequest) -> Answer:
        are_parts_proven = False
        if request.multipart_id:
            are_parts_proven = await self._join(request, request.multipart_id)
        found = await self._store.head(request.cloud_file_path)
        if found is None:
            raise Refusal(NO_UPLOAD, "there is no such object")
        if found.size_bytes != request.file_size:
            told = f"the object has {found.size_bytes} bytes, not {request.file_size}"
            raise Refusal(INTEGRITY, told)
        is_proven = _is_proven(found, request) or are_parts_proven
        if not is_proven and request.content_md5 and found.size_bytes <= self._read_back_bytes:
            is_proven = await self._read_back(request.cloud_file_path, found, request.content_md5)
        return {
            "success": True,
            "request_id": request.request_id,
            "verified": is_proven,
            "cloud_url": self._presigner.address(request.cloud_file_path),
            "etag": found.etag,
            "size": found.size_bytes,
        }

    async def _join(self, request: CompleteRequest, upload_id: str) -> bool:
        """Complete the upload; True if its parts are those that the camera sent."""
        path = request.cloud_file_path
        try:
            stored = await self._store.list_parts(path, upload_id)
            parts = joined(stored, request.file_size, request.multipart_etag)
            if parts is not None:
                await self._store.complete_upload(path, upload_id, parts)
                return request.multipart_etag is not None
            wrong = "the stored parts are not those of the camera"
        except UploadGone:
            return False  # completed before, or never begun: the object itself tells
        except ObjectExists:
            await self._store.abort_upload(path, upload_id)
            return False
        except PartsRefused as error:
            wrong = str(error)
        await self._store.abort_upload(path, upload_id)
        raise Refusal(INTEGRITY, wrong)

    async def _read_back(self, path: str, found: StoredObject, content_md5: str) -> bool:
        """Whether the bytes are the camera's; False when they cannot be read, Refusal when not."""
        try:
            md5 = await self._store.md5(path, found)
        except StoreError as error:
            if error.code in UNREADABLE:
                return False
            raise
        if md5 != _hex(content_md5):
            raise Refusal(INTEGRITY, _OTHER_BYTES)
        return True


def _is_proven(found: StoredObject, request: CompleteRequest) -> bool:
    """Whether the ETag is the camera's digest; Refusal when it is another for certain."""
    if not found.has_md5_etag:
        return False
    is_of_parts = _MD5_ETAG.fullmatch(found.etag) is None
    told = request.multipart_etag if is_of_parts else _hex(request.content_md5)
    if told is not None and found.etag != told:
        raise Refusal(INTEGRITY, _OTHER_BYTES)
    return told is not None


def _hex(content_md5: str | None) -> str | None:
    return None if content_md5 is None else base64.b64decode(content_md5).hex()
