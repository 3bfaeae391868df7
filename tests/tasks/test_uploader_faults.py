"""Stores that misbehave, networks that break: each ends in the right code, the file untouched.

`Camera.upload` checks with every upload that the file has kept its length, that
the connection was closed and that the URL's query shows nowhere.
"""

import asyncio

from firmware.oss_uploader import Outcome
from firmware.upload_error import NEVER, PAUSE, RENEW, RETRY
from harness import eq
from net_stream import TlsError
from tasks import tls_server
from tasks.camera_upload import CHUNK_BYTES, SECRET, Camera, clip, file_md5, grant, try_upload
from tasks.fake_store import FakeStore, free_port, listen

# More than the sockets of both sides take together, so that the body is still on its way.
LARGE_BYTES = 24000000
SMALL_BYTES = 20000

ERROR_DOCUMENT = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>%s</Code><Message>%s</Message>'
    b"<Resource>/cams/a/b.ts</Resource><RequestId>17</RequestId></Error>"
)


def response(status, code=b"", message=b"", headers=b""):
    body = ERROR_DOCUMENT % (code, message) if code else b""
    head = b"HTTP/1.1 %s\r\nContent-Length: %d\r\n%s\r\n" % (status, len(body), headers)
    return head + body


async def failure(behaviour, size_bytes=SMALL_BYTES, **options):
    error, _, _ = await try_upload(behaviour, clip(size_bytes), **options)
    assert not isinstance(error, Outcome), "taken for a success: %s" % (error,)
    return error


async def expect(behaviour, code, retry, size_bytes=SMALL_BYTES, **options):
    error = await failure(behaviour, size_bytes, **options)
    eq((error.code, error.retry), (code, retry), error.message)
    return error


def answering(data, read_bytes=1 << 40):
    """A behaviour: read so much of the body, answer with these bytes, close."""

    async def behaviour(exchange):
        await exchange.read_body(read_bytes)
        await exchange.send(data)

    return behaviour


def resetting(data, read_bytes):
    """The same, but the connection is reset right behind the answer."""

    async def behaviour(exchange):
        await exchange.read_body(read_bytes)
        if data:
            await exchange.send(data)
        exchange.reset_at_close()

    return behaviour


async def test_refusals_are_told_apart():
    for status, code, message, expected, retry in (
        (b"403 Forbidden", b"AccessDenied", b"Request has expired", "URL_EXPIRED", RENEW),
        (b"403 Forbidden", b"AccessDenied", b"Access Denied.", "ACCESS_DENIED", NEVER),
        (b"403 Forbidden", b"SignatureDoesNotMatch", b"...", "SIGNATURE_MISMATCH", NEVER),
        (b"403 Forbidden", b"RequestTimeTooSkewed", b"...", "CLOCK_SKEW", RETRY),
        (b"400 Bad Request", b"BadDigest", b"...", "INTEGRITY", RETRY),
        (b"404 Not Found", b"NoSuchBucket", b"...", "BAD_RESPONSE", RETRY),
        (b"429 Too Many Requests", b"", b"", "RATE_LIMITED", RETRY),
        (b"500 Internal Server Error", b"InternalError", b"...", "STORE_UNAVAILABLE", RETRY),
        (b"507 Insufficient Storage", b"XMinioStorageFull", b"...", "STORE_FULL", PAUSE),
        (b"307 Temporary Redirect", b"TemporaryRedirect", b"...", "BAD_RESPONSE", RETRY),
    ):
        await expect(answering(response(status, code, message)), expected, retry)


async def test_retry_after_is_passed_on():
    busy = response(b"503 Slow Down", b"SlowDown", b"...", b"Retry-After: 17\r\n")
    error = await expect(answering(busy), "RATE_LIMITED", RETRY)
    eq(error.retry_after_sec, 17)


async def test_refusal_in_mid_body_then_reset():
    denied = response(b"403 Forbidden", b"SignatureDoesNotMatch", b"...")
    error, store, _ = await try_upload(resetting(denied, 65536), clip(LARGE_BYTES))
    eq((error.code, error.retry), ("SIGNATURE_MISMATCH", NEVER), error.message)
    assert store.exchanges[0].received_bytes < LARGE_BYTES, "the whole body was sent"


async def test_refusal_in_mid_body_stops_the_body():
    async def refuse_and_read_on(exchange):
        await exchange.read_body(65536)
        await exchange.send(response(b"403 Forbidden", b"AccessDenied", b"Request has expired"))
        await exchange.read_body()

    error, store, camera = await try_upload(refuse_and_read_on, clip(LARGE_BYTES))
    eq(error.code, "URL_EXPIRED")
    assert store.exchanges[0].received_bytes < LARGE_BYTES, "the whole body was sent"


async def test_refusal_of_a_small_clip_then_reset():
    """Everything fits the sockets' buffers: the reset comes while the answer is waited for."""
    denied = response(b"403 Forbidden", b"AccessDenied", b"Request has expired")
    await expect(resetting(denied, 0), "URL_EXPIRED", RENEW)


async def test_refusal_without_a_body_then_reset():
    await expect(resetting(response(b"503 Service Unavailable"), 0), "STORE_UNAVAILABLE", RETRY)


def over_tls(**more):
    options = {"tls": tls_server.SERVER, "authorities": (tls_server.CA,)}
    options.update(more)
    return options


async def test_upload_over_tls():
    async def accept(exchange):
        await exchange.accept()

    job = clip(300001)
    outcome, store, _ = await try_upload(accept, job, allow_insecure=False, **over_tls())
    assert isinstance(outcome, Outcome), outcome
    eq(outcome.md5, file_md5(job.path))
    eq(outcome.cloud_url, "https://localhost:%d/cams/a/b.ts" % store.port)


async def test_refusal_in_mid_body_over_tls():
    """The store closes with bytes unread, so the next write finds the connection reset."""
    denied = response(b"403 Forbidden", b"SignatureDoesNotMatch", b"...")
    for read_bytes in (0, 65536):
        for size_bytes in (SMALL_BYTES, 2000000):
            await expect(
                answering(denied, read_bytes), "SIGNATURE_MISMATCH", NEVER, size_bytes, **over_tls()
            )


async def test_store_that_stops_reading_over_tls():
    error = await expect(stall, "TIMEOUT", RETRY, LARGE_BYTES, idle_timeout_ms=200, **over_tls())
    assert "No progress" in error.message, error.message


async def test_untrusted_store_gets_nothing():
    for options in (
        over_tls(authorities=(tls_server.OTHER_CA,)),
        over_tls(authorities=()),
        over_tls(tls=tls_server.EXPIRED),
    ):
        error, store, _ = await try_upload(stall, clip(SMALL_BYTES), **options)
        eq((error.code, error.retry), ("TLS_CERTIFICATE", NEVER), error.message)
        eq([exchange.head for exchange in store.exchanges if exchange.head], [])


async def test_store_that_speaks_no_tls():
    async def greet(reader, writer):
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        await reader.read(1000)

    server, port = await listen(greet)
    url = "https://localhost:%d/x?%s" % (port, SECRET)
    camera = Camera(grant(port, upload_url=url), authorities=(tls_server.CA,))
    error = await camera.upload(clip(SMALL_BYTES))
    server.close()
    eq((error.code, error.retry), ("TLS_FAILED", NEVER), error.message)


async def test_success_before_the_body_is_a_failure():
    early = answering(b'HTTP/1.1 200 OK\r\nETag: "x"\r\nContent-Length: 0\r\n\r\n', 65536)
    error = await expect(early, "BAD_RESPONSE", RETRY, LARGE_BYTES)
    assert "before" in error.message, error.message


async def test_interim_responses_are_passed_over():
    async def interim(exchange):
        await exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await exchange.read_body(1000000)
        await exchange.send(b"HTTP/1.1 102 Processing\r\nX-A: 1\r\n\r\n")
        await exchange.accept()

    outcome, store, _ = await try_upload(interim, clip(LARGE_BYTES))
    assert isinstance(outcome, Outcome), outcome
    eq(store.exchanges[0].received_bytes, LARGE_BYTES)


async def test_interim_response_in_pieces():
    async def dribble(exchange):
        for byte in b"HTTP/1.1 100 Continue\r\n\r\n":
            await exchange.send(bytes((byte,)))
            await exchange.read_body(100000)
        await exchange.accept()

    outcome, _, _ = await try_upload(dribble, clip(LARGE_BYTES))
    assert isinstance(outcome, Outcome), outcome


async def test_error_document_in_chunks():
    text = ERROR_DOCUMENT % (b"AccessDenied", b"Request has expired")
    data = b"HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n"
    for start in range(0, len(text), 50):
        piece = text[start : start + 50]
        data += b"%x;note=1\r\n%s\r\n" % (len(piece), piece)
    await expect(answering(data + b"0\r\nX-Trailer: 1\r\n\r\n"), "URL_EXPIRED", RENEW)


async def test_error_document_until_the_connection_ends():
    text = ERROR_DOCUMENT % (b"SignatureDoesNotMatch", b"...")
    data = b"HTTP/1.0 403 Forbidden\nContent-Type: application/xml\n\n" + text
    await expect(answering(data), "SIGNATURE_MISMATCH", NEVER)


async def test_error_document_byte_by_byte():
    data = response(b"403 Forbidden", b"AccessDenied", b"Request has expired")

    async def dribble(exchange):
        await exchange.read_body()
        for byte in data:
            await exchange.send(bytes((byte,)))

    await expect(dribble, "URL_EXPIRED", RENEW)


async def test_error_document_cut_short():
    whole = response(b"403 Forbidden", b"SignatureDoesNotMatch", b"...")
    await expect(answering(whole[:-20]), "SIGNATURE_MISMATCH", NEVER)
    await expect(answering(whole[:60]), "ACCESS_DENIED", NEVER)


async def test_error_document_that_never_ends():
    async def babble(exchange):
        await exchange.read_body()
        await exchange.send(b"HTTP/1.1 500 Internal Server Error\r\n\r\n")
        while True:
            await exchange.send(4096 * b"x")

    await expect(babble, "STORE_UNAVAILABLE", RETRY)


async def test_success_with_an_error_document():
    job = clip(SMALL_BYTES)

    async def answer(exchange):
        await exchange.read_body()
        text = ERROR_DOCUMENT % (b"InternalError", b"We encountered an internal error.")
        await exchange.send(
            b'HTTP/1.1 200 OK\r\nETag: "%s"\r\nContent-Length: %d\r\n\r\n%s'
            % (file_md5_hex(job), len(text), text)
        )

    error, _, _ = await try_upload(answer, job)
    eq((error.code, error.retry), ("STORE_UNAVAILABLE", RETRY))


async def test_success_cut_short():
    job = clip(SMALL_BYTES)
    head = b'HTTP/1.1 200 OK\r\nETag: "%s"\r\nContent-Length: 9\r\n\r\n' % file_md5_hex(job)
    for end in (10, len(head) - 1, len(head), len(head) + 5):
        error, _, _ = await try_upload(answering((head + b"123456789")[:end]), job)
        assert not isinstance(error, Outcome), "success after %d bytes of the answer" % end
        eq(error.retry, RETRY)


def file_md5_hex(job):
    return b"".join(b"%02x" % byte for byte in file_md5(job.path))


async def test_answers_that_are_not_http():
    for data in (
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 2OO OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n12",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Long: " + 8192 * b"x",
        b"\x15\x03\x01\x00\x02\x02\x46",
    ):
        await expect(answering(data), "BAD_RESPONSE", RETRY)


async def test_head_cut_short():
    await expect(answering(b"HTTP/1.1 200 OK\r\nETag: "), "CONNECTION_LOST", RETRY)


async def test_connection_closed_without_an_answer():
    await expect(answering(b""), "CONNECTION_LOST", RETRY)
    await expect(answering(b"", 100000), "CONNECTION_LOST", RETRY, LARGE_BYTES)


async def test_connection_reset_without_an_answer():
    await expect(resetting(b"", 1 << 40), "CONNECTION_LOST", RETRY)
    await expect(resetting(b"", 100000), "CONNECTION_LOST", RETRY, LARGE_BYTES)


async def stall(exchange):
    await exchange.read_body(100000)
    await asyncio.sleep_ms(700)


async def silence(exchange):
    await exchange.read_body()
    await asyncio.sleep_ms(700)


async def test_store_that_stops_reading():
    error = await expect(stall, "TIMEOUT", RETRY, LARGE_BYTES, idle_timeout_ms=100)
    assert "No progress" in error.message, error.message


async def test_store_that_does_not_answer():
    error = await expect(silence, "TIMEOUT", RETRY, idle_timeout_ms=100)
    assert "No progress" in error.message, error.message


async def test_whole_upload_has_a_deadline():
    error = await expect(stall, "TIMEOUT", RETRY, LARGE_BYTES, timeout_ms=100)
    eq(error.message, "Upload timeout after 0 seconds")


async def test_slow_store_meets_the_deadline():
    """Progress all the time, only too little of it."""

    async def dribble(exchange):
        for _ in range(200):
            await exchange.read_body(20000)
            await asyncio.sleep_ms(5)

    error = await expect(dribble, "TIMEOUT", RETRY, 4 * LARGE_BYTES, timeout_ms=300)
    eq(error.message, "Upload timeout after 0 seconds")


async def test_slow_loris_answer_meets_the_deadline():
    async def dribble(exchange):
        await exchange.read_body()
        await exchange.send(b"HTTP/1.1 200 OK\r\n")
        for _ in range(100):
            await exchange.send(b"X-A: 1\r\n")
            await asyncio.sleep_ms(10)

    await expect(dribble, "TIMEOUT", RETRY, timeout_ms=300)


async def test_refused_port():
    error = await Camera(grant(free_port())).upload(clip(SMALL_BYTES))
    eq((error.code, error.retry), ("CONNECTION_LOST", RETRY), error.message)


async def test_failures_to_connect():
    for cause, code in (
        (asyncio.TimeoutError(), "CONNECT_TIMEOUT"),
        (OSError(-2, "no address"), "DNS_FAILED"),
        (OSError(101, "unreachable"), "NETWORK_DOWN"),
        (OSError(110, "timed out"), "CONNECT_TIMEOUT"),
        (OSError(111, "refused"), "CONNECTION_LOST"),
        (TlsError("not trusted", True), "TLS_CERTIFICATE"),
        (TlsError("TLS error -30592", False), "TLS_FAILED"),
    ):
        camera = Camera(grant(1))

        async def fail(host, port, tls, cause=cause):
            raise cause

        camera.uploader.open_stream = fail
        error = await camera.upload(clip(10))
        eq(error.code, code, error.message)


async def test_cancelled_upload_leaves_nothing_open():
    store = await FakeStore(stall).start()
    camera = Camera(grant(store.port))
    job = clip(LARGE_BYTES)
    task = asyncio.create_task(camera.uploader.upload(job, 0))
    while not camera.progress:
        await asyncio.sleep_ms(1)
    task.cancel()
    try:
        await task
        raise AssertionError("the cancellation was swallowed")
    except asyncio.CancelledError:
        await store.stop()
    error = store.exchanges[0].error
    assert store.exchanges[0].received_bytes < LARGE_BYTES, error
    try:
        camera.streams[0].read_ready(bytearray(1))
        raise AssertionError("connection left open")
    except OSError:
        eq(camera.progress[-1][1] < LARGE_BYTES, True, "progress went on")


async def test_slot_is_as_good_as_new_after_a_failure():
    answers = [resetting(b"", 100000), answering(b"SSH"), None]

    async def behave(exchange):
        behaviour = answers.pop(0)
        await (behaviour(exchange) if behaviour else exchange.accept())

    store = await FakeStore(behave).start()
    camera = Camera(grant(store.port))
    job = clip(40 * CHUNK_BYTES)
    results = []
    for _ in range(3):
        results.append(await camera.upload(job))
    await store.stop()
    eq([isinstance(result, Outcome) for result in results], [False, False, True])
    eq(results[2].md5, file_md5(job.path))
