"""Whole objects, read for their MD5 where the store tells none that could be compared.

So many at a time, in threads of their own, each in bounded memory and time. Whoever asks waits no
longer than a camera does; the reading goes on, for all who ask, and what it found is kept for a
while: so a camera that asks again is answered, and an object is not read twice for one.
Invariant: what is returned is the MD5 of the bytes that the store sent, all that one version of the
object has.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tools.cloud_service.clients import PARALLEL_READS
from tools.cloud_service.store import StoredObject, StoreError

MAX_WAITING = 32  # messages
MAX_IN_HAND = 32  # objects, those that wait for a thread among them
LONGEST_SEC = 600.0  # 2 GiB at 3.6 MB a second
KEPT_SEC = 900.0
WAIT_SEC = 25.0  # a camera waits for 30 s, unless it is configured otherwise
_MOST_KEPT = 1000
_RETRY_SEC = 30

# told of every call: its name, how long it took, and the store's word if it failed
Observer = Callable[[str, float, "str | None"], None]
# as BlockingStore.read
Read = Callable[[str, str, Callable[[bytes], None]], None]
_Version = tuple[str, str, int]


class _Reading:
    """One version of an object: fed in a thread, looked at from outside."""

    def __init__(self, size_bytes: int, stopped: threading.Event, clock: Callable[[], float]):
        self._size_bytes = size_bytes
        self._stopped = stopped
        self._clock = clock
        self._digest = hashlib.md5(usedforsecurity=False)
        self._started = 0.0
        self.read_bytes = 0

    def run(self, read: Read, key: str, etag: str) -> str:
        self._started = self._clock()
        read(key, etag, self._take)
        if self.read_bytes < self._size_bytes:
            raise StoreError("Changed", f"there are only {self.read_bytes} bytes")
        return self._digest.hexdigest()

    def _take(self, piece: bytes) -> None:
        self._digest.update(piece)
        self.read_bytes += len(piece)
        if self.read_bytes > self._size_bytes:
            raise StoreError("Changed", f"there are more than {self._size_bytes} bytes")
        if self._clock() - self._started > LONGEST_SEC:
            raise StoreError("TooSlow", f"{self.read_bytes} bytes in {LONGEST_SEC:.0f} s")
        if self._stopped.is_set():
            raise StoreError("Stopped", "the service ends")

    def rest_sec(self) -> int:
        """How long it will take yet, if it goes on like that."""
        if not self.read_bytes:
            return _RETRY_SEC
        sec_per_byte = (self._clock() - self._started) / self.read_bytes
        rest_sec = (self._size_bytes - self.read_bytes) * sec_per_byte
        return math.ceil(min(LONGEST_SEC, rest_sec)) + 1


class ReadBack:
    """MD5s of objects; `count` is told how many bytes were read, `clock` is monotonic."""

    def __init__(
        self,
        read: Read,
        observe: Observer,
        count: Callable[[int], None],
        wait_sec: float = WAIT_SEC,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._observe = observe
        self._count = count
        self._wait_sec = wait_sec
        self._clock = clock
        self._threads = ThreadPoolExecutor(PARALLEL_READS, thread_name_prefix="read-back")
        self._stopped = threading.Event()
        self._running: dict[_Version, tuple[_Reading, asyncio.Task[str]]] = {}
        self._kept: dict[_Version, tuple[float, str]] = {}  # the oldest first
        self._waiting = 0

    async def md5(self, key: str, found: StoredObject) -> str:
        """As Store.md5; a StoreError with `retry_after` while the object is still being read."""
        version = key, found.etag, found.size_bytes
        self._forget()
        if version in self._kept:
            return self._kept[version][1]
        if self._waiting >= MAX_WAITING:
            raise StoreError("Busy", "too many wait for objects to be read", _RETRY_SEC)
        reading, task = self._running.get(version) or self._begin(version)
        self._waiting += 1
        try:
            await asyncio.wait([task], timeout=self._wait_sec)
        finally:
            self._waiting -= 1
        if not task.done():
            raise StoreError("Reading", "the object is still being read", reading.rest_sec())
        return task.result()

    def stop(self) -> None:
        """End all readings, so that no thread keeps the process."""
        self._stopped.set()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _begin(self, version: _Version) -> tuple[_Reading, asyncio.Task[str]]:
        if self._stopped.is_set():
            raise StoreError("Stopped", "the service ends")
        if len(self._running) >= MAX_IN_HAND:
            raise StoreError("Busy", "too many objects are to be read", _RETRY_SEC)
        reading = _Reading(version[2], self._stopped, self._clock)
        task = asyncio.ensure_future(self._run(version, reading))
        task.add_done_callback(_seen)
        self._running[version] = reading, task
        return reading, task

    async def _run(self, version: _Version, reading: _Reading) -> str:
        key, etag, _ = version
        loop = asyncio.get_running_loop()
        started = self._clock()
        failure: str | None = "cancelled"
        try:
            md5 = await loop.run_in_executor(self._threads, reading.run, self._read, key, etag)
            failure = None
            self._kept[version] = self._clock(), md5
            return md5
        except StoreError as error:
            failure = error.code
            raise
        finally:
            del self._running[version]
            self._count(reading.read_bytes)
            self._observe("read_back", self._clock() - started, failure)

    def _forget(self) -> None:
        since = self._clock() - KEPT_SEC
        while self._kept:
            oldest = next(iter(self._kept))
            if self._kept[oldest][0] >= since and len(self._kept) <= _MOST_KEPT:
                break
            del self._kept[oldest]


def _seen(task: asyncio.Task[str]) -> None:
    """Nobody may be left who waits for it: what became of it is in the figures."""
    if not task.cancelled():
        task.exception()
