"""Objects read back for their MD5: what is told of them, and what they cost everybody else."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import pytest

from tests.host.cloud_fakes import PATH, BlockingMemory
from tools.cloud_service.clients import PARALLEL_READS
from tools.cloud_service.plan import Part
from tools.cloud_service.read_back import (
    KEPT_SEC,
    LONGEST_SEC,
    MAX_IN_HAND,
    MAX_WAITING,
    ReadBack,
)
from tools.cloud_service.store import StoredObject, StoreError
from tools.cloud_service.threads import ThreadedStore, Threads

PIECES = [b"a" * 1000, b"b" * 1000, b"c" * 48]
SIZE = 2048
MD5 = hashlib.md5(b"".join(PIECES)).hexdigest()
FOUND = StoredObject(SIZE, "e", has_md5_etag=False)
PATIENCE_SEC = 30.0


class Shelf:
    """A store that hands over `pieces`, and after `held_from` of them waits to be let go on."""

    def __init__(self) -> None:
        self.pieces: Iterable[bytes] = list(PIECES)
        self.held_from: int | None = None
        self.reads: list[tuple[str, str]] = []
        self.most_at_once = self._at_once = 0
        self.go, self.held = threading.Event(), threading.Semaphore(0)
        self._lock = threading.Lock()
        self.before_piece: Callable[[], None] = lambda: None
        self.failure: StoreError | None = None

    def read(self, key: str, etag: str, take: Callable[[bytes], None]) -> None:
        with self._lock:
            self.reads.append((key, etag))
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            for number, piece in enumerate(self.pieces):
                if number == self.held_from:
                    self.held.release()
                    assert self.go.wait(PATIENCE_SEC)
                self.before_piece()
                take(piece)
            if self.failure:
                raise self.failure
        finally:
            with self._lock:
                self._at_once -= 1

    async def wait_until_held(self, count: int = 1) -> None:
        for _ in range(count):
            assert await asyncio.to_thread(self.held.acquire, timeout=PATIENCE_SEC)


class Bench:
    """A reader of the shelf, with a clock that can be set."""

    def __init__(self) -> None:
        self.shelf, self.now = Shelf(), 1000.0
        self.noted: list[Any] = []
        self.ended = asyncio.Event()
        self.counted: list[int] = []
        self.patient, self.hasty = self.reader(PATIENCE_SEC), self.reader(0)

    def reader(self, wait_sec: float) -> ReadBack:
        return ReadBack(
            self.shelf.read,
            self.note,
            self.counted.append,
            wait_sec,
            lambda: self.now,
        )

    def note(self, *call: Any) -> None:
        self.noted.append(call)
        self.ended.set()

    def close(self) -> None:
        self.shelf.go.set()
        self.patient.stop()
        self.hasty.stop()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    yield made
    made.close()


async def failure_of(reading: Any) -> StoreError:
    with pytest.raises(StoreError) as caught:
        await reading
    return caught.value


async def test_the_md5_is_that_of_the_bytes_and_they_are_counted(bench: Bench) -> None:
    assert await bench.patient.md5(PATH, FOUND) == MD5
    assert bench.shelf.reads == [(PATH, "e")]
    assert bench.counted == [SIZE]
    assert bench.noted == [("read_back", 0, None)]


async def test_what_was_found_is_kept_for_that_version_and_a_while(bench: Bench) -> None:
    assert await bench.patient.md5(PATH, FOUND) == MD5
    bench.now += KEPT_SEC
    assert await bench.patient.md5(PATH, FOUND) == MD5
    assert len(bench.shelf.reads) == 1, "an answer that was lost costs nothing"
    bench.shelf.pieces = [b"x" * 1000, *PIECES[1:]]
    replaced = StoredObject(SIZE, "f", has_md5_etag=False)
    assert await bench.patient.md5(PATH, replaced) != MD5, "another version is read"
    bench.now += 1
    assert await bench.patient.md5(PATH, FOUND) != MD5, "and in the end the same is"
    assert len(bench.shelf.reads) == 3


async def test_all_who_ask_share_one_reading(bench: Bench) -> None:
    bench.shelf.held_from = 0
    asked = [asyncio.ensure_future(bench.patient.md5(PATH, FOUND)) for _ in range(3)]
    await bench.shelf.wait_until_held()
    bench.shelf.go.set()
    assert await asyncio.gather(*asked) == [MD5] * 3
    assert len(bench.shelf.reads) == 1


async def test_who_asks_does_not_wait_for_ever_and_is_answered_later(bench: Bench) -> None:
    bench.shelf.held_from = 1
    assert (await failure_of(bench.hasty.md5(PATH, FOUND))).code == "Reading"
    await bench.shelf.wait_until_held()
    bench.now += 100
    told = await failure_of(bench.hasty.md5(PATH, FOUND))
    assert told.retry_after == 106, "1000 bytes took 100 s, there are 1048 more"
    bench.shelf.go.set()
    await asyncio.wait_for(bench.ended.wait(), PATIENCE_SEC)
    assert await bench.hasty.md5(PATH, FOUND) == MD5
    assert len(bench.shelf.reads) == 1


async def test_so_many_are_read_at_a_time_and_no_call_waits_for_them(bench: Bench) -> None:
    class Store(BlockingMemory):
        def create_upload(self, key: str, content_type: str, encoding: str | None) -> str:
            return "id"

        def list_parts(self, key: str, upload_id: str) -> list[Part]:
            return []

        def complete_upload(self, key: str, upload_id: str, parts: Any) -> None:
            pass

        def head(self, key: str) -> StoredObject | None:
            return FOUND

        read = bench.shelf.read

    bench.shelf.held_from = 0
    store = ThreadedStore(Store({}), Threads(lambda *_: None), bench.patient)
    asked = [
        asyncio.ensure_future(store.md5(f"{PATH}{number}", FOUND)) for number in range(MAX_WAITING)
    ]
    await bench.shelf.wait_until_held(PARALLEL_READS)
    assert await asyncio.wait_for(store.head(PATH), PATIENCE_SEC) == FOUND
    told = await failure_of(store.md5(PATH, FOUND))
    assert (told.code, told.retry_after) == ("Busy", 30)
    bench.shelf.go.set()
    assert await asyncio.gather(*asked) == [MD5] * MAX_WAITING
    assert bench.shelf.most_at_once == PARALLEL_READS
    assert await store.md5(PATH, FOUND) == MD5, "there is room again"


async def test_only_so_many_readings_that_nobody_waits_for_are_in_hand(bench: Bench) -> None:
    bench.shelf.held_from = 0
    for number in range(MAX_IN_HAND):
        told = await failure_of(bench.hasty.md5(f"{PATH}{number}", FOUND))
        assert (told.code, told.retry_after) == ("Reading", 30), "nobody knows yet how long"
    assert (await failure_of(bench.hasty.md5(PATH, FOUND))).code == "Busy"
    told = await failure_of(bench.hasty.md5(f"{PATH}0", FOUND))
    assert told.code == "Reading", "that one is under way already"


BOUNDS: dict[str, tuple[Callable[[Bench], None], str]] = {
    "more bytes than it has": (
        lambda bench: setattr(bench.shelf, "pieces", [*PIECES, b"d"]),
        "Changed",
    ),
    "fewer bytes than it has": (
        lambda bench: setattr(bench.shelf, "pieces", PIECES[:2]),
        "Changed",
    ),
    "none of its bytes": (
        lambda bench: setattr(bench.shelf, "pieces", []),
        "Changed",
    ),
    "never ending": (
        lambda bench: setattr(bench.shelf, "pieces", itertools.repeat(b"d" * 512)),
        "Changed",
    ),
    "too slow": (
        lambda bench: setattr(
            bench.shelf, "before_piece", lambda: setattr(bench, "now", bench.now + LONGEST_SEC / 2)
        ),
        "TooSlow",
    ),
    "the service ends": (
        lambda bench: setattr(bench.shelf, "before_piece", bench.patient.stop),
        "Stopped",
    ),
    "the store fails": (
        lambda bench: setattr(bench.shelf, "failure", StoreError("InternalError", "later")),
        "InternalError",
    ),
}


@pytest.mark.parametrize("change, code", BOUNDS.values(), ids=BOUNDS.keys())
async def test_a_reading_is_bounded_and_a_failed_one_is_not_kept(
    bench: Bench, change: Callable[[Bench], None], code: str
) -> None:
    change(bench)
    assert (await failure_of(bench.patient.md5(PATH, FOUND))).code == code
    assert [call[::2] for call in bench.noted] == [("read_back", code)]
    assert sum(bench.counted) <= SIZE + 512
    if code == "Stopped":
        assert (await failure_of(bench.patient.md5(PATH, FOUND))).code == code
    else:
        bench.shelf.pieces, bench.shelf.failure = list(PIECES), None
        bench.shelf.before_piece = lambda: None
        assert await bench.patient.md5(PATH, FOUND) == MD5


async def test_a_failure_that_nobody_waits_for_is_in_the_figures(bench: Bench) -> None:
    complaints: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: complaints.append(what))
    bench.shelf.failure = StoreError("SlowDown", "later")
    assert (await failure_of(bench.hasty.md5(PATH, FOUND))).code == "Reading"
    await asyncio.wait_for(bench.ended.wait(), PATIENCE_SEC)
    gc.collect()
    assert [call[::2] for call in bench.noted] == [("read_back", "SlowDown")]
    assert complaints == []
