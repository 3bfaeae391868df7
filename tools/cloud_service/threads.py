"""Calls that block, made in threads: so many at a time, and so many that wait.

Invariant: a store that hangs holds up those messages alone that need it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tools.cloud_service.clients import PARALLEL_CALLS
from tools.cloud_service.plan import Part
from tools.cloud_service.read_back import Observer, ReadBack
from tools.cloud_service.store import BlockingStore, StoredObject, StoreError

MAX_IN_HAND = 3 * PARALLEL_CALLS  # those that wait among them
_Result = TypeVar("_Result")


class Threads:
    """What all calls share."""

    def __init__(self, observe: Observer) -> None:
        self._observe = observe
        self._threads = ThreadPoolExecutor(PARALLEL_CALLS, thread_name_prefix="store")
        self._in_hand = 0

    async def call(
        self, name: str, function: Callable[..., _Result], *arguments: object
    ) -> _Result:
        """Run one call of the store in a thread; StoreError at once when too many wait."""
        if self._in_hand >= MAX_IN_HAND:
            raise StoreError("Busy", "too many calls wait for the store")
        loop = asyncio.get_running_loop()
        self._in_hand += 1
        started = loop.time()
        failure: str | None = "cancelled"
        try:
            result = await loop.run_in_executor(self._threads, function, *arguments)
            failure = None
            return result
        except StoreError as error:
            failure = error.code
            raise
        finally:
            self._in_hand -= 1
            self._observe(name, loop.time() - started, failure)


class ThreadedStore:
    """A Store over a BlockingStore."""

    def __init__(self, store: BlockingStore, threads: Threads, read_back: ReadBack) -> None:
        self._store = store
        self._call = threads.call
        self._read_back = read_back

    async def create_upload(self, key: str, content_type: str, content_encoding: str | None) -> str:
        return await self._call(
            "create_upload", self._store.create_upload, key, content_type, content_encoding
        )

    async def list_parts(self, key: str, upload_id: str) -> list[Part]:
        return await self._call("list_parts", self._store.list_parts, key, upload_id)

    async def complete_upload(self, key: str, upload_id: str, parts: Sequence[Part]) -> None:
        await self._call("complete_upload", self._store.complete_upload, key, upload_id, parts)

    async def abort_upload(self, key: str, upload_id: str) -> None:
        await self._call("abort_upload", self._store.abort_upload, key, upload_id)

    async def head(self, key: str) -> StoredObject | None:
        return await self._call("head", self._store.head, key)

    async def md5(self, key: str, found: StoredObject) -> str:
        return await self._read_back.md5(key, found)
