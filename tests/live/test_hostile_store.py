"""Wicked stores and wicked clouds: every answer they can give, and what the camera makes of it.

One camera per interpreter goes through all rows, as a camera in the field would. Whatever happens,
a clip stays on the card until the store has proven that it holds it, and no body goes out twice that
was not lost; once the world is honest again, the clip is delivered.
"""

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.live.cameras import COMMANDS, Camera, sha256
from tests.live.clips import make_clip
from tests.live.hostile_store import Behaviour, Exchange, HostileStore
from tests.live.scripted_cloud import (
    SECRET,
    Answer,
    Message,
    ScriptedCloud,
    honest_ack,
    honest_answer,
)
from tools.material import Footage
from tools.services import Mosquitto, free_port

IDLE_SEC, TOTAL_SEC, REQUEST_SEC = 2, 4, 2
CHANGES = {
    "upload": {
        "retry_max_attempts": 3,
        "retry_delay_sec": 0,
        "idle_timeout_sec": IDLE_SEC,
        "upload_timeout_sec": TOTAL_SEC,
        "request_timeout_sec": REQUEST_SEC,
        "max_concurrent_uploads": 2,
        "allowed_hosts": ["127.0.0.1"],
    }
}
SMALL_BYTES = 60_000
# More than all sockets on the way take together, so that the body is still on its way.
LARGE_BYTES = 8_000_000
DOCUMENT = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>%s</Code><Message>%s</Message></Error>'
)


class Scene:
    """A camera, a store and a cloud, and the clips a test needs."""

    def __init__(self, camera: Camera, store: HostileStore, cloud: ScriptedCloud) -> None:
        self.camera, self.store, self.cloud = camera, store, cloud
        self._numbers = itertools.count(1)
        self._sources: dict[int, Path] = {}

    def begin(self, film: Footage, folder: Path) -> None:
        for size_bytes in (SMALL_BYTES, LARGE_BYTES):
            self._sources[size_bytes] = make_clip(film, folder / str(size_bytes), size_bytes)

    def next_clip(self) -> str:
        return f"r{next(self._numbers):07d}.ts"

    def source(self, size_bytes: int) -> Path:
        return self._sources[size_bytes]

    def recover(self) -> None:
        """After a test that failed: an empty card, a camera that runs."""
        if self.camera.is_running() and not self.camera.clips():
            return
        self.camera.kill()
        self.camera.format_card()
        self.camera.start()

    def delivered(self, clip: str, size_bytes: int, timeout_sec: float = 20) -> dict[str, Any]:
        """The clip's last event, after which it must be in the store and off the card."""
        done = self.camera.events.wait("upload_completed", timeout_sec, filename=clip)
        assert self.store.bodies(clip)[-1] == sha256(self.source(size_bytes))
        self.camera.wait_until_gone(clip)
        return done

    def failures(self, clip: str) -> list[dict[str, Any]]:
        """What was told of the clip's failures so far."""
        events = self.camera.events.seen
        return [
            event
            for event in events
            if event.get("event") == "upload_failed" and event["filename"] == clip
        ]


@pytest.fixture(scope="module", params=sorted(COMMANDS))
def stage(
    request: pytest.FixtureRequest,
    broker: Mosquitto,
    film: Footage,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("hostile")
    with contextlib.ExitStack() as opened:
        store = opened.enter_context(HostileStore())
        cloud = opened.enter_context(ScriptedCloud(broker, store.endpoint))
        camera = opened.enter_context(Camera(request.param, folder / "card", broker, film, CHANGES))
        scene = Scene(camera, store, cloud)
        scene.begin(film, folder)
        yield scene


@pytest.fixture
def scene(stage: Scene) -> Iterator[Scene]:
    stage.recover()
    yield stage
    stage.store.end_test()


# How a store answers.


def refusal(status: str, code: str = "", message: str = "", headers: str = "") -> bytes:
    body = DOCUMENT % (code, message) if code else ""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n{body}".encode()


def answering(data: bytes, *, read_bytes: int = 1 << 60) -> Behaviour:
    """Read so much of the body, answer with these bytes, close."""

    def behave(exchange: Exchange) -> None:
        exchange.read_body(read_bytes)
        exchange.send(data)

    return behave


def refusing_early(exchange: Exchange) -> None:
    """As MinIO does: answer in mid-body, and reset."""
    exchange.read_body(65536)
    exchange.send(refusal("403 Forbidden", "SignatureDoesNotMatch", "..."))
    exchange.reset_at_close()


def reading_on(exchange: Exchange) -> None:
    """As SeaweedFS does: answer in mid-body, but take whatever comes."""
    exchange.read_body(65536)
    exchange.send(refusal("403 Forbidden", "AccessDenied", "Access Denied."))
    exchange.read_body()


def interim(exchange: Exchange) -> None:
    exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    exchange.read_body(1_000_000)
    exchange.send(b"HTTP/1.1 102 Processing\r\nX-A: 1\r\n\r\n")
    exchange.read_body(1_000_000)
    exchange.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
    exchange.accept()


def saying(form: str) -> Behaviour:
    """Take all of the body, then answer in this form, in which `{etag}` is filled in."""

    def behave(exchange: Exchange) -> None:
        exchange.read_body()
        exchange.send(form.replace("{etag}", exchange.etag).encode())

    return behave


def byte_by_byte(exchange: Exchange) -> None:
    exchange.read_body()
    for byte in f"HTTP/1.1 200 OK\r\nETag: {exchange.etag}\r\nContent-Length: 0\r\n\r\n".encode():
        exchange.send(bytes([byte]))


def keeping_half(exchange: Exchange) -> None:
    """Store a part, be content with it, and say so once the rest has come as well."""
    exchange.read_body(exchange.size_bytes // 2)
    half = exchange.etag
    exchange.read_body()
    exchange.send(f"HTTP/1.1 200 OK\r\nETag: {half}\r\nContent-Length: 0\r\n\r\n".encode())


def keeping_half_early(exchange: Exchange) -> None:
    exchange.read_body(exchange.size_bytes // 2)
    exchange.send(f"HTTP/1.1 200 OK\r\nETag: {exchange.etag}\r\nContent-Length: 0\r\n\r\n".encode())
    exchange.read_body()


def with_error_document(exchange: Exchange) -> None:
    exchange.accept(body=(DOCUMENT % ("InternalError", "We had trouble.")).encode())


def wrong_etag(exchange: Exchange) -> None:
    exchange.accept(etag='"d41d8cd98f00b204e9800998ecf8427e"')


def multipart_etag(exchange: Exchange) -> None:
    exchange.accept(etag='"d41d8cd98f00b204e9800998ecf8427e-2"')


def no_etag(exchange: Exchange) -> None:
    exchange.accept(etag="")


def ending(exchange: Exchange) -> None:
    exchange.read_body(100_000)


def resetting(exchange: Exchange) -> None:
    exchange.read_body(100_000)
    exchange.reset_at_close()


def resetting_unheard(exchange: Exchange) -> None:
    """Take everything, then reset instead of an answer."""
    exchange.read_body()
    exchange.reset_at_close()


def stalling(exchange: Exchange) -> None:
    exchange.read_body(100_000)
    exchange.pause()


def silent(exchange: Exchange) -> None:
    exchange.read_body()
    exchange.pause()


def black_hole(exchange: Exchange) -> None:
    """Nothing is ever read: even the body's first bytes stay in the sockets."""
    exchange.pause()


def sipping(exchange: Exchange) -> None:
    """Progress all the time, and never enough of it."""
    while exchange.pause(0.2) and not exchange.is_whole:
        exchange.read_body(150_000)


def dribbling(exchange: Exchange) -> None:
    """An answer that never comes to its end."""
    exchange.read_body()
    exchange.send(b"HTTP/1.1 200 OK\r\n")
    while exchange.pause(0.2):
        exchange.send(b"X-A: 1\r\n")


def babbling(exchange: Exchange) -> None:
    """An error document without end."""
    exchange.read_body()
    exchange.send(b"HTTP/1.1 500 Internal Server Error\r\n\r\n")
    while True:
        exchange.send(65536 * b"x")


EXPIRED = answering(refusal("403 Forbidden", "AccessDenied", "Request has expired"))

# What becomes of the clip: `FREE` costs no attempt, `NEVER` waits for somebody's command.
AGAIN, FREE, NEVER = "again", "free", "never"


class Row(NamedTuple):
    """What the store does to the first connection, and the failure that must be told."""

    behaviour: Behaviour
    code: str
    then: str = AGAIN
    size_bytes: int = SMALL_BYTES
    # The most of the body that may have gone out.
    sent_bytes: int | None = None


FAILURES = {
    "4xx in mid-body, reset": Row(refusing_early, "SIGNATURE_MISMATCH", NEVER, LARGE_BYTES),
    "4xx in mid-body, reads on": Row(
        reading_on, "ACCESS_DENIED", NEVER, LARGE_BYTES, LARGE_BYTES - 1
    ),
    "huge head": Row(answering(b"HTTP/1.1 200 OK\r\nX-Long: " + 65536 * b"x"), "BAD_RESPONSE"),
    "endless headers": Row(answering(b"HTTP/1.1 200 OK\r\n" + 9999 * b"A: 1\r\n"), "BAD_RESPONSE"),
    "truncated head": Row(answering(b"HTTP/1.1 200 OK\r\nETag: "), "CONNECTION_LOST"),
    "not HTTP": Row(answering(b"SSH-2.0-OpenSSH_9.2\r\n"), "BAD_RESPONSE"),
    "200 too early": Row(keeping_half_early, "BAD_RESPONSE", AGAIN, LARGE_BYTES, LARGE_BYTES - 1),
    "wrong ETag": Row(wrong_etag, "INTEGRITY"),
    "ETag that is no MD5": Row(multipart_etag, "INTEGRITY"),
    "no ETag": Row(no_etag, "INTEGRITY"),
    "200 with an error document": Row(with_error_document, "STORE_UNAVAILABLE"),
    "200 for half of the body": Row(keeping_half, "INTEGRITY", AGAIN, LARGE_BYTES),
    "200 cut short": Row(
        saying("HTTP/1.1 200 OK\r\nETag: {etag}\r\nContent-Length: 9\r\n\r\n1234"), "BAD_RESPONSE"
    ),
    "reset in mid-body": Row(resetting, "CONNECTION_LOST", AGAIN, LARGE_BYTES),
    "end in mid-body": Row(ending, "CONNECTION_LOST", AGAIN, LARGE_BYTES),
    "reset instead of an answer": Row(resetting_unheard, "CONNECTION_LOST"),
    "stall in mid-body": Row(stalling, "TIMEOUT", AGAIN, LARGE_BYTES),
    "black hole": Row(black_hole, "TIMEOUT", AGAIN, LARGE_BYTES),
    "no answer": Row(silent, "TIMEOUT"),
    "reads too slowly": Row(sipping, "TIMEOUT", AGAIN, LARGE_BYTES),
    "answers too slowly": Row(dribbling, "TIMEOUT"),
    "error without end": Row(babbling, "STORE_UNAVAILABLE"),
    "error in chunks": Row(
        answering(
            b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"1a\r\n<Error><Code>NoSuchBucket<\r\n0f\r\n/Code></Error>\n\r\n0\r\n\r\n"
        ),
        "BAD_RESPONSE",
    ),
    "500": Row(answering(refusal("500 Internal Server Error")), "STORE_UNAVAILABLE"),
    "507": Row(answering(refusal("507 Insufficient Storage")), "STORE_FULL", FREE),
    "store full": Row(
        answering(refusal("507 Insufficient Storage", "XMinioStorageFull", "...")),
        "STORE_FULL",
        FREE,
    ),
    "access denied": Row(
        answering(refusal("403 Forbidden", "AccessDenied", "Access Denied.")),
        "ACCESS_DENIED",
        NEVER,
    ),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_store_that_fails_keeps_the_clip_on_the_card(name: str, scene: Scene) -> None:
    row = FAILURES[name]
    camera, store, clip = scene.camera, scene.store, scene.next_clip()
    original = sha256(scene.source(row.size_bytes))
    store.serve(clip, row.behaviour)
    store.gate.clear()  # the next connection must wait, so that there is time to look
    path = camera.upload(scene.source(row.size_bytes), clip)
    failed = camera.events.wait("upload_failed", TOTAL_SEC + 15, filename=clip)
    told = (failed["error_code"], failed["will_retry"], failed["retry_count"])
    assert told == (row.code, row.then != NEVER, 0 if row.then == FREE else 1), failed
    assert sha256(path) == original
    if row.sent_bytes is not None:
        assert store.exchanges(clip)[0].received_bytes <= row.sent_bytes
    if row.then == NEVER:
        camera.events.command("requeue_failed")
    store.wait(clip, 2)
    assert sha256(path) == original, "without proof"
    store.gate.set()
    scene.delivered(clip, row.size_bytes)
    assert len(store.exchanges(clip)) == 2
    assert len(scene.failures(clip)) == 1
    assert SECRET not in camera.said()


SUCCESSES = {
    "interim answers": (interim, LARGE_BYTES),
    "chunked": (
        saying(
            "HTTP/1.1 200 OK\r\nETag: {etag}\r\nTransfer-Encoding: chunked\r\n\r\n"
            "5;x=1\r\nhello\r\n0\r\nX-Trailer: 1\r\n\r\n"
        ),
        SMALL_BYTES,
    ),
    "until the connection ends": (
        saying("HTTP/1.0 200 OK\r\nETag: {etag}\r\n\r\nfine"),
        SMALL_BYTES,
    ),
    "line feeds alone": (
        saying("HTTP/1.1 200 OK\nETag: {etag}\nContent-Length: 0\n\n"),
        SMALL_BYTES,
    ),
    "byte by byte": (byte_by_byte, SMALL_BYTES),
    "204": (saying("HTTP/1.1 204 No Content\r\netag: W/{etag}\r\n\r\n"), SMALL_BYTES),
    "no reason, folded": (
        saying("HTTP/1.1 200\r\nETag:\r\n {etag}\r\nContent-Length: 0\r\n\r\n"),
        SMALL_BYTES,
    ),
}


@pytest.mark.parametrize("name", SUCCESSES)
def test_an_unusual_success_is_one(name: str, scene: Scene) -> None:
    behaviour, size_bytes = SUCCESSES[name]
    clip = scene.next_clip()
    scene.store.serve(clip, behaviour)
    scene.camera.upload(scene.source(size_bytes), clip)
    scene.delivered(clip, size_bytes)
    assert len(scene.store.exchanges(clip)) == 1
    assert scene.failures(clip) == []


def test_an_expired_url_is_renewed_at_once(scene: Scene) -> None:
    clip = scene.next_clip()
    scene.store.serve(clip, EXPIRED, EXPIRED)
    scene.camera.upload(scene.source(SMALL_BYTES), clip)
    scene.delivered(clip, SMALL_BYTES)
    assert scene.failures(clip) == []
    assert len(scene.cloud.requests(clip)) == 3


def test_urls_that_always_expire_cost_attempts(scene: Scene) -> None:
    clip = scene.next_clip()
    scene.store.serve(clip, EXPIRED, EXPIRED, EXPIRED)
    scene.camera.upload(scene.source(SMALL_BYTES), clip)
    failed = scene.camera.events.wait("upload_failed", 20, filename=clip)
    assert (failed["error_code"], failed["retry_count"]) == ("URL_EXPIRED", 1)
    scene.delivered(clip, SMALL_BYTES)


@pytest.mark.parametrize("status, code", [("503 Slow Down", "SlowDown"), ("429 Too Many", "")])
def test_retry_after_is_honoured(status: str, code: str, scene: Scene) -> None:
    wait_sec, clip = 2, scene.next_clip()
    busy = refusal(status, code, "...", f"Retry-After: {wait_sec}\r\n")
    scene.store.serve(clip, answering(busy))
    scene.camera.upload(scene.source(SMALL_BYTES), clip)
    failed = scene.camera.events.wait("upload_failed", 20, filename=clip)
    assert failed["error_code"] == "RATE_LIMITED"
    scene.delivered(clip, SMALL_BYTES)
    first, second = scene.store.exchanges(clip)
    assert second.started_at - first.started_at >= wait_sec


def test_the_last_attempt_keeps_the_clip_for_later(scene: Scene) -> None:
    clip, camera = scene.next_clip(), scene.camera
    attempts = CHANGES["upload"]["retry_max_attempts"]
    assert isinstance(attempts, int)
    scene.store.serve(clip, *[resetting_unheard] * attempts)
    path = camera.upload(scene.source(SMALL_BYTES), clip)
    for attempt in range(1, attempts + 1):
        failed = camera.events.wait("upload_failed", 20, filename=clip)
        assert (failed["retry_count"], failed["will_retry"]) == (attempt, attempt < attempts)
    assert sha256(path) == sha256(scene.source(SMALL_BYTES))
    camera.events.command("requeue_failed")
    scene.delivered(clip, SMALL_BYTES)


def test_a_store_that_holds_other_bytes_twice_gets_no_third_try(scene: Scene) -> None:
    clip, camera = scene.next_clip(), scene.camera
    scene.store.serve(clip, wrong_etag, wrong_etag)
    path = camera.upload(scene.source(SMALL_BYTES), clip)
    for will_retry in (True, False):
        failed = camera.events.wait("upload_failed", 20, filename=clip)
        assert (failed["error_code"], failed["will_retry"]) == ("INTEGRITY", will_retry)
    assert sha256(path) == sha256(scene.source(SMALL_BYTES))
    camera.events.command("requeue_failed")
    scene.delivered(clip, SMALL_BYTES)
    assert len(scene.store.exchanges(clip)) == 3


# Redirects: followed once, to an allowed host, before the body has begun.


def redirecting(url: str) -> Behaviour:
    return answering(
        refusal("307 Temporary Redirect", "TemporaryRedirect", "...", f"Location: {url}\r\n"),
        read_bytes=0,
    )


def moved(scene: Scene, clip: str) -> str:
    return f"{scene.store.endpoint}/moved/2025_{clip}?{SECRET}"


def test_a_redirect_is_followed_once(scene: Scene) -> None:
    clip = scene.next_clip()
    scene.store.serve(clip, redirecting(moved(scene, clip)))
    scene.camera.upload(scene.source(LARGE_BYTES), clip)
    scene.delivered(clip, LARGE_BYTES)
    first, second = scene.store.exchanges(clip)
    assert second.path.startswith("/moved/")
    assert (len(scene.cloud.requests(clip)), scene.failures(clip)) == (1, [])


def test_a_second_redirect_is_a_failure(scene: Scene) -> None:
    clip = scene.next_clip()
    scene.store.serve(clip, *[redirecting(moved(scene, clip))] * 2)
    scene.camera.upload(scene.source(LARGE_BYTES), clip)
    failed = scene.camera.events.wait("upload_failed", 20, filename=clip)
    assert (failed["error_code"], failed["will_retry"]) == ("BAD_RESPONSE", True)
    scene.delivered(clip, LARGE_BYTES)
    assert len(scene.store.bodies(clip)) == 1


def test_a_redirect_to_another_host_is_not_followed(scene: Scene) -> None:
    clip = scene.next_clip()
    elsewhere = moved(scene, clip).replace("127.0.0.1", "localhost")
    scene.store.serve(clip, redirecting(elsewhere))
    scene.camera.upload(scene.source(LARGE_BYTES), clip)
    failed = scene.camera.events.wait("upload_failed", 20, filename=clip)
    assert failed["error_code"] == "BAD_RESPONSE"
    scene.delivered(clip, LARGE_BYTES)
    assert [e.path for e in scene.store.exchanges(clip) if e.path.startswith("/moved/")] == []


# What a cloud, or anybody who can publish on its topic, may say before the honest answer.


def many(junk: bytes, count: int = 1) -> Answer:
    def answer(cloud: ScriptedCloud, request: Message) -> None:
        for _ in range(count):
            cloud.send(junk)
        honest_answer(cloud, request)

    return answer


def changed(**changes: object) -> Answer:
    """An answer with its own id, but spoilt; then the honest one."""

    def answer(cloud: ScriptedCloud, request: Message) -> None:
        cloud.send(cloud.grant(request, **changes))
        honest_answer(cloud, request)

    return answer


def twice(cloud: ScriptedCloud, request: Message) -> None:
    for _ in range(5):
        honest_answer(cloud, request)


def foreign(cloud: ScriptedCloud, request: Message) -> None:
    url = f"{cloud.endpoint}/cams/{request['file_name']}?foreign"
    for number in range(20):
        cloud.send(cloud.grant(request, request_id=f"upload_{number:08x}", upload_url=url))
    refused = {"success": False, "error_code": "UNAUTHORIZED", "error_message": "no"}
    cloud.send({"request_id": "upload_0000ffff", **refused})
    honest_answer(cloud, request)


JUNK = {
    "duplicate": twice,
    "foreign": foreign,
    "oversized": many(b'{"a": "' + 60_000 * b"x" + b'"}', 10),
    "not JSON": many(b"\xff\x00<html>", 50),
    "nothing": many(b""),
    "deeply nested": many(b"[" * 8000, 5),
    "deep objects": many(b'{"a":' * 1300, 5),
    "no object": many(b"[1, 2, 3]"),
    "many fields": many(b"{" + b",".join(b'"%d":%d' % (i, i) for i in range(700)) + b"}", 5),
    "flood": many(b'{"request_id": "x", "success": true}', 500),
    "number for a URL": changed(upload_url=17),
    "no URL": changed(upload_url=None),
    "method of 1000 letters": changed(method="P" * 1000),
    "URL of 5000 letters": changed(upload_url="http://a/" + "b" * 5000),
    "expiry in words": changed(expires_at="tomorrow"),
    "headers that end a line": changed(extra_headers={"X-A": "1\r\nX-B: 2"}),
    "100 headers": changed(extra_headers=[[f"X-{i}", "1"] for i in range(100)]),
    "headers in pieces": changed(extra_headers='{"X-A": '),
    "an unknown mode": changed(mode="torrent"),
    "parts without an upload": changed(mode="multipart", part_size=5 << 20),
    "parts of no size": changed(mode="multipart", upload_id="1", part_size=0),
    "an upload id of two lines": changed(mode="multipart", upload_id="1\n2", part_size=5 << 20),
    "parts that are none": changed(mode="multipart", upload_id="1", part_size=9, parts=["a"]),
    "1000 parts": changed(
        mode="multipart",
        upload_id="1",
        part_size=5 << 20,
        parts=[{"part_number": i, "upload_url": "http://a"} for i in range(1000)],
    ),
}


@pytest.mark.parametrize("name", JUNK)
def test_junk_is_ignored_and_the_answer_is_heard(name: str, scene: Scene) -> None:
    clip, said_before = scene.next_clip(), len(scene.camera.said())
    scene.cloud.answer(clip, JUNK[name])
    scene.camera.upload(scene.source(SMALL_BYTES), clip)
    scene.delivered(clip, SMALL_BYTES)
    assert scene.failures(clip) == []
    assert len(scene.cloud.requests(clip)) == 1
    assert len(scene.store.exchanges(clip)) == 1
    assert b"foreign" not in scene.store.exchanges(clip)[0].head
    assert scene.camera.is_running()
    assert "Traceback" not in scene.camera.said()[said_before:]


def test_junk_takes_no_memory(scene: Scene) -> None:
    """CPython, which does not tell, only has to bear it."""
    rests = []
    for _ in range(2):
        clip = scene.next_clip()
        scene.camera.start_heap_watch()
        scene.cloud.answer(clip, many(b'{"request_id": "x", "success": 1}', 300))
        scene.camera.upload(scene.source(SMALL_BYTES), clip)
        scene.delivered(clip, SMALL_BYTES)
        rests.append(scene.camera.end_heap_watch()[1])
    assert rests[1] - rests[0] < 2048, rests  # it may be less: what the first run left went since


def test_a_late_answer_is_ignored(scene: Scene) -> None:
    clip = scene.next_clip()
    late: list[Message] = []
    scene.cloud.answer(clip, lambda cloud, request: late.append(cloud.grant(request)))
    scene.camera.upload(scene.source(SMALL_BYTES), clip)
    failed = scene.camera.events.wait("upload_failed", 20, filename=clip)
    assert (failed["error_code"], failed["will_retry"]) == ("NO_RESPONSE", True)
    scene.cloud.wait(clip, 2)
    scene.cloud.send(late[0])
    scene.delivered(clip, SMALL_BYTES)
    scene.cloud.send(late[0])
    another = scene.next_clip()  # whose delivery shows that the late answer was taken in
    scene.camera.upload(scene.source(SMALL_BYTES), another)
    scene.delivered(another, SMALL_BYTES)
    assert len(scene.store.exchanges(clip)) == 1


def test_answers_in_another_order_find_their_clips(scene: Scene) -> None:
    first, second = scene.next_clip(), scene.next_clip()
    held: list[Message] = []

    def last_first(cloud: ScriptedCloud, request: Message) -> None:
        held.append(request)
        if len(held) == 2:
            for one in reversed(held):
                honest_answer(cloud, one)

    scene.cloud.answer(first, last_first)
    scene.cloud.answer(second, last_first)
    scene.camera.upload(scene.source(LARGE_BYTES), first)
    scene.camera.upload(scene.source(SMALL_BYTES), second)
    done = {scene.camera.events.wait("upload_completed", 20)["filename"] for _ in range(2)}
    assert done == {first, second}
    assert scene.store.bodies(first) == [sha256(scene.source(LARGE_BYTES))]
    assert scene.store.bodies(second) == [sha256(scene.source(SMALL_BYTES))]


def test_a_retained_answer_is_ignored(scene: Scene) -> None:
    clip = scene.next_clip()
    stale = scene.cloud.grant({"request_id": "upload_00000000", "file_name": f"stale_{clip}"})
    with scene.cloud.retained(stale):
        scene.camera.reboot()
        scene.camera.wait_for("retained")
        scene.camera.upload(scene.source(SMALL_BYTES), clip)
        scene.delivered(clip, SMALL_BYTES)
    assert len(scene.store.exchanges(clip)) == 1


# Answers to the request itself that cannot be used.


def refused(code: str, **more: object) -> Answer:
    def answer(cloud: ScriptedCloud, request: Message) -> None:
        told = {"request_id": request["request_id"], "error_code": code, "error_message": "no"}
        cloud.send({"success": False, **told, **more})

    return answer


def changed_grant(**changes: object) -> Answer:
    return lambda cloud, request: cloud.send(cloud.grant(request, **changes))


def granted(change: Callable[[ScriptedCloud, Message], Message]) -> Answer:
    return lambda cloud, request: cloud.send(cloud.grant(request, **change(cloud, request)))


UNUSABLE = {
    "refused": (refused("UNAUTHORIZED"), "UNAUTHORIZED", NEVER),
    "refused in its own words": (refused("NO_SUCH_CODE"), "UNAUTHORIZED", NEVER),
    "no success": (refused("RATE_LIMITED", success="true"), "RATE_LIMITED", AGAIN),
    "expired": (granted(lambda *_: {"expires_at": 1}), "URL_EXPIRED", AGAIN),
    "another method": (granted(lambda *_: {"method": "DELETE"}), "BAD_RESPONSE", AGAIN),
    "user in the URL": (
        granted(lambda cloud, _: {"upload_url": cloud.endpoint.replace("//", "//me@") + "/x"}),
        "BAD_RESPONSE",
        AGAIN,
    ),
    "another scheme": (
        granted(lambda *_: {"upload_url": "ftp://127.0.0.1/x"}),
        "BAD_RESPONSE",
        AGAIN,
    ),
    "a line end in the URL": (
        granted(lambda cloud, _: {"upload_url": cloud.endpoint + "/x\r\nX-A: 1"}),
        "BAD_RESPONSE",
        AGAIN,
    ),
    "a header that frames": (
        granted(lambda *_: {"extra_headers": {"Transfer-Encoding": "chunked"}}),
        "BAD_RESPONSE",
        AGAIN,
    ),
    "a host that is not allowed": (
        granted(
            lambda cloud, _: {"upload_url": cloud.endpoint.replace("127.0.0.1", "localhost") + "/x"}
        ),
        "BAD_RESPONSE",
        AGAIN,
    ),
    "nobody at the port": (
        granted(lambda *_: {"upload_url": f"http://127.0.0.1:{free_port()}/x"}),
        "CONNECTION_LOST",
        AGAIN,
    ),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_an_unusable_answer_is_told_and_the_clip_kept(name: str, scene: Scene) -> None:
    answer, code, then = UNUSABLE[name]
    clip, camera = scene.next_clip(), scene.camera
    # An expired URL is asked for anew within the attempt.
    scene.cloud.answer(clip, *[answer] * (3 if code == "URL_EXPIRED" else 1))
    scene.store.gate.clear()
    path = camera.upload(scene.source(SMALL_BYTES), clip)
    failed = camera.events.wait("upload_failed", 20, filename=clip)
    told = (failed["error_code"], failed["will_retry"], failed["retry_count"])
    assert told == (code, then != NEVER, 1), failed
    assert sha256(path) == sha256(scene.source(SMALL_BYTES))
    if then == NEVER:
        camera.events.command("requeue_failed")
    scene.store.wait(clip, 1)
    scene.store.gate.set()
    scene.delivered(clip, SMALL_BYTES)
    assert len(scene.store.exchanges(clip)) == 1


# The end of an upload, where the cloud is to confirm it.


def silence(_cloud: ScriptedCloud, _complete: Message) -> None:
    """No ack."""


def acking(**changes: object) -> Answer:
    def ack(cloud: ScriptedCloud, complete: Message) -> None:
        cloud.send(cloud.verified(complete, **changes), topic="complete_ack")

    return ack


def refusing(code: str) -> Answer:
    return acking(success=False, verified=False, error_code=code, error_message="no")


def junk_first(cloud: ScriptedCloud, complete: Message) -> None:
    refusal = {"success": False, "error_code": "INTEGRITY", "error_message": "no"}
    cloud.send({**refusal, "request_id": "upload_0000ffff"}, topic="complete_ack")
    for junk in (b"", b"[[[", b"{}", b'"' + 20_000 * b"x" + b'"', b'{"request_id": 1}'):
        cloud.send(junk, topic="complete_ack")
    honest_ack(cloud, complete)
    cloud.send({**refusal, "request_id": complete["request_id"]}, topic="complete_ack")


class Ack(NamedTuple):
    """The first answers to "stored", the ETag that the store gives, the failure to be told."""

    acks: tuple[Answer, ...]
    code: str | None
    etag: str | None = None
    bodies: int = 2


NO_ETAG = ""
ACKS = {
    "lost once": Ack((silence,), None, bodies=1),
    "junk before and behind it": Ack((junk_first,), None, bodies=1),
    "verified, without an ETag": Ack((), None, NO_ETAG, bodies=1),
    "not verified, but the ETag is the MD5": Ack((acking(verified=False),), None, bodies=1),
    "never": Ack((silence,) * 3, "NO_RESPONSE"),
    "not verified, and no ETag": Ack((acking(verified=False),), "INTEGRITY", NO_ETAG),
    "verified in words": Ack((acking(verified="yes"),), "INTEGRITY", NO_ETAG),
    "another size": Ack((acking(size=SMALL_BYTES - 200),), "INTEGRITY"),
    "other bytes": Ack((refusing("INTEGRITY"),), "INTEGRITY"),
    "nothing there": Ack((refusing("NO_UPLOAD"),), "NO_UPLOAD"),
    "the store cannot be asked": Ack((refusing("STORE_UNAVAILABLE"),), "STORE_UNAVAILABLE"),
    "refused in its own words": Ack((refusing("WHATEVER"),), "BAD_RESPONSE"),
}


@pytest.mark.parametrize("name", ACKS)
def test_without_its_ack_a_clip_is_not_deleted(name: str, scene: Scene) -> None:
    row, clip, camera = ACKS[name], scene.next_clip(), scene.camera
    scene.cloud.answer(clip, *[changed_grant(requires_complete=True)] * 2)
    scene.cloud.ack(clip, *row.acks)
    scene.store.serve(clip, lambda exchange: exchange.accept(row.etag))
    if row.code:
        scene.store.gate.clear()
    path = camera.upload(scene.source(SMALL_BYTES), clip)
    if row.code:
        failed = camera.events.wait("upload_failed", 20, filename=clip)
        assert (failed["error_code"], failed["will_retry"]) == (row.code, True), failed
        assert sha256(path) == sha256(scene.source(SMALL_BYTES))
        scene.store.wait(clip, 2)
        scene.store.gate.set()
    scene.delivered(clip, SMALL_BYTES)
    assert len(scene.store.bodies(clip)) == row.bodies
    assert len(scene.failures(clip)) == row.bodies - 1
    stored = [told for told in scene.cloud.completes(clip) if told["outcome"] == "stored"]
    assert stored[-1]["file_size"] == scene.source(SMALL_BYTES).stat().st_size


def test_parts_that_only_the_cloud_has_seen_are_no_proof(scene: Scene) -> None:
    """The grant says that all parts are stored, and nobody has compared them."""
    clip, camera = scene.next_clip(), scene.camera
    lie = changed_grant(mode="multipart", upload_id="1", part_size=5 << 20, parts=[], parts_done=1)
    scene.cloud.answer(clip, lie)
    scene.cloud.ack(clip, acking(verified=False))
    scene.store.gate.clear()
    path = camera.upload(scene.source(SMALL_BYTES), clip)
    failed = camera.events.wait("upload_failed", 20, filename=clip)
    assert (failed["error_code"], failed["will_retry"]) == ("INTEGRITY", True), failed
    assert sha256(path) == sha256(scene.source(SMALL_BYTES))
    scene.store.gate.set()
    scene.delivered(clip, SMALL_BYTES)
    assert len(scene.store.exchanges(clip)) == 1


def test_an_ack_before_the_store_has_answered_counts_for_nothing(scene: Scene) -> None:
    clip, camera = scene.next_clip(), scene.camera

    def too_early(cloud: ScriptedCloud, request: Message) -> None:
        cloud.send(cloud.grant(request, requires_complete=True))
        told = {"cloud_file_path": request["file_name"], "file_size": request["file_size"]}
        for _ in range(3):
            honest_ack(cloud, {"request_id": request["request_id"], **told})

    scene.cloud.answer(clip, too_early)
    scene.store.serve(clip, answering(refusal("500 Internal Server Error")))
    scene.store.gate.clear()
    path = camera.upload(scene.source(SMALL_BYTES), clip)
    failed = camera.events.wait("upload_failed", 20, filename=clip)
    assert failed["error_code"] == "STORE_UNAVAILABLE"
    assert path.exists()
    scene.store.gate.set()
    scene.delivered(clip, SMALL_BYTES)
    (told,) = scene.cloud.completes(clip)
    assert (told["outcome"], told["error_code"]) == ("failed", "STORE_UNAVAILABLE")


def test_a_full_store_pauses_all_clips(scene: Scene) -> None:
    first, second = scene.next_clip(), scene.next_clip()
    full = answering(refusal("507 Insufficient Storage", "", "", "Retry-After: 2\r\n"))
    scene.store.serve(first, full)
    scene.camera.upload(scene.source(SMALL_BYTES), first)
    scene.camera.events.wait("upload_failed", 20, filename=first)
    paused_at = time.monotonic()
    scene.camera.upload(scene.source(SMALL_BYTES), second)
    scene.delivered(second, SMALL_BYTES)
    waited_sec = scene.store.exchanges(second)[0].started_at - paused_at
    assert waited_sec > 1, "the other clip did not wait"
    scene.store.wait(first, 2)
