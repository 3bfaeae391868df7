"""Uploads that go as they should, and what is refused before a byte is sent."""

import asyncio
import gc
import os
from binascii import b2a_base64, hexlify

import firmware.clip_reader
from firmware.oss_uploader import Outcome
from firmware.upload_error import NEVER, RENEW, RETRY, UploadError
from harness import eq, tmp_dir
from protocol_error import ProtocolError
from tasks.camera_upload import (
    CHUNK_BYTES,
    Camera,
    ack,
    clip,
    file_md5,
    grant,
    job_for,
    try_upload,
)
from tasks.fake_store import FakeStore


async def accept(exchange):
    await exchange.accept()


def md5_hex(path):
    return hexlify(file_md5(path)).decode()


async def test_stored_bytes_equal_the_file():
    for size_bytes in (0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 9 * CHUNK_BYTES, 99999):
        job = clip(size_bytes)
        outcome, store, _ = await try_upload(accept, job)
        assert isinstance(outcome, Outcome), "%d bytes: %s" % (size_bytes, outcome)
        eq(store.exchanges[0].md5, md5_hex(job.path))
        eq(outcome.size_bytes, size_bytes)
        eq(outcome.etag, '"%s"' % md5_hex(job.path))
        eq(outcome.md5, file_md5(job.path))
        eq(outcome.cloud_path, "a/b.ts")
        eq(outcome.cloud_url, "http://127.0.0.1:%d/cams/a/b.ts" % store.port)


async def test_request_head_is_exact():
    headers = (("x-oss-storage-class", "Standard"), ("X-Amz-Meta-Note", "a  b;c=\u00fc"))
    _, store, _ = await try_upload(accept, clip(10), {"extra_headers": headers})
    expected = (
        "PUT /cams/a/b.ts?X-Signature=secret HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
        "Content-Length: 10\r\nConnection: close\r\nContent-Type: video/mp2t\r\n"
        "x-oss-storage-class: Standard\r\nX-Amz-Meta-Note: a  b;c=\u00fc\r\n\r\n"
    ) % store.port
    eq(store.exchanges[0].head, expected.encode())


async def test_no_content_type_unless_the_cloud_names_one():
    _, store, _ = await try_upload(accept, clip(1), {"content_type": None})
    assert b"ontent-" in store.exchanges[0].head and b"ype" not in store.exchanges[0].head


async def test_header_named_twice_goes_once():
    headers = (("content-type", "video/mp2t"), ("content-length", "1"))
    _, store, _ = await try_upload(accept, clip(1), {"extra_headers": headers})
    eq(store.exchanges[0].head.lower().count(b"content-type"), 1)
    eq(store.exchanges[0].head.lower().count(b"content-length"), 1)


async def test_post_if_the_cloud_says_so():
    outcome, store, _ = await try_upload(accept, clip(5), {"method": "POST"})
    assert isinstance(outcome, Outcome), outcome
    assert store.exchanges[0].head.startswith(b"POST /cams/")


async def test_etag_forms_that_prove_the_bytes():
    job = clip(20000)
    md5 = md5_hex(job.path)
    for etag in ('"%s"' % md5, md5, '"%s"' % md5.upper(), 'W/"%s"' % md5):

        async def answer(exchange, etag=etag):
            await exchange.accept(b"201 Created", etag)

        outcome, _, _ = await try_upload(answer, job)
        assert isinstance(outcome, Outcome), "%s: %s" % (etag, outcome)


async def test_verified_content_md5_proves_the_bytes():
    job = clip(20000)
    named = b2a_base64(file_md5(job.path)).decode().strip()

    async def answer(exchange):
        await exchange.accept(etag="")

    outcome, _, _ = await try_upload(answer, job, {"extra_headers": (("Content-MD5", named),)})
    assert isinstance(outcome, Outcome), outcome
    eq(outcome.etag, None)


async def test_answers_that_prove_nothing():
    for etag in ("", '"0123456789abcdef0123456789abcdef"', '"0123456789abcdef0123456789abcdef-3"'):

        async def answer(exchange, etag=etag):
            await exchange.accept(etag=etag)

        error, _, _ = await try_upload(answer, clip(30000))
        eq((error.code, error.retry), ("INTEGRITY", RETRY), etag)


async def test_wrong_content_md5_is_no_proof():
    async def answer(exchange):
        await exchange.accept(etag="")

    headers = (("Content-MD5", "1B2M2Y8AsgTpgAmY7PhCfg=="),)
    error, _, _ = await try_upload(answer, clip(10), {"extra_headers": headers})
    eq(error.code, "INTEGRITY")


async def test_progress_and_start_are_told():
    job = clip(40 * CHUNK_BYTES + 5)
    _, _, camera = await try_upload(accept, job)
    eq(camera.started, [(job, camera.reply)])
    sent = [told[1] for told in camera.progress]
    eq(sent, [4 * CHUNK_BYTES * turn for turn in range(1, 11)] + [job.size_bytes])
    assert all(told[0] is job and told[2] == job.size_bytes for told in camera.progress)
    _, _, camera = await try_upload(accept, job, progress_ms=1 << 28)
    eq([told[1] for told in camera.progress], [job.size_bytes])


async def test_others_get_their_turn_every_four_chunks():
    turns = 0

    async def count():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep_ms(0)

    store = await FakeStore(accept).start()
    counter = asyncio.create_task(count())
    camera = Camera(grant(store.port))
    await camera.upload(clip(80 * CHUNK_BYTES))
    counter.cancel()
    await store.stop()
    assert turns >= 20, turns


async def test_two_slots_at_once():
    store = await FakeStore(accept).start()
    camera = Camera(grant(store.port), slots=2)
    jobs = (clip(300000), clip(200001))
    uploads = [camera.uploader.upload(job, slot) for slot, job in enumerate(jobs)]
    outcomes = await asyncio.gather(*uploads)
    await store.stop()
    eq([o.md5 for o in outcomes], [file_md5(job.path) for job in jobs])


class MemoryStream:
    """A stream that takes everything and answers when all is there."""

    def __init__(self, etag):
        # Bound once, as a real stream's are: a method looked up is a new object every time.
        self.write_now = self._take
        self._answer = b'HTTP/1.1 200 OK\r\nETag: "%s"\r\nContent-Length: 0\r\n\r\n' % etag

    def expire_in(self, lifetime_ms):
        self.lifetime_ms = lifetime_ms

    def _take(self, buf, start=0, n=CHUNK_BYTES):
        return n

    def read_now(self, buf):
        return None

    async def write(self, buf, n, timeout_ms):
        self.timeout_ms = timeout_ms

    async def readinto(self, buf, timeout_ms):
        buf[: len(self._answer)] = self._answer
        return len(self._answer)

    def close(self):
        del self.write_now


async def _heap_used(chunks, in_parts=False):
    job = clip(chunks * CHUNK_BYTES)
    etag = md5_hex(job.path).encode()
    given = grant(1)
    if in_parts:
        part = {"parts": ((1, given.upload_url),), "part_size": job.size_bytes}
        given = grant(1, mode="multipart", upload_id="u", requires_complete=True, **part)
    camera = Camera(given, progress_ms=1 << 28, acks=[ack()])

    async def open_stream(host, port, tls):
        return MemoryStream(etag)

    camera.uploader.open_stream = open_stream
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    outcome = await camera.uploader.upload(job, 0)
    used = gc.mem_alloc() - before
    gc.enable()
    assert isinstance(outcome, Outcome), outcome
    return used


async def test_chunks_allocate_nothing():
    for in_parts in (False, True):
        await _heap_used(2, in_parts)
        few, many = await _heap_used(10, in_parts), await _heap_used(200, in_parts)
        # Numbers beyond 30 bits and the file's own object may cost a block; 190 chunks may not.
        assert abs(many - few) < 190, "%d bytes for 10 chunks, %d for 200" % (few, many)


async def _refused(changes, code, **options):
    """The error for a grant that must not lead to a connection."""
    error, store, camera = await try_upload(accept, clip(10), changes, **options)
    eq(error.code, code, str(changes))
    eq((store.exchanges, camera.started), ([], []), str(changes))
    return error


async def test_unusable_grants():
    for changes in (
        {"method": "DELETE"},
        {"method": "put"},
        {"upload_url": "ftp://127.0.0.1/x"},
        {"upload_url": "http://127.0.0.1:0/x"},
        {"upload_url": "http://user@127.0.0.1/x"},
        {"upload_url": "http://127.0.0.1/a b"},
        {"upload_url": "http://127.0.0.1/x\r\nX-Evil: 1"},
        {"upload_url": "http://127.0.0.1/" + 5000 * "x"},
        {"content_type": "video/mp2t\r\nX-Evil: 1"},
        {"extra_headers": (("x-a", "1\r\n\r\nGET / HTTP/1.1"),)},
        {"extra_headers": (("x-a\r\nx-b", "1"),)},
        {"extra_headers": (("x a", "1"),)},
        {"extra_headers": (("", "1"),)},
        {"extra_headers": (("Transfer-Encoding", "chunked"),)},
        {"extra_headers": (("Expect", "100-continue"),)},
        {"extra_headers": (("Host", "elsewhere"),)},
        {"extra_headers": (("Content-Length", "11"),)},
        {"extra_headers": (("Content-Type", "text/plain"),)},
        {"extra_headers": (("x-a", 8192 * "1"),)},
    ):
        await _refused(changes, "BAD_RESPONSE")


async def test_plain_http_only_if_allowed():
    error = await _refused({}, "BAD_RESPONSE", allow_insecure=False)
    assert "TLS" in error.message


async def test_url_expiry_is_judged_by_the_cloud_clock():
    expired = {"expires_at": 1000, "server_time": 1000}
    error = await _refused(expired, "URL_EXPIRED", unix_time=lambda: 1)
    eq(error.retry, RENEW)
    fresh = {"expires_at": 1000, "server_time": 500}
    outcome, _, _ = await try_upload(accept, clip(1), fresh, unix_time=lambda: 9999)
    assert isinstance(outcome, Outcome), outcome


async def test_url_expiry_is_judged_by_the_own_clock_if_need_be():
    await _refused({"expires_at": 1000}, "URL_EXPIRED", unix_time=lambda: 2000)
    outcome, _, _ = await try_upload(accept, clip(1), {"expires_at": 1000})
    assert isinstance(outcome, Outcome), "unknown time must not stop an upload: %s" % outcome


async def test_failures_of_the_request():
    for reply, code in (
        (asyncio.TimeoutError(), "NO_RESPONSE"),
        (OSError(104), "MQTT_UNAVAILABLE"),
        (ProtocolError("not JSON"), "BAD_RESPONSE"),
        (UploadError("UNAUTHORIZED", "Device not authorized"), "UNAUTHORIZED"),
    ):
        error = await Camera(reply).upload(clip(1))
        eq(error.code, code)


async def _file_error(job):
    """The error for a job that is wrong before a URL is asked for."""
    camera = Camera(AssertionError("asked for a URL"))
    try:
        return await camera.uploader.upload(job, 0)
    except UploadError as error:
        return error


async def test_missing_file():
    error = await _file_error(job_for(tmp_dir() + "/m0000002.ts", 1))
    eq((error.code, error.retry), ("FILE_MISSING", NEVER))


async def test_file_of_another_length():
    job = clip(100)
    for size_bytes in (99, 101):
        error = await _file_error(job_for(job.path, size_bytes))
        eq((error.code, error.retry), ("FILE_CHANGED", NEVER))


async def test_corrupt_file_is_never_stored():
    for size_bytes in (10, 30000):
        job = clip(size_bytes, md5=16 * b"\0")
        error, store, _ = await try_upload(accept, job)
        eq((error.code, error.retry), ("LOCAL_CORRUPT", NEVER))
        assert store.exchanges[0].received_bytes < size_bytes, "the whole body was sent"


async def test_known_md5_that_agrees():
    job = clip(30000)
    job.md5 = file_md5(job.path)
    outcome, _, _ = await try_upload(accept, job)
    assert isinstance(outcome, Outcome), outcome


async def test_file_that_changes_under_way():
    for new_size in (CHUNK_BYTES, 3 * CHUNK_BYTES + 1, 5 * CHUNK_BYTES):
        job = clip(4 * CHUNK_BYTES)

        def change(job, told_grant, new_size=new_size):
            with open(job.path, "wb") as file:
                file.write(bytes(new_size))

        store = await FakeStore(accept).start()
        camera = Camera(grant(store.port))
        camera.uploader.on_started = change
        try:
            await camera.uploader.upload(job, 0)
            raise AssertionError("%d bytes instead of %d" % (new_size, job.size_bytes))
        except UploadError as error:
            eq(error.code, "FILE_CHANGED")
        await store.stop()


class FailingCard:
    """A file that gives EIO from the nth read on, or at once."""

    def __init__(self, reads):
        self.reads = reads
        self.is_closed = False

    def readinto(self, view):
        if not self.reads:
            raise OSError(5)
        self.reads -= 1
        return len(view)

    def close(self):
        self.is_closed = True
        raise OSError(5)


async def test_card_errors():
    module = firmware.clip_reader
    for reads in (0, 2, 9):
        card = FailingCard(reads)
        module.open = lambda path, mode, card=card: card
        try:
            error, _, _ = await try_upload(accept, clip(9 * CHUNK_BYTES + 1))
        finally:
            del module.open
        eq((error.code, error.retry, card.is_closed), ("CARD_ERROR", RETRY, True))


async def test_unreadable_path():
    folder = tmp_dir()
    job = job_for(folder, os.stat(folder)[6])
    error, _, _ = await try_upload(accept, job)
    eq(error.code, "CARD_ERROR")
