"""What the service asks of an object store, and the errors it can tell apart.

Every call may be repeated: a lost answer never leaves more behind than an unfinished upload, which
the clean-up finds. Pure: no IO.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from tools.cloud_service.plan import Part


class StoreError(Exception):
    """The store did not do it; `code` is its own word for why. It may do it later."""

    def __init__(self, code: str, message: str, retry_after: int | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.retry_after = retry_after  # seconds, if that is known


class UploadGone(StoreError):
    """No such upload: completed, aborted, expired, or it never was."""


class PartsRefused(StoreError):
    """The store will never join these parts."""


class ObjectExists(StoreError):
    """There is an object of that name, and it must not be overwritten."""


_BY_CODE: dict[str, type[StoreError]] = {
    "NoSuchUpload": UploadGone,
    "InvalidPart": PartsRefused,
    "InvalidPartOrder": PartsRefused,
    "EntityTooSmall": PartsRefused,
    "EntityTooLarge": PartsRefused,
    "MalformedXML": PartsRefused,
    "PreconditionFailed": ObjectExists,  # of S3
    "FileAlreadyExists": ObjectExists,  # of OSS
}
PIECE_BYTES = 64 * 1024  # of an object that is read
# Why an object will not be read, however often it is tried: the service's keys have no right to it
# or to what it is encrypted with; it is archived.
UNREADABLE = frozenset({"AccessDenied", "InvalidObjectState"})


def refusal(code: str, message: str) -> StoreError:
    """What a store's own error code means, of S3 and of OSS."""
    return _BY_CODE.get(code, StoreError)(code, message)


def plain(etag: str) -> str:
    """An ETag as all of this compares it: lower case, without quotes."""
    return etag.strip('"').lower()


def check_unchanged(etag: str, now: str) -> None:
    """StoreError if an object's ETag is another by now."""
    if plain(now) != etag:
        raise StoreError("Changed", "it is another object by now")


@dataclass(frozen=True)
class StoredObject:
    """What HEAD tells; `etag` is plain."""

    size_bytes: int
    etag: str
    is_appendable: bool = False
    has_md5_etag: bool = True  # of the whole or, with a dash, of parts; see the stores for when not


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

    async def md5(self, key: str, found: StoredObject) -> str:
        """The MD5 in hex of the object's bytes, of which `found` was told: all of them are read."""


class PendingUploads(Protocol):
    """What the clean-up asks, as plain calls from any thread."""

    def pending_uploads(self) -> list[PendingUpload]: ...

    def last_change(self, upload: PendingUpload) -> datetime.datetime: ...

    def abort_upload(self, key: str, upload_id: str) -> None: ...


class BlockingStore(PendingUploads, Protocol):
    """The same for all that is asked of a store."""

    def create_upload(self, key: str, content_type: str, content_encoding: str | None) -> str: ...

    def list_parts(self, key: str, upload_id: str) -> list[Part]: ...

    def complete_upload(self, key: str, upload_id: str, parts: Sequence[Part]) -> None: ...

    def head(self, key: str) -> StoredObject | None: ...

    def read(self, key: str, etag: str, take: Callable[[bytes], None]) -> None:
        """Hand over the bytes as they are stored, piece by piece, if the ETag is still that one.

        What `take` raises ends it.
        """
