"""Uploads in parts: what is stored is the file, whatever is interrupted, and nothing is sent twice without need."""

import asyncio
import hashlib
from binascii import hexlify

from firmware.oss_uploader import Outcome
from firmware.upload_error import NEVER, RENEW, RETRY, SUSPEND, UploadError
from harness import eq, raises_async
from tasks import tls_server
from tasks.camera_upload import CHUNK_BYTES, Camera, ack, clip, file_md5
from tasks.parts_cloud import UPLOAD_ID, Parts, cut, forget_answer, refuse

PART_BYTES = 20000  # no multiple of a chunk
SIZE_BYTES = 90000  # four parts and a half


def content(job):
    with open(job.path, "rb") as file:
        return file.read(job.size_bytes)


def file_md5_hex(job):
    return '"%s"' % hexlify(file_md5(job.path)).decode()


def numbers(rig):
    """The part numbers in the order in which they reached the store."""
    heads = [exchange.head for exchange in rig.store.exchanges if exchange.head]
    return [int(head.split(b"partNumber=")[1].split(b"&")[0]) for head in heads]


async def delivered(rig, job, note=""):
    """Upload; what the store then has must be the file."""
    outcome = await rig.upload(job)
    assert isinstance(outcome, Outcome), "%s: %s" % (note, outcome)
    eq(hashlib.md5(rig.object()).digest(), file_md5(job.path), note)
    eq((outcome.md5, outcome.size_bytes), (file_md5(job.path), job.size_bytes), note)
    return outcome


async def refused(rig, job, code, retry, outcome="failed"):
    """Upload; it must fail so, and the cloud must be told so."""
    error = await rig.upload(job)
    assert isinstance(error, UploadError), "taken for a success: %s" % (error,)
    eq((error.code, error.retry), (code, retry), error.message)
    told = rig.reported[-1]
    eq((told["outcome"], told["error_code"]), (outcome, code))
    return error


async def test_stored_parts_are_the_file():
    for size_bytes, part_size in (
        (SIZE_BYTES, PART_BYTES),
        (3 * CHUNK_BYTES, CHUNK_BYTES),
        (3 * CHUNK_BYTES + 1, CHUNK_BYTES),
        (100, 99),
        (100, 33),
        (60000, 50000),
    ):
        rig, job = Parts(part_size), clip(size_bytes)
        outcome = await delivered(rig, job, str(size_bytes))
        count = -(-size_bytes // part_size)
        eq(numbers(rig), list(range(1, count + 1)))
        eq(rig.store.connections, 1, "connections")
        eq(rig.camera.kept, [(UPLOAD_ID, part_size, done) for done in range(count + 1)])
        eq((outcome.cloud_path, outcome.cloud_url), ("CAM/b.ts", "https://store.example/a/b.ts"))
        eq((outcome.etag, outcome.sent_bytes), (rig.etag(), size_bytes))
        eq((len(rig.completed), rig.reported), (1, []))


async def test_urls_come_in_batches():
    rig, job = Parts(PART_BYTES, batch=2), clip(SIZE_BYTES)
    await delivered(rig, job)
    eq([fields.get("resume") for fields in rig.asked], [
        None,
        {"upload_id": UPLOAD_ID, "next_part": 3},
        {"upload_id": UPLOAD_ID, "next_part": 5},
    ])  # fmt: skip
    eq(rig.asked[0]["capabilities"], ["put", "multipart", "append"])


async def test_only_large_files_may_go_in_parts():
    rig = Parts(PART_BYTES, multipart_bytes=SIZE_BYTES)
    await rig.upload(clip(SIZE_BYTES))
    eq(rig.asked[0]["capabilities"], ["put"])


async def test_requests_ask_to_keep_the_connection_but_the_last():
    rig = Parts(PART_BYTES)
    await delivered(rig, clip(SIZE_BYTES))
    kept = [b"Connection: keep-alive" in exchange.head for exchange in rig.store.exchanges]
    eq(kept, [True, True, True, True, False])


async def test_a_resumed_upload_sends_what_is_missing():
    for fault in (cut(), cut(9000), forget_answer, refuse(b"503 Slow Down", b"SlowDown")):
        rig, job = Parts(PART_BYTES), clip(SIZE_BYTES)
        job.md5 = file_md5(job.path)
        rig.faults[4] = rig.faults[5] = fault  # the second for a connection that was not kept
        error = await rig.upload(job)
        eq(error.retry, RETRY, error.message)
        del rig.faults[5]
        eq((job.upload_id, job.part_size, job.parts_done), (UPLOAD_ID, PART_BYTES, 3))
        eq(job.cloud_path, "CAM/b.ts")
        eq(rig.reported[-1]["outcome"], "failed")
        outcome = await delivered(rig, job)
        is_stored = fault is forget_answer
        eq(numbers(rig), [5] if is_stored else [4, 5])
        eq(outcome.sent_bytes, 10000 if is_stored else 30000)
        eq(rig.asked[-1]["resume"], {"upload_id": UPLOAD_ID, "next_part": 4})


async def test_only_complete_was_missing():
    rig, job = Parts(PART_BYTES), clip(SIZE_BYTES)
    rig.acks = [UploadError("NO_RESPONSE", "not confirmed")]
    error = await rig.upload(job)
    eq((error.code, rig.reported), ("NO_RESPONSE", []))
    outcome = await delivered(rig, job)
    eq((numbers(rig), outcome.sent_bytes), ([], 0))


async def test_kept_connection_that_died_meanwhile():
    """Nothing of the answer came: the part goes again, over a new connection, in the same attempt."""
    for fault in (cut(), cut(9000), cut(PART_BYTES)):
        rig, job = Parts(PART_BYTES), clip(SIZE_BYTES)
        job.md5 = file_md5(job.path)
        rig.faults[3] = fault
        await delivered(rig, job)
        eq((numbers(rig), rig.store.connections), ([1, 2, 3, 3, 4, 5], 2))
        eq(rig.reported, [])


async def test_kept_connection_that_was_closed_in_order():
    async def close_behind(exchange, rig):
        await rig.take(exchange)
        exchange.is_kept = False

    rig = Parts(PART_BYTES, batch=2)
    rig.faults[2] = rig.faults[4] = close_behind
    await delivered(rig, clip(SIZE_BYTES))
    eq((numbers(rig), rig.store.connections), ([1, 2, 3, 4, 5], 3))


async def test_new_connection_that_dies_costs_the_attempt():
    rig = Parts(PART_BYTES)
    rig.faults[3] = rig.faults[4] = cut(9000)
    await refused(rig, clip(SIZE_BYTES), "CONNECTION_LOST", RETRY)
    eq(numbers(rig), [1, 2, 3, 3])


async def test_connections_that_may_not_be_kept():
    async def say_close(exchange, rig):
        async def answer(etag):
            head = b"HTTP/1.1 200 OK\r\nETag: %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            await exchange.send(head % etag.encode())

        exchange.answer = answer
        await rig.take(exchange)

    async def end_by_closing(exchange, rig):
        async def answer(etag):
            await exchange.send(b"HTTP/1.0 200 OK\r\nETag: %s\r\n\r\n" % etag.encode())

        exchange.answer = answer
        await rig.take(exchange)

    for fault in (say_close, end_by_closing):
        rig = Parts(PART_BYTES)
        rig.faults[1] = rig.faults[3] = fault
        await delivered(rig, clip(SIZE_BYTES))
        eq(rig.store.connections, 3)


async def test_parts_over_tls_share_a_connection():
    rig = Parts(
        PART_BYTES, tls=tls_server.SERVER, authorities=(tls_server.CA,), allow_insecure=False
    )
    await delivered(rig, clip(SIZE_BYTES))
    eq((numbers(rig), rig.store.connections), ([1, 2, 3, 4, 5], 1))


async def test_connection_over_tls_that_is_gone():
    async def close_behind(exchange, rig):
        await rig.take(exchange)
        exchange.is_kept = False

    for fault in (close_behind, cut(9000)):
        rig = Parts(PART_BYTES, tls=tls_server.SERVER, authorities=(tls_server.CA,))
        rig.faults[3] = fault
        await delivered(rig, clip(SIZE_BYTES))
        eq(rig.store.connections, 2)


async def test_expired_url_of_a_part():
    expired = refuse(b"403 Forbidden", b"AccessDenied", b"Request has expired")
    rig, job = Parts(PART_BYTES), clip(SIZE_BYTES)
    rig.faults[2] = rig.faults[3] = expired
    await delivered(rig, job)
    eq(numbers(rig), [1, 2, 2, 2, 3, 4, 5])
    eq([fields["resume"]["next_part"] for fields in rig.asked[1:]], [2, 2])
    rig = Parts(PART_BYTES)
    for request in range(2, 10):
        rig.faults[request] = expired
    await refused(rig, clip(SIZE_BYTES), "URL_EXPIRED", RENEW)
    eq(len(rig.asked), 4)


async def test_urls_too_old_to_be_used():
    now = [1000]
    rig = Parts(PART_BYTES, ticks_ms=lambda: now[0] * 1000, timeout_ms=10000000)

    async def take_long(exchange, rig):
        await rig.take(exchange)
        now[0] += 100

    rig.faults[2] = take_long
    rig.grants[1] = {"expires_in": 90}
    await delivered(rig, clip(SIZE_BYTES))
    eq((numbers(rig), len(rig.asked)), ([1, 2, 3, 4, 5], 2))


async def test_a_cloud_that_gives_no_url():
    for changes in ({"parts": ()}, {"parts": ((7, "http://127.0.0.1/7"),)}):
        rig = Parts(PART_BYTES)
        for request in range(1, 9):
            rig.grants[request] = changes
        await refused(rig, clip(SIZE_BYTES), "BAD_RESPONSE", RETRY)
        eq((len(rig.asked), rig.requests), (4, 0))


async def test_part_that_is_stored_wrong():
    async def other_etag(exchange, rig):
        await rig.take(exchange, etag='"%s"' % (32 * "0"))

    async def no_etag(exchange, rig):
        await rig.take(exchange, etag="")

    async def odd_etag(exchange, rig):
        await rig.take(exchange, etag='"%s-1"' % (32 * "0"))

    for fault in (other_etag, no_etag, odd_etag):
        rig, job = Parts(PART_BYTES), clip(SIZE_BYTES)
        rig.faults[2] = fault
        await refused(rig, job, "INTEGRITY", RETRY, "aborted")
        eq(rig.reported[-1]["upload_id"], UPLOAD_ID)
        eq((job.upload_id, job.parts_done, rig.completed), (None, 0, []))
        eq(rig.camera.kept[-1], (None, 0, 0))


async def test_stores_that_lie_about_a_part():
    """No such part counts, and nothing is completed."""
    document = b"<Error><Code>InternalError</Code></Error>"
    ok = b'HTTP/1.1 200 OK\r\nETag: "%s"\r\n'
    for tail, code in (
        (b"", "CONNECTION_LOST"),
        (b"Content-Length: 5\r\n\r\n12", "BAD_RESPONSE"),
        (b"Content-Length: %d\r\n\r\n%s" % (len(document), document), "STORE_UNAVAILABLE"),
    ):

        async def lie(exchange, rig, tail=tail):
            digest = hashlib.md5(await exchange.read_all()).digest()
            await exchange.send(ok % hexlify(digest) + tail)

        rig, job = Parts(PART_BYTES), clip(SIZE_BYTES)
        rig.faults[2] = lie
        await refused(rig, job, code, RETRY)
        eq((job.parts_done, rig.completed, numbers(rig)), (1, [], [1, 2]))


async def test_success_before_the_part_is_none():
    async def answer_early(exchange, rig):
        await exchange.read_body(65536)
        await exchange.answer(etag='"%s"' % (32 * "0"))
        exchange.is_kept = False

    rig, job = Parts(24000000), clip(24000100)
    rig.faults[1] = answer_early
    error = await refused(rig, job, "BAD_RESPONSE", RETRY)
    assert "before" in error.message, error.message
    eq((job.parts_done, rig.completed), (0, []))


async def test_the_cloud_finds_other_bytes():
    rig, job = Parts(PART_BYTES), clip(SIZE_BYTES)
    rig.acks = [UploadError("INTEGRITY", "the parts' digests differ")]
    await refused(rig, job, "INTEGRITY", RETRY, "aborted")
    eq(job.upload_id, None)
    rig.upload_id, rig.stored = "u-2", {}
    await delivered(rig, job)


async def test_word_of_the_cloud_and_own_proof():
    rig = Parts(PART_BYTES)
    rig.is_verified = False
    await delivered(rig, clip(SIZE_BYTES), "every part was proven to the camera")
    rig, job = Parts(PART_BYTES), clip(SIZE_BYTES)
    rig.is_verified = False
    rig.faults[3] = refuse(b"500 Oh", b"InternalError")
    await refused(rig, job, "STORE_UNAVAILABLE", RETRY)
    await refused(rig, job, "INTEGRITY", RETRY, "aborted")  # two parts come from another run
    for wrong in (ack(is_verified=True, size_bytes=SIZE_BYTES - 1), ack(size_bytes=0)):
        rig = Parts(PART_BYTES)
        rig.acks = [wrong]
        await refused(rig, clip(SIZE_BYTES), "INTEGRITY", RETRY, "aborted")


async def test_corrupt_file_is_never_completed():
    rig, job = Parts(PART_BYTES), clip(SIZE_BYTES, md5=16 * b"\0")
    await refused(rig, job, "LOCAL_CORRUPT", NEVER, "aborted")
    eq((rig.done(SIZE_BYTES), rig.completed, job.upload_id), (4, [], None))


async def test_corruption_of_what_was_stored_before_is_found():
    rig, job = Parts(PART_BYTES), clip(SIZE_BYTES)
    job.md5 = file_md5(job.path)
    rig.faults[4] = cut()
    rig.faults[5] = cut()
    await refused(rig, job, "CONNECTION_LOST", RETRY)
    with open(job.path, "r+b") as file:
        file.seek(100)
        file.write(b"\x00\xff\x00\xff")
    await refused(rig, job, "LOCAL_CORRUPT", NEVER, "aborted")
    eq(rig.completed, [])


async def test_part_that_the_card_gives_differently_the_second_time():
    rig, job = Parts(PART_BYTES), clip(SIZE_BYTES)

    async def damage(exchange, rig):
        await exchange.read_body(100)
        with open(job.path, "r+b") as file:
            file.seek(2 * PART_BYTES)
            file.write(b"\x00\xff\x00\xff")
        exchange.reset_at_close()

    rig.faults[3] = damage
    await refused(rig, job, "CARD_ERROR", RETRY)
    eq((job.parts_done, sorted(rig.stored)), (2, [1, 2]))


async def test_upload_that_is_gone_begins_anew():
    async def lose(exchange, rig):
        rig.upload_id, rig.stored = "u-2", {}
        await rig.take(exchange)

    rig, job = Parts(PART_BYTES), clip(SIZE_BYTES)
    rig.faults[3] = lose  # in the middle: the store says NoSuchUpload
    await delivered(rig, job)
    eq(numbers(rig), [1, 2, 3, 1, 2, 3, 4, 5])
    eq(job.upload_id, "u-2")
    rig, job = Parts(PART_BYTES), clip(SIZE_BYTES)
    job.upload_id, job.part_size, job.parts_done, job.cloud_path = "u-0", PART_BYTES, 3, "x"
    await delivered(rig, job)  # from an earlier run: the cloud says NO_UPLOAD
    eq((numbers(rig), rig.camera.kept[0]), ([1, 2, 3, 4, 5], (None, 0, 0)))


async def test_upload_that_is_gone_again_and_again():
    rig = Parts(PART_BYTES)
    gone = refuse(b"404 Not Found", b"NoSuchUpload")
    rig.faults = {1: gone, 2: gone}
    job = clip(SIZE_BYTES)
    await refused(rig, job, "NO_UPLOAD", RETRY, "aborted")
    eq((numbers(rig), job.upload_id), ([1, 1], None))


async def test_cloud_that_has_more_parts_than_the_file():
    rig, job = Parts(PART_BYTES), clip(SIZE_BYTES)
    rig.grants[1] = {"parts_done": 6}
    await delivered(rig, job)
    eq((rig.reported[0]["outcome"], rig.camera.kept[1]), ("aborted", (None, 0, 0)))


async def test_cloud_that_goes_back():
    """The store lost parts: they are sent again."""

    async def lose_one(exchange, rig):
        await rig.take(exchange)
        del rig.stored[2]

    rig, job = Parts(PART_BYTES, batch=3), clip(SIZE_BYTES)
    rig.faults[3] = lose_one
    await delivered(rig, job)
    eq(numbers(rig), [1, 2, 3, 2, 3, 4, 5])


async def test_cloud_that_wants_the_file_in_one_piece_after_all():
    async def take_whole(exchange, rig):
        rig.stored[1] = (await exchange.read_all(), b"")
        await exchange.answer(etag=file_md5_hex(job))

    rig, job = Parts(PART_BYTES), clip(SIZE_BYTES)
    job.upload_id, job.part_size, job.parts_done, job.cloud_path = UPLOAD_ID, PART_BYTES, 3, "x"
    rig.faults[1], rig.acks = take_whole, [ack()]
    rig.grants[1] = {"mode": "put", "upload_id": "", "part_size": 0, "parts": (), "parts_done": 0}
    await delivered(rig, job)
    eq((job.upload_id, rig.camera.kept, rig.requests), (None, [(None, 0, 0)], 1))
    assert "upload_id" not in rig.completed[0], rig.completed


async def test_part_has_a_deadline_of_its_own():
    async def late(exchange, rig):
        await exchange.read_body(5000)
        await asyncio.sleep_ms(700)

    rig = Parts(PART_BYTES, idle_timeout_ms=100)
    rig.faults[2] = late
    error = await refused(rig, clip(SIZE_BYTES), "TIMEOUT", RETRY)
    assert "No progress" in error.message, error.message
    rig = Parts(PART_BYTES, timeout_ms=100)
    rig.faults[2] = late
    error = await refused(rig, clip(SIZE_BYTES), "TIMEOUT", RETRY)
    eq(error.message, "Upload timeout after 0 seconds")


async def test_gives_way_at_the_end_of_a_part():
    rig, job = Parts(PART_BYTES), clip(SIZE_BYTES)
    rig.options["must_suspend"] = lambda job: job.parts_done == 2
    await refused(rig, job, "SUSPENDED", SUSPEND)
    eq((numbers(rig), job.parts_done), ([1, 2], 2))
    rig.options["must_suspend"] = lambda job: job.parts_done == 5  # then there is nothing left
    await delivered(rig, job)
    eq(numbers(rig), [3, 4, 5])


async def test_file_that_is_gone_ends_an_upload_that_was_begun():
    rig, job = Parts(PART_BYTES), clip(SIZE_BYTES)
    job.upload_id, job.part_size, job.parts_done, job.cloud_path = "u-0", PART_BYTES, 3, "CAM/x"
    camera = Camera(AssertionError("asked for a URL"), **rig.options)
    job.path += "x"
    error = await raises_async(UploadError, camera.uploader.upload(job, 0))
    eq((error.code, error.retry), ("FILE_MISSING", NEVER))
    (told,) = camera.reported
    eq((told["outcome"], told["upload_id"]), ("aborted", "u-0"))
    eq((told["cloud_file_path"], told["error_code"]), ("CAM/x", "FILE_MISSING"))
    eq((job.upload_id, camera.kept), (None, [(None, 0, 0)]))


async def test_progress_counts_parts_that_were_stored_before():
    rig, job = Parts(PART_BYTES), clip(SIZE_BYTES)
    rig.faults[4] = rig.faults[5] = cut()
    await rig.upload(job)
    await delivered(rig, job)
    sent = [told[1] for told in rig.camera.progress]
    assert sent[0] > 3 * PART_BYTES and sent[-1] == SIZE_BYTES, sent
    assert all(told[2] == SIZE_BYTES for told in rig.camera.progress)
    eq(sent, sorted(sent))


async def test_recovered_clip_is_sent_as_far_as_it_counts():
    rig, job = Parts(PART_BYTES), clip(SIZE_BYTES)
    job.size_bytes, job.is_recovered = 70001, True
    outcome = await rig.upload(job)
    assert isinstance(outcome, Outcome), outcome
    eq(rig.object(), content(job))
    eq(len(rig.object()), 70001)
