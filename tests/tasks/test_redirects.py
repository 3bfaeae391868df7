"""Redirects: followed once, with the whole body, and never to where footage must not go."""

from binascii import hexlify

from firmware.oss_uploader import Outcome
from firmware.upload_error import RETRY
from harness import eq
from tasks import tls_server
from tasks.camera_upload import Camera, clip, file_md5, grant, try_upload
from tasks.fake_store import FakeStore
from tasks.parts_cloud import Parts

LARGE_BYTES = 24000000  # more than the sockets of both sides take together


def redirect(location, status=b"307 Temporary Redirect", read_bytes=1 << 40):
    """A behaviour: the store reads so much of the body and sends the camera elsewhere."""

    async def behaviour(exchange, _=None):
        await exchange.read_body(read_bytes)
        head = b"HTTP/1.1 %s\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n"
        await exchange.send(head % (status, location.encode()))

    return behaviour


async def accept(exchange):
    await exchange.accept()


async def redirected(job, *redirects, target=accept, host="127.0.0.1", **options):
    """Upload through a store that redirects to another: (result, first store, second store)."""
    second = await FakeStore(target).start()
    location = "http://%s:%d/elsewhere/b.ts?moved" % (host, second.port)
    first = await FakeStore(redirect(location, *redirects)).start()
    try:
        return await Camera(grant(first.port), **options).upload(job), first, second
    finally:
        await first.stop()
        await second.stop()


async def test_body_goes_whole_to_the_other_place():
    for status in (b"307 Temporary Redirect", b"308 Permanent Redirect"):
        for size_bytes, read_bytes in ((50000, 1 << 40), (50000, 0), (LARGE_BYTES, 65536)):
            job = clip(size_bytes)
            outcome, first, second = await redirected(job, status, read_bytes)
            assert isinstance(outcome, Outcome), "%s %d: %s" % (status, read_bytes, outcome)
            eq(second.exchanges[0].md5, hexlify(file_md5(job.path)).decode())
            eq((len(first.exchanges), len(second.exchanges)), (1, 1))
            head = second.exchanges[0].head
            assert head.startswith(b"PUT /elsewhere/b.ts?moved HTTP/1.1\r\n"), head
            assert b"\r\nHost: 127.0.0.1:%d\r\n" % second.port in head, head
            eq((outcome.md5, outcome.sent_bytes), (file_md5(job.path), size_bytes))
            if read_bytes == 65536:
                assert first.exchanges[0].received_bytes < LARGE_BYTES, "the whole body was sent"


async def test_relative_redirect():
    async def behave(exchange):
        if b"/moved" in exchange.head:
            await exchange.accept()
        else:
            await redirect("/moved?x")(exchange)

    job = clip(50000)
    outcome, store, _ = await try_upload(behave, job)
    assert isinstance(outcome, Outcome), outcome
    eq([exchange.head.split(b" ")[1] for exchange in store.exchanges][1], b"/moved?x")


async def test_redirects_that_are_not_followed():
    for location, status in (
        ("/again", b"307 Temporary Redirect"),  # and again
        ("", b"307 Temporary Redirect"),
        ("moved", b"307 Temporary Redirect"),
        ("ftp://127.0.0.1/x", b"308 Permanent Redirect"),
        ("http://user@127.0.0.1/x", b"307 Temporary Redirect"),
        ("/x", b"301 Moved Permanently"),
        ("/x", b"302 Found"),
        ("/x", b"303 See Other"),
    ):
        error, store, _ = await try_upload(redirect(location, status), clip(5000))
        assert not isinstance(error, Outcome), location
        eq((error.code, error.retry), ("BAD_RESPONSE", RETRY), error.message)
        eq(len(store.exchanges), 2 if location == "/again" else 1, location)


async def test_only_to_allowed_hosts():
    error, _, second = await redirected(clip(5000), host="localhost", allowed_hosts=("127.0.0.1",))
    eq((error.code, second.exchanges), ("BAD_RESPONSE", []))
    assert "localhost" in error.message, error.message
    hosts = ("127.0.0.1", "LocalHost")
    outcome, _, _ = await redirected(clip(5000), host="localhost", allowed_hosts=hosts)
    assert isinstance(outcome, Outcome), outcome


async def test_only_allowed_hosts_at_all():
    error, store, camera = await try_upload(accept, clip(10), allowed_hosts=("store.example",))
    eq((error.code, store.exchanges, camera.started), ("BAD_RESPONSE", [], []))


async def test_never_away_from_tls():
    second = await FakeStore(accept).start()
    away = redirect("http://localhost:%d/x" % second.port)
    options = {"tls": tls_server.SERVER, "authorities": (tls_server.CA,)}
    error, _, _ = await try_upload(away, clip(5000), **options)
    await second.stop()
    eq((error.code, second.exchanges), ("BAD_RESPONSE", []))


async def test_failure_at_the_other_place():
    async def refuse(exchange):
        await exchange.read_body()
        await exchange.send(b"HTTP/1.1 503 Busy\r\nRetry-After: 9\r\nContent-Length: 0\r\n\r\n")

    error, _, _ = await redirected(clip(5000), target=refuse)
    eq((error.code, error.retry_after_sec), ("STORE_UNAVAILABLE", 9))


async def test_part_is_redirected():
    """Its digests count once: the second reading must be as the first."""
    for read_bytes in (0, 9000, 1 << 40):
        rig, job = Parts(20000), clip(90000)
        job.md5 = file_md5(job.path)

        async def move(exchange, rig, read_bytes=read_bytes):
            place = exchange.head.split(b" ")[1].decode()
            await redirect(place + "&moved=1", read_bytes=read_bytes)(exchange)

        rig.faults[2] = rig.faults[4] = move
        outcome = await rig.upload(job)
        assert isinstance(outcome, Outcome), outcome
        with open(job.path, "rb") as file:
            eq(rig.object() == file.read(), True)
        eq((rig.requests, outcome.sent_bytes), (7, 90000))
