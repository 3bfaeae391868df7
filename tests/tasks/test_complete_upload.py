"""Uploads of which the cloud wants to hear: whose word counts, and what it is told of failures."""

import asyncio
from binascii import b2a_base64, hexlify

from firmware.oss_uploader import Outcome
from firmware.upload_error import RETRY, UploadError
from harness import eq
from tasks.camera_upload import Camera, ack, clip, file_md5, grant, job_for, try_upload
from tasks.fake_store import FakeStore

CONFIRMED = {"requires_complete": True}
OTHER = '"%s"' % (32 * "0")
EXISTS = (
    b"HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 409 Conflict\r\nContent-Length: 44\r\n\r\n"
    b"<Error><Code>FileAlreadyExists</Code></Error>",
)


def base64_md5(job):
    return b2a_base64(file_md5(job.path)).decode().strip()


def accepting(etag=None):
    async def behaviour(exchange):
        await exchange.accept(etag=etag)

    return behaviour


def answering(data):
    async def behaviour(exchange):
        await exchange.read_body()
        await exchange.send(data)

    return behaviour


async def upload(behaviour, job, changes=CONFIRMED, **options):
    """One upload: (result, camera)."""
    result, _, camera = await try_upload(behaviour, job, changes, **options)
    return result, camera


async def fails(behaviour, job, code, changes=CONFIRMED, **options):
    error, camera = await upload(behaviour, job, changes, **options)
    assert not isinstance(error, Outcome), "taken for a success: %s" % (error,)
    eq(error.code, code, error.message)
    return camera


async def test_the_cloud_confirms():
    job = clip(30000)
    outcome, camera = await upload(accepting(), job, acks=[ack(size_bytes=30000)])
    assert isinstance(outcome, Outcome), outcome
    eq((outcome.cloud_url, outcome.etag), ("https://store.example/a/b.ts", "told"))
    eq(camera.completed, [{
        "request_id": "upload_1",
        "cloud_file_path": "a/b.ts",
        "file_size": 30000,
        "content_md5": base64_md5(job),
        "outcome": "stored",
    }])  # fmt: skip
    eq((camera.reported, camera.kept), ([], []))


async def test_either_proof_is_enough():
    for etag, is_verified in ((None, True), (None, False), ("", True), (OTHER, True)):
        told = [ack(is_verified=is_verified)]
        outcome, _ = await upload(accepting(etag), clip(30000), acks=told)
        assert isinstance(outcome, Outcome), "%s %s: %s" % (etag, is_verified, outcome)
    job = clip(30000)
    changes = {"extra_headers": (("Content-MD5", base64_md5(job)),)}
    changes.update(CONFIRMED)
    outcome, _ = await upload(accepting(""), job, changes, acks=[ack(is_verified=False)])
    assert isinstance(outcome, Outcome), outcome


async def test_no_proof_at_all():
    for etag in ("", OTHER, OTHER[:-1] + '-2"'):
        told = [ack(is_verified=False)]
        camera = await fails(accepting(etag), clip(30000), "INTEGRITY", acks=told)
        eq(camera.reported[0]["outcome"], "failed")
        eq(camera.reported[0]["error_code"], "INTEGRITY")


async def test_object_of_another_size():
    for size_bytes in (0, 29999, 30001):
        await fails(accepting(), clip(30000), "INTEGRITY", acks=[ack(size_bytes=size_bytes)])


async def test_stores_that_lie():
    """None of them makes an Outcome, as long as the cloud does not say that it has compared."""
    job = clip(30000)
    true = b'"%s"' % hexlify(file_md5(job.path))
    document = b"<Error><Code>InternalError</Code></Error>"

    async def answer_at_once(exchange):
        await exchange.send(b"HTTP/1.1 200 OK\r\nETag: %s\r\nContent-Length: 0\r\n\r\n" % true)
        await exchange.read_body()

    big = clip(24000000)
    error, camera = await upload(answer_at_once, big, acks=[ack(is_verified=False)])
    eq((error.code, camera.completed), ("BAD_RESPONSE", []))
    for data, code in (
        (b"HTTP/1.1 200 OK\r\nETag: " + true, "CONNECTION_LOST"),
        (b"HTTP/1.1 200 OK\r\nETag: %s\r\nContent-Length: 5\r\n\r\n12" % true, "BAD_RESPONSE"),
        (b"HTTP/1.1 200 OK\r\nETag: %s\r\nContent-Length: 0\r\n\r\n" % OTHER.encode(), "INTEGRITY"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "INTEGRITY"),
        (
            b"HTTP/1.1 200 OK\r\nETag: %s\r\nContent-Length: %d\r\n\r\n%s"
            % (true, len(document), document),
            "STORE_UNAVAILABLE",
        ),
        (b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", "BAD_RESPONSE"),
    ):
        await fails(answering(data), job, code, acks=[ack(is_verified=False)])


async def test_the_cloud_does_not_confirm():
    for code in ("INTEGRITY", "NO_UPLOAD", "STORE_UNAVAILABLE", "UNAUTHORIZED", "BAD_REQUEST"):
        camera = await fails(accepting(), clip(30000), code, acks=[UploadError(code, "no")])
        eq([told["outcome"] for told in camera.reported], ["failed"])


async def test_who_was_not_answered_reports_nothing():
    for code in ("NO_RESPONSE", "MQTT_UNAVAILABLE"):
        camera = await fails(accepting(), clip(30000), code, acks=[UploadError(code, "no")])
        eq(camera.reported, [])


async def test_object_that_is_there_already():
    for answer in EXISTS:
        for is_known in (False, True):
            job = clip(30000)
            job.md5 = file_md5(job.path) if is_known else None
            outcome, camera = await upload(answering(answer), job, acks=[ack(size_bytes=30000)])
            assert isinstance(outcome, Outcome), outcome
            eq(camera.completed[0]["content_md5"], base64_md5(job))
            eq((outcome.md5, outcome.sent_bytes), (file_md5(job.path), 0))
        await fails(answering(answer), clip(30000), "INTEGRITY", acks=[ack(is_verified=False)])
        camera = await fails(
            answering(answer), clip(30000), "INTEGRITY", acks=[UploadError("INTEGRITY", "other")]
        )
        eq(camera.reported[0]["outcome"], "failed")


async def test_object_that_is_there_already_and_nobody_to_ask():
    for answer in EXISTS:
        camera = await fails(answering(answer), clip(30000), "ALREADY_EXISTS", {})
        eq(camera.completed, [])


async def test_failures_are_told():
    denied = answering(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
    camera = await fails(denied, clip(30000), "ACCESS_DENIED")
    eq(camera.reported, [{
        "request_id": "upload_1",
        "cloud_file_path": "a/b.ts",
        "file_size": 30000,
        "outcome": "failed",
        "error_code": "ACCESS_DENIED",
    }])  # fmt: skip
    camera = await fails(denied, clip(30000), "ACCESS_DENIED", {})
    eq(camera.reported, [], "told a cloud that does not know how to listen")


async def test_what_was_never_granted_is_not_reported():
    camera = Camera(UploadError("RATE_LIMITED", "too many"))
    error = await camera.upload(clip(10))
    eq((error.code, error.retry, camera.reported), ("RATE_LIMITED", RETRY, []))


async def test_cancelled_upload_is_told():
    store = await FakeStore(lambda exchange: exchange.read_body(100000)).start()
    camera = Camera(grant(store.port, requires_complete=True))
    task = asyncio.create_task(camera.uploader.upload(clip(24000000), 0))
    while not camera.progress:
        await asyncio.sleep_ms(1)
    task.cancel()
    try:
        await task
        raise AssertionError("the cancellation was swallowed")
    except asyncio.CancelledError:
        await store.stop()
    eq([told["outcome"] for told in camera.reported], ["failed"])


async def test_what_is_asked_for():
    job = clip(30000, md5=None)
    job.md5 = file_md5(job.path)
    _, camera = await upload(accepting(), job, acks=[ack()])
    eq(camera.asked, [
        {"protocol": 2, "capabilities": ["put"], "content_md5": base64_md5(job)}
    ])  # fmt: skip
    job = job_for(job.path, 30000)
    job.content_encoding = "gzip"
    _, camera = await upload(accepting(), job, acks=[ack()])
    eq(camera.asked[0]["content_encoding"], "gzip")
    eq(camera.completed[0]["content_encoding"], "gzip")


async def test_a_camera_that_cannot_complete_does_not_ask_for_more():
    camera = Camera(grant(1, requires_complete=True))
    camera.uploader.complete = None
    error = await camera.upload(clip(10))
    eq((error.code, camera.asked, camera.started), ("BAD_RESPONSE", [None], []))


async def test_recovered_clip_is_sent_as_far_as_it_counts():
    job = clip(30000)
    job.size_bytes, job.is_recovered = 20117, True
    outcome, store, _ = await try_upload(accepting(), job)
    assert isinstance(outcome, Outcome), outcome
    eq((store.exchanges[0].received_bytes, outcome.size_bytes), (20117, 20117))
    job.size_bytes = 30001
    error, _, _ = await try_upload(accepting(), job)
    eq(error.code, "FILE_CHANGED")
