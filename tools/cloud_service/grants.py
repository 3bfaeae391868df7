"""Answers to upload requests: one PUT, a batch of part URLs, or where the store says to go on.

What the store holds decides where an upload goes on, not what was said before: any process can
answer the next request of an upload that another one began. Pure: no IO of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pydantic_core import to_json

from tools.cloud_service.config import LEAST_PART_BYTES, UploadPolicy
from tools.cloud_service.messages import (
    APPEND,
    BAD_REQUEST,
    NO_UPLOAD,
    Refusal,
    Resume,
    UploadRequest,
)
from tools.cloud_service.plan import MAX_PARTS, Part, part_count, part_size, parts_done
from tools.cloud_service.presign import Appender, Presigner
from tools.cloud_service.slots import Slots
from tools.cloud_service.store import Store, StoredObject, UploadGone

PARTS_PER_REPLY = 4
MAX_REPLY_BYTES = 7900  # cameras read 8 KiB

Answer = dict[str, Any]


class Granter:
    """Decides what a camera may send where; `now` returns Unix seconds."""

    def __init__(
        self,
        presigner: Presigner,
        store: Store,
        policy: UploadPolicy,
        slots: Slots,
        now: Callable[[], float],
        appender: Appender | None = None,
    ) -> None:
        self._presigner = presigner
        self._store = store
        self._policy = policy
        self._slots = slots
        self._now = now
        self._appender = appender

    async def grant(self, request: UploadRequest) -> Answer:
        """The answer to a good request; Refusal or StoreError."""
        if request.is_plain:
            return self._put(request)
        is_new = self._slots.take(request.device_id, request.file_name)
        try:
            return {**await self._choose(request), "requires_complete": True}
        except BaseException:
            if is_new:
                self._slots.free(request.device_id, request.file_name)
            raise

    async def _choose(self, request: UploadRequest) -> Answer:
        if request.resume:
            if request.resume.upload_id == APPEND:
                return await self._append(request)
            return await self._resume(request, request.resume)
        if request.live or request.file_size > self._part_size(request):
            large = self._policy.large_files
            if large == APPEND and APPEND in request.capabilities:
                return await self._append(request)
            if large != "put" and "multipart" in request.capabilities:
                return await self._create(request)
        return self._put(request)

    def _put(self, request: UploadRequest) -> Answer:
        now, content_type = int(self._now()), self._content_type(request)
        is_plain = request.is_plain  # such a camera gets what it always got
        signed = self._presigner.put(
            request.file_name,
            content_type,
            self._policy.expires_sec,
            content_md5=None if is_plain else request.content_md5,
            content_encoding=None if is_plain else request.content_encoding,
            forbid_overwrite=self._policy.forbid_overwrite and not is_plain,
        )
        return self._answer(request, now, content_type, signed.extra_headers, signed.url)

    async def _create(self, request: UploadRequest) -> Answer:
        upload_id = await self._store.create_upload(
            request.file_name, self._content_type(request), request.content_encoding
        )
        return self._parts(request, upload_id, self._part_size(request), 0, 1)

    async def _resume(self, request: UploadRequest, resume: Resume) -> Answer:
        try:
            stored = await self._store.list_parts(request.file_name, resume.upload_id)
        except UploadGone:
            return await self._completed_before(request, resume)
        size = self._size_begun_with(request, stored)
        done = parts_done(stored, size, request.final_bytes)
        return self._parts(request, resume.upload_id, size, done, min(resume.next_part, done + 1))

    async def _completed_before(self, request: UploadRequest, resume: Resume) -> Answer:
        found = await self._store.head(request.file_name)
        if found is None or found.size_bytes != request.final_bytes:
            raise Refusal(NO_UPLOAD, "there is no such upload")
        size = self._part_size(request)
        done = part_count(found.size_bytes, size)
        return self._parts(request, resume.upload_id, size, done, done + 1)

    def _size_begun_with(self, request: UploadRequest, stored: Sequence[Part]) -> int:
        """The part size of the first grant: as configured then, which the first part tells."""
        whole = request.final_bytes
        for part in stored:
            is_last = whole is not None and part.size_bytes >= whole
            if part.number == 1 and not is_last and part.size_bytes >= LEAST_PART_BYTES:
                return part.size_bytes
        return self._part_size(request)

    def _parts(
        self, request: UploadRequest, upload_id: str, size: int, done: int, first: int
    ) -> Answer:
        total = request.final_bytes
        last = MAX_PARTS if total is None else min(MAX_PARTS, part_count(total, size))
        answer = self._answer(request, int(self._now()), "", {})
        answer.update(mode="multipart", upload_id=upload_id, part_size=size, parts_done=done)
        parts: list[dict[str, Any]] = []
        answer["parts"] = parts
        if done >= last:
            return answer
        room = MAX_REPLY_BYTES - len(to_json(answer))
        for number in range(first, min(last, first + PARTS_PER_REPLY - 1) + 1):
            url = self._presigner.part(
                request.file_name, upload_id, number, self._policy.expires_sec
            )
            entry = {"part_number": number, "upload_url": url}
            room -= len(to_json(entry)) + 1
            if room < 0 and parts:
                break
            parts.append(entry)
        return answer

    async def _append(self, request: UploadRequest) -> Answer:
        if self._appender is None or self._policy.large_files != APPEND:
            raise Refusal(NO_UPLOAD, "nothing is appended to here")
        size = self._part_size(request)
        found = await self._store.head(request.file_name)
        done, goes_on = _parts_appended(found, size, request.final_bytes)
        now, content_type = int(self._now()), self._content_type(request)
        answer = self._answer(request, now, content_type, {})
        answer.update(method="POST", mode=APPEND, upload_id=APPEND, part_size=size)
        answer.update(parts_done=done, parts=[])
        resume = request.resume
        if resume is None or resume.part_md5 is None or resume.next_part != done + 1 or not goes_on:
            return answer
        rest = size if request.final_bytes is None else request.final_bytes - done * size
        if resume.part_size is None or resume.part_size > min(size, rest):
            raise Refusal(BAD_REQUEST, f"resume.part_size: at most {min(size, rest)} is allowed")
        signed = self._appender.append(
            request.file_name, content_type, done * size, resume.part_md5, self._policy.expires_sec
        )
        answer["parts"] = [{"part_number": done + 1, "upload_url": signed.url}]
        answer["extra_headers"] = signed.extra_headers
        return answer

    def _answer(
        self,
        request: UploadRequest,
        now: int,
        content_type: str,
        extra_headers: dict[str, str],
        url: str | None = None,
    ) -> Answer:
        """What every grant has; `now` was read before signing: URLs live no shorter than told."""
        return {
            "success": True,
            "request_id": request.request_id,
            **({} if url is None else {"upload_url": url}),
            "method": "PUT",
            "content_type": content_type,
            "cloud_file_path": request.file_name,
            "expires_at": now + self._policy.expires_sec,
            "extra_headers": extra_headers,
            "server_time": now,
            "expires_in": self._policy.expires_sec,
        }

    def _content_type(self, request: UploadRequest) -> str:
        return request.metadata.content_type or self._policy.content_types[0]

    def _part_size(self, request: UploadRequest) -> int:
        total = request.final_bytes or self._policy.max_file_bytes
        return part_size(total, self._policy.part_size_bytes)


def _parts_appended(found: StoredObject | None, size: int, total: int | None) -> tuple[int, bool]:
    """How many parts the object is made of, and whether more may come; Refusal when neither."""
    if found is None:
        return 0, True
    is_whole = found.size_bytes == total if total is not None else found.size_bytes % size > 0
    if is_whole:
        return part_count(found.size_bytes, size), False
    is_beyond = total is not None and found.size_bytes > total
    if not found.is_appendable or is_beyond or found.size_bytes % size:
        told = f"an object of {found.size_bytes} bytes is there, which cannot be continued"
        raise Refusal(BAD_REQUEST, f"file_name: {told}")
    return found.size_bytes // size, True
