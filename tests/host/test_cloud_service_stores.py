"""The cloud service's calls of a store: errors told apart, many pages, threads, the clean-up."""

from __future__ import annotations

import asyncio
import base64
import datetime
import gzip
import random
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.host.cloud_fakes import DEVICE, PATH, BlockingMemory
from tools.cloud_service.cleanup import CleanUp
from tools.cloud_service.clients import PARALLEL_CALLS
from tools.cloud_service.config import OssConfig, S3Config
from tools.cloud_service.oss_store import OssStore
from tools.cloud_service.plan import Part
from tools.cloud_service.s3_store import S3Store
from tools.cloud_service.store import (
    PIECE_BYTES,
    BlockingStore,
    ObjectExists,
    PartsRefused,
    PendingUpload,
    StoreError,
    UploadGone,
)
from tools.cloud_service.threads import MAX_IN_HAND, Threads
from tools.services import free_port

PARTS = [Part(1, 5, "0" * 32), Part(2, 3, "1" * 32)]


class ScriptedStore:
    """An HTTP server that answers every request as told."""

    def __init__(self) -> None:
        self.status, self.body = 200, b""
        self.headers: dict[str, str] = {}
        self.missing_bytes = 0  # of the body, when the connection ends
        self.seen: list[tuple[str, str, bytes]] = []
        script = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                script.seen.append((self.command, self.path, self.rfile.read(length)))
                self.send_response(script.status)
                self.send_header("Content-Type", "application/xml")
                self.send_header("Content-Length", str(len(script.body) + script.missing_bytes))
                for header in script.headers.items():
                    self.send_header(*header)
                if self.command == "HEAD" and script.body:
                    error = base64.b64encode(script.body).decode()
                    self.send_header("x-oss-err", error)  # of OSS alone: HEAD has no body
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(script.body)
                self.close_connection = self.close_connection or script.missing_bytes > 0

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer

            def log_message(self, *_: object) -> None:
                """Nothing on the console."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_address[1]}"

    def fail(self, status: int, code: str) -> None:
        self.status = status
        self.body = (
            f'<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<Error><Code>{code}</Code><Message>told</Message></Error>"
        ).encode()


@pytest.fixture
def script() -> Iterator[ScriptedStore]:
    scripted = ScriptedStore()
    thread = threading.Thread(target=scripted.server.serve_forever, args=[0.01])
    thread.start()
    yield scripted
    scripted.server.shutdown()
    thread.join()
    scripted.server.server_close()


def s3(endpoint: str, **settings: Any) -> S3Store:
    keys = {"bucket": "cams", "access_key": "AK", "secret_key": "SK", "path_style": True}
    config = S3Config(**{"kind": "s3", "endpoint": endpoint, **keys, **settings})
    return S3Store(config, forbid_overwrite=True)


def oss(endpoint: str, **settings: Any) -> OssStore:
    keys = {"bucket": "cams", "access_key": "AK", "secret_key": "SK", "region": "cn-hangzhou"}
    config = OssConfig(**{"kind": "oss", "endpoint": endpoint, **keys, **settings})
    return OssStore(config, forbid_overwrite=True)


STORES: dict[str, Callable[..., BlockingStore]] = {"s3": s3, "oss": oss}


@pytest.fixture(params=sorted(STORES))
def store(request: pytest.FixtureRequest, script: ScriptedStore) -> BlockingStore:
    return STORES[request.param](script.endpoint)


@pytest.mark.parametrize(
    "status, code, expected",
    [
        (404, "NoSuchUpload", UploadGone),
        (400, "InvalidPart", PartsRefused),
        (400, "InvalidPartOrder", PartsRefused),
        (400, "EntityTooSmall", PartsRefused),
        (403, "AccessDenied", StoreError),
        (404, "NoSuchBucket", StoreError),
        (503, "SlowDown", StoreError),
    ],
)
def test_what_a_store_refuses_is_told_apart(
    store: BlockingStore, script: ScriptedStore, status: int, code: str, expected: type[StoreError]
) -> None:
    script.fail(status, code)
    with pytest.raises(StoreError) as caught:
        store.complete_upload(PATH, "id", PARTS)
    assert type(caught.value) is expected
    assert caught.value.code == code


@pytest.mark.parametrize(
    "kind, status, code", [("s3", 412, "PreconditionFailed"), ("oss", 409, "FileAlreadyExists")]
)
def test_an_object_that_is_there(script: ScriptedStore, kind: str, status: int, code: str) -> None:
    script.fail(status, code)
    with pytest.raises(ObjectExists):
        STORES[kind](script.endpoint).complete_upload(PATH, "id", PARTS)


def test_a_200_with_an_error_document_is_an_error(script: ScriptedStore) -> None:
    script.fail(200, "InternalError")
    with pytest.raises(StoreError, match="InternalError"):
        s3(script.endpoint).complete_upload(PATH, "id", PARTS)
    assert len(script.seen) == 2, "it was tried once more"


def test_the_parts_are_named_with_their_etags(script: ScriptedStore) -> None:
    script.body = b"<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>"
    s3(script.endpoint).complete_upload(PATH, "id", PARTS)
    ((method, address, body),) = script.seen
    assert (method, address.partition("?")[0]) == ("POST", f"/cams/{PATH}")
    for part in PARTS:
        assert f'"{part.etag}"'.encode() in body or f"&quot;{part.etag}&quot;".encode() in body


def test_aborting_what_is_gone_is_no_error(store: BlockingStore, script: ScriptedStore) -> None:
    script.fail(404, "NoSuchUpload")
    store.abort_upload(PATH, "id")
    script.fail(403, "AccessDenied")
    with pytest.raises(StoreError):
        store.abort_upload(PATH, "id")


def test_no_object_is_none_and_no_right_is_an_error(
    store: BlockingStore, script: ScriptedStore
) -> None:
    script.fail(404, "NoSuchKey")
    assert store.head(PATH) is None
    script.fail(403, "AccessDenied")
    with pytest.raises(StoreError):
        store.head(PATH)


@pytest.mark.parametrize("kind", sorted(STORES))
def test_a_store_that_is_not_there(kind: str) -> None:
    unreachable = STORES[kind](f"http://127.0.0.1:{free_port()}")
    with pytest.raises(StoreError):
        unreachable.head(PATH)


def read(store: BlockingStore, etag: str) -> bytes:
    pieces: list[bytes] = []
    store.read(PATH, etag, pieces.append)
    assert all(0 < len(piece) <= PIECE_BYTES for piece in pieces), "memory is bounded"
    return b"".join(pieces)


def test_an_object_is_read_as_it_is_stored(store: BlockingStore, script: ScriptedStore) -> None:
    script.body = gzip.compress(random.Random(4).randbytes(3 * PIECE_BYTES))
    script.headers = {"ETag": '"AB-1"', "Content-Encoding": "gzip"}
    assert read(store, "ab-1") == script.body
    ((method, address, _),) = script.seen
    assert (method, address.partition("?")[0].endswith(PATH)) == ("GET", True)


READS: dict[str, Callable[[ScriptedStore], None]] = {
    "another object by now": lambda script: script.headers.update(ETag='"cd-1"'),
    "no ETag": lambda script: script.headers.clear(),
    "cut short": lambda script: setattr(script, "missing_bytes", 1),
    "gone": lambda script: script.fail(404, "NoSuchKey"),
    "no right": lambda script: script.fail(403, "AccessDenied"),
}


@pytest.mark.parametrize("change", READS.values(), ids=READS.keys())
def test_an_object_that_cannot_be_read_whole_is_an_error(
    store: BlockingStore, script: ScriptedStore, change: Callable[[ScriptedStore], None]
) -> None:
    script.body, script.headers = b"x" * 1000, {"ETag": '"ab-1"'}
    change(script)
    with pytest.raises(StoreError):
        read(store, "ab-1")


def test_a_reading_may_be_ended_at_any_piece(store: BlockingStore, script: ScriptedStore) -> None:
    class Enough(StoreError):
        pass

    def take(piece: bytes) -> None:
        taken.append(len(piece))
        if len(taken) == 2:
            raise Enough("TooSlow", "it is enough")

    taken: list[int] = []
    script.body, script.headers = bytes(8 * PIECE_BYTES), {"ETag": '"ab-1"'}
    with pytest.raises(Enough):
        store.read(PATH, "ab-1", take)
    assert len(taken) == 2
    assert read(store, "ab-1") == script.body, "the next one is not disturbed"


def test_the_service_has_its_own_way_to_the_store(script: ScriptedStore) -> None:
    script.fail(404, "NoSuchKey")
    for kind in STORES.values():
        store = kind("http://store.invalid:9", service_endpoint=script.endpoint)
        assert store.head(PATH) is None


# ---- threads


class SlowStore:
    """HEAD waits until it is let go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.most_at_once = self._at_once = 0
        self._lock = threading.Lock()

    def head(self, key: str) -> None:
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        assert self.go.wait(30)
        with self._lock:
            self._at_once -= 1


async def test_a_store_that_hangs_has_so_many_calls_in_hand_and_no_more() -> None:
    slow, noted = SlowStore(), []
    threads = Threads(lambda *call: noted.append(call))
    waiting = [
        asyncio.ensure_future(threads.call("head", slow.head, PATH)) for _ in range(MAX_IN_HAND)
    ]
    await asyncio.sleep(0)  # they have all begun
    with pytest.raises(StoreError, match="Busy"):
        await threads.call("head", slow.head, PATH)
    slow.go.set()
    assert await asyncio.gather(*waiting) == [None] * MAX_IN_HAND
    assert slow.most_at_once <= PARALLEL_CALLS
    assert await threads.call("head", slow.head, PATH) is None, "there is room again"
    assert [call[0] for call in noted] == ["head"] * (MAX_IN_HAND + 1)
    assert all(seconds >= 0 and error is None for _, seconds, error in noted)


async def test_failed_calls_are_noted_with_the_stores_word() -> None:
    noted: list[Any] = []
    memory = BlockingMemory({}, failure=StoreError("SlowDown", "later"))
    threads = Threads(lambda *call: noted.append(call))
    with pytest.raises(StoreError):
        await threads.call("list_uploads", memory.pending_uploads)
    ((name, _, error),) = noted
    assert (name, error) == ("list_uploads", "SlowDown")


# ---- the clean-up

NOON = datetime.datetime(2025, 7, 11, 12, tzinfo=datetime.timezone.utc)


def hours(count: float) -> datetime.datetime:
    """So long before noon."""
    return NOON - datetime.timedelta(hours=count)


def clean_up(store: BlockingMemory, aborts: list[None] | None = None) -> CleanUp:
    noted = aborts if aborts is not None else []
    threads = Threads(lambda *_: None)
    return CleanUp(store, threads, [DEVICE], 24, lambda: noted.append(None))


async def test_only_uploads_of_listed_devices_that_nobody_goes_on_with_are_dropped() -> None:
    uploads = {
        PendingUpload(f"{DEVICE}/old.ts", "old", hours(25)): hours(25),
        PendingUpload(f"{DEVICE}/slow.ts", "slow", hours(90)): hours(1),
        PendingUpload(f"{DEVICE}/idle.ts", "idle", hours(90)): hours(24.1),
        PendingUpload(f"{DEVICE}/new.ts", "new", hours(23)): hours(23),
        PendingUpload(f"{DEVICE}2/a.ts", "another's", hours(90)): hours(90),
        PendingUpload("backups/a.tar", "nobody's", hours(90)): hours(90),
    }
    aborts: list[None] = []
    store = BlockingMemory(uploads)
    assert await clean_up(store, aborts).once(NOON) == 2
    assert store.aborted == ["old", "idle"]
    assert len(aborts) == 2


async def test_two_processes_may_clean_up_at_once() -> None:
    class Raced(BlockingMemory):
        def last_change(self, upload: PendingUpload) -> datetime.datetime:
            raise UploadGone("NoSuchUpload", "the other one was quicker")

    upload = PendingUpload(f"{DEVICE}/old.ts", "old", hours(25))
    store = Raced({upload: hours(25)})
    assert await clean_up(store).once(NOON) == 0
    assert store.aborted == []


async def test_a_clean_up_that_fails_is_tried_again() -> None:
    class Counting(BlockingMemory):
        looked = 0

        def pending_uploads(self) -> list[PendingUpload]:
            self.looked += 1
            if self.looked == 1:
                raise StoreError("SlowDown", "later")
            enough.set()
            return []

    enough = threading.Event()
    store = Counting({})
    threads = Threads(lambda *_: None)
    task = asyncio.ensure_future(CleanUp(store, threads, [DEVICE], 1e-9, lambda: None).run())
    assert await asyncio.to_thread(enough.wait, 30)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
