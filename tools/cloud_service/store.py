"""What the service asks of an object store, and the errors it can tell apart.

Every call may be repeated: a lost answer never leaves more behind than an unfinished upload, which
the clean-up finds. Pure: no IO.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tools.cloud_service.plan import Part


class StoreError(Exception):
    """The store did not do it; `code` is its own word for why. It may do it later."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class UploadGone(StoreError):
    """No such upload: completed, aborted, expired, or it never was."""


class PartsRefused(StoreError):
    """The store will never join these parts."""


class ObjectExists(StoreError):
    """There is an object of that name, and it must not be overwritten."""


@dataclass(frozen=True)
class StoredObject:
    """What HEAD tells; `etag` is lower case, without quotes."""

    size_bytes: int
    etag: str
    is_appendable: bool = False
    has_md5_etag: bool = True  # not so where the store encrypts with a customer's key


@dataclass(frozen=True)
class PendingUpload:
    """A multipart upload that is neither completed nor aborted."""

    key: str
    upload_id: str
    initiated: datetime.datetime


class Store(Protocol):
    """One bucket."""

    async def create_upload(self, key: str, content_type: str, content_encoding: str | None) -> str:
        """Begin a multipart upload; its id."""

    async def list_parts(self, key: str, upload_id: str) -> list[Part]:
        """All stored parts, by number, of the same number the newest first; UploadGone."""

    async def complete_upload(self, key: str, upload_id: str, parts: Sequence[Part]) -> None:
        """Join the parts; UploadGone, PartsRefused, ObjectExists."""

    async def abort_upload(self, key: str, upload_id: str) -> None:
        """Drop the upload and its parts; harmless when it is gone."""

    async def head(self, key: str) -> StoredObject | None:
        """The object, if there is one."""


class BlockingStore(Protocol):
    """The same as plain calls, from any thread, and what only the clean-up asks."""

    def create_upload(self, key: str, content_type: str, content_encoding: str | None) -> str: ...

    def list_parts(self, key: str, upload_id: str) -> list[Part]: ...

    def complete_upload(self, key: str, upload_id: str, parts: Sequence[Part]) -> None: ...

    def abort_upload(self, key: str, upload_id: str) -> None: ...

    def head(self, key: str) -> StoredObject | None: ...

    def pending_uploads(self) -> list[PendingUpload]: ...

    def last_change(self, upload: PendingUpload) -> datetime.datetime: ...
