"""The OSS stand-in on the wire: early refusals, 100-continue, torn bodies, hosts, TLS."""

from __future__ import annotations

import datetime
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import alibabacloud_oss_v2 as oss
import pytest
import requests

from tools.services import OssStandin, oss_standin
from tools.testca import TestCA

EXPIRES = datetime.timedelta(minutes=5)
HTTP = requests.Session()
HTTP.trust_env = False  # loopback is never behind a proxy of the environment
BIG = 64 * 1024 * 1024


@pytest.fixture(scope="module")
def store() -> Iterator[OssStandin]:
    with oss_standin() as running:
        yield running


def signed_put(store: OssStandin, key: str, **more: object) -> str:
    """The target of a PUT: path and query of a presigned URL."""
    request = oss.PutObjectRequest(bucket=store.bucket, key=key, **more)
    parts = urlsplit(store.client().presign(request, expires=EXPIRES).url)
    return f"{parts.path}?{parts.query}"


def exists(store: OssStandin, key: str) -> bool:
    return bool(store.client().is_object_exist(store.bucket, key))


def blobs(store: OssStandin) -> list[Path]:
    return sorted((store.directory / "data" / store.bucket / "blobs").iterdir())


def wait_until(done: Callable[[], bool], timeout_sec: float = 20) -> None:
    deadline = time.monotonic() + timeout_sec
    while not done():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


class Wire:
    """A connection that says what a test says, byte for byte."""

    def __init__(self, store: OssStandin) -> None:
        self._store = store
        self.socket = socket.create_connection((store.host, store.port), timeout=20)

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def head(self, line: str, *headers: str) -> None:
        text = "\r\n".join([line, f"Host: {self._store.address}", *headers, "", ""])
        self.socket.sendall(text.encode())

    def answer(self, method: str = "PUT") -> http.client.HTTPResponse:
        """The next answer, read to its end."""
        response = http.client.HTTPResponse(self.socket, method=method)
        response.begin()
        response.text = response.read().decode()  # type: ignore[attr-defined]
        return response

    def is_closed(self) -> bool:
        return self.socket.recv(1) == b""


def test_a_connection_serves_many_requests(store: OssStandin) -> None:
    connection = http.client.HTTPConnection(store.host, store.port, timeout=20)
    connection.connect()
    first = connection.sock
    for key, method, status in (
        ("kept-1", "PUT", 200),
        ("kept-2", "PUT", 200),
        ("kept-none", "HEAD", 404),
        ("kept-3", "PUT", 200),
    ):
        target = signed_put(store, key)
        if method == "HEAD":
            request = oss.HeadObjectRequest(bucket=store.bucket, key=key)
            parts = urlsplit(store.client().presign(request).url)
            target = f"{parts.path}?{parts.query}"
        connection.request(method, target, body=b"x" if method == "PUT" else None)
        answer = connection.getresponse()
        answer.read()
        assert (answer.status, answer.getheader("Connection")) == (status, "keep-alive")
        assert connection.sock is first
    connection.close()


def test_a_wrong_signature_is_refused_while_the_body_is_still_to_come(store: OssStandin) -> None:
    target = signed_put(store, "early").replace("early", "other")
    with Wire(store) as wire:
        wire.head(f"PUT {target} HTTP/1.1", f"Content-Length: {BIG}")
        answer = wire.answer()  # nothing of the body was sent
        assert answer.status == 403 and answer.getheader("Connection") == "close"
        assert "<Code>SignatureDoesNotMatch</Code>" in answer.text  # type: ignore[attr-defined]
        assert wire.is_closed()


def test_the_refusal_reaches_a_client_that_is_busy_sending(store: OssStandin) -> None:
    target = signed_put(store, "early").replace("early", "other")
    with Wire(store) as wire:
        wire.head(f"PUT {target} HTTP/1.1", f"Content-Length: {BIG}")
        wire.socket.sendall(bytes(1_000_000))
        assert wire.answer().status == 403


def test_the_store_looks_at_what_is_there_before_the_body(store: OssStandin) -> None:
    client = store.client()
    client.put_object(oss.PutObjectRequest(bucket=store.bucket, key="there", body=b"x"))
    target = signed_put(store, "there", forbid_overwrite=True)
    with Wire(store) as wire:
        wire.head(
            f"PUT {target} HTTP/1.1", f"Content-Length: {BIG}", "x-oss-forbid-overwrite: true"
        )
        answer = wire.answer()
        assert answer.status == 409
        assert "<Code>FileAlreadyExists</Code>" in answer.text  # type: ignore[attr-defined]


def test_the_body_is_asked_for_when_all_else_is_right(store: OssStandin) -> None:
    with Wire(store) as wire:
        target = signed_put(store, "continued")
        wire.head(f"PUT {target} HTTP/1.1", "Content-Length: 5", "Expect: 100-continue")
        interim = wire.socket.recv(len(b"HTTP/1.1 100 Continue\r\n\r\n"), socket.MSG_WAITALL)
        assert interim == b"HTTP/1.1 100 Continue\r\n\r\n"
        wire.socket.sendall(b"hello")
        assert wire.answer().status == 200
    with Wire(store) as wire:
        wire.head(f"PUT {target}0 HTTP/1.1", "Content-Length: 5", "Expect: 100-continue")
        assert wire.answer().status == 403, "and not 100"
    assert exists(store, "continued")


@pytest.mark.parametrize("headers", [["Content-Length: 1000"], ["Transfer-Encoding: chunked"]])
def test_a_torn_body_is_not_stored(store: OssStandin, headers: list[str]) -> None:
    before = blobs(store)
    with Wire(store) as wire:
        wire.head(f"PUT {signed_put(store, 'torn')} HTTP/1.1", *headers)
        wire.socket.sendall(b"3e8\r\n" if "chunked" in headers[0] else b"")
        wire.socket.sendall(bytes(500))
        wait_until(lambda: len(blobs(store)) == len(before) + 1)
        wire.socket.shutdown(socket.SHUT_WR)
        assert wire.is_closed()
    wait_until(lambda: blobs(store) == before)
    assert not exists(store, "torn")


def test_a_body_torn_by_a_kill_is_gone_after_the_restart() -> None:
    with oss_standin() as store:
        store.client().put_object(
            oss.PutObjectRequest(bucket=store.bucket, key="whole", body=b"whole")
        )
        before = blobs(store)
        with Wire(store) as wire:
            wire.head(f"PUT {signed_put(store, 'torn')} HTTP/1.1", "Content-Length: 1000")
            wire.socket.sendall(bytes(500))
            wait_until(lambda: len(blobs(store)) == len(before) + 1)
            store.kill()
        store.start()
        assert blobs(store) == before
        assert exists(store, "whole") and not exists(store, "torn")


def test_a_torn_append_leaves_the_object_as_it_was(store: OssStandin) -> None:
    client = store.client()

    def append(position: int, body: bytes) -> None:
        client.append_object(
            oss.AppendObjectRequest(bucket=store.bucket, key="grown", position=position, body=body)
        )

    append(0, b"begin")
    before = blobs(store)

    def torn() -> Iterator[bytes]:
        yield bytes(100_000)
        raise RuntimeError("the line is cut")

    with pytest.raises((oss.exceptions.OperationError, RuntimeError), match="cut"):
        client.append_object(
            oss.AppendObjectRequest(bucket=store.bucket, key="grown", position=5, body=torn())
        )
    client = store.client()  # the other's connection is in the middle of a body
    wait_until(lambda: blobs(store) == before)
    append(5, b" end")
    got = client.get_object(oss.GetObjectRequest(bucket=store.bucket, key="grown"))
    assert got.body.content == b"begin end"


def test_a_body_needs_a_length(store: OssStandin) -> None:
    with Wire(store) as wire:
        wire.head(f"PUT {signed_put(store, 'unmeasured')} HTTP/1.1")
        answer = wire.answer()
        assert answer.status == 411
        assert "<Code>MissingContentLength</Code>" in answer.text  # type: ignore[attr-defined]
    for length in ("-1", "abc", "9" * 5000):
        with Wire(store) as wire:
            target = signed_put(store, "unmeasured")
            wire.head(f"PUT {target} HTTP/1.1", f"Content-Length: {length}")
            assert wire.answer().status == 400
    with Wire(store) as wire:
        target = signed_put(store, "unmeasured")
        wire.head(f"PUT {target} HTTP/1.1", f"Content-Length: {5 * 1024**3 + 1}")
        assert "<Code>EntityTooLarge</Code>" in wire.answer().text  # type: ignore[attr-defined]
    assert not exists(store, "unmeasured")


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("NONSENSE", 400),
        ("GET / HTTP/3.7", 505),
        ("BREW /pot HTTP/1.1", 501),
        ("GET /p4-cams/ü HTTP/1.1", 403),
    ],
)
def test_odd_request_lines_are_refused_in_oss_form(
    store: OssStandin, request_line: str, status: int
) -> None:
    with Wire(store) as wire:
        wire.head(request_line)
        answer = wire.answer("GET")
        assert answer.status == status and answer.getheader("Server") == "AliyunOSS"
        assert answer.text.lstrip().startswith("<?xml")  # type: ignore[attr-defined]


def test_a_method_that_objects_do_not_know(store: OssStandin) -> None:
    request = oss.OperationInput(op_name="x", method="PATCH", bucket=store.bucket, key="k")
    with pytest.raises(oss.exceptions.OperationError) as caught:
        store.client().invoke_operation(request)
    assert (caught.value.unwrap().status_code, caught.value.unwrap().code) == (
        405,
        "MethodNotAllowed",
    )


def test_a_client_that_stalls_is_dropped_and_told() -> None:
    with oss_standin(idle_sec=1) as store, Wire(store) as wire:
        wire.head(f"PUT {signed_put(store, 'stalled')} HTTP/1.1", "Content-Length: 1000")
        wire.socket.sendall(bytes(500))
        answer = wire.answer()
        assert answer.status == 400
        assert "<Code>RequestTimeout</Code>" in answer.text  # type: ignore[attr-defined]
        assert not exists(store, "stalled") and blobs(store) == []
        with Wire(store) as idle:
            assert idle.is_closed()


def test_uploads_run_side_by_side(store: OssStandin) -> None:
    with Wire(store) as slow:
        slow.head(f"PUT {signed_put(store, 'slow')} HTTP/1.1", "Content-Length: 10")
        slow.socket.sendall(b"01234")
        with Wire(store) as quick:
            quick.head(f"PUT {signed_put(store, 'quick')} HTTP/1.1", "Content-Length: 5")
            quick.socket.sendall(b"quick")
            assert quick.answer().status == 200
        slow.socket.sendall(b"56789")
        assert slow.answer().status == 200


def test_a_reader_gets_the_object_that_it_began_with(store: OssStandin) -> None:
    client = store.client()
    first = bytes(8_000_000)
    client.put_object(oss.PutObjectRequest(bucket=store.bucket, key="replaced", body=first))
    url = client.presign(oss.GetObjectRequest(bucket=store.bucket, key="replaced")).url
    with HTTP.get(url, stream=True, timeout=20) as answer:
        stream = answer.iter_content(100_000)
        begin = next(stream)
        client.put_object(oss.PutObjectRequest(bucket=store.bucket, key="replaced", body=b"new"))
        assert begin + b"".join(stream) == first
    assert HTTP.get(url, timeout=20).content == b"new"


# ---- Hosts


@pytest.mark.parametrize(
    "endpoint",
    ["oss-cn-hangzhou.aliyuncs.com", "oss-cn-hangzhou-internal.aliyuncs.com", "localhost"],
)
@pytest.mark.parametrize("version", ["v4", "v1"])
def test_the_bucket_may_be_in_the_host(store: OssStandin, endpoint: str, version: str) -> None:
    client = store.client(f"http://{endpoint}", signature_version=version)
    wanted = oss.PutObjectRequest(bucket=store.bucket, key="by/host.ts", content_type="video/mp2t")
    parts = urlsplit(client.presign(wanted, expires=EXPIRES).url)
    assert parts.netloc == f"{store.bucket}.{endpoint}" and parts.path == "/by/host.ts"
    url = parts._replace(netloc=store.address).geturl()
    headers = {"Host": parts.netloc, "Content-Type": "video/mp2t"}
    answer = HTTP.put(url, data=b"by host", headers=headers, timeout=20)
    assert answer.status_code == 200, answer.text
    got = store.client().get_object(oss.GetObjectRequest(bucket=store.bucket, key="by/host.ts"))
    assert got.body.content == b"by host"


def test_under_its_own_name_oss_wants_the_bucket_in_the_host(store: OssStandin) -> None:
    url = f"{store.endpoint}{signed_put(store, 'k')}"
    headers = {"Host": "oss-cn-hangzhou.aliyuncs.com"}
    answer = HTTP.put(url, data=b"x", headers=headers, timeout=20)
    assert answer.status_code == 403
    assert "<Code>SecondLevelDomainForbidden</Code>" in answer.text


@pytest.mark.parametrize("target", ["/%ff%fe", "/UPPER/k", "/b/k", f"/p4-cams/{'k' * 1024}"])
def test_names_that_oss_does_not_allow(store: OssStandin, target: str) -> None:
    with Wire(store) as wire:
        wire.head(f"GET {target} HTTP/1.1")
        answer = wire.answer("GET")
        assert answer.status == 400
        assert "<Code>Invalid" in answer.text  # type: ignore[attr-defined]


# ---- TLS


def test_it_speaks_tls_with_the_test_ca() -> None:
    ca = TestCA()
    with oss_standin(ca) as store:
        assert store.endpoint.startswith("https://")
        url = (
            store.client()
            .presign(oss.PutObjectRequest(bucket=store.bucket, key="k"), expires=EXPIRES)
            .url
        )
        answer = HTTP.put(url, data=b"x", verify=str(store.ca_file), timeout=20)
        assert answer.status_code == 200
        refused = HTTP.put(
            url.replace("/k?", "/other?"), data=bytes(1000), verify=str(store.ca_file), timeout=20
        )
        assert refused.status_code == 403
        with pytest.raises(requests.exceptions.SSLError):
            HTTP.put(url, data=b"x", timeout=20)


def test_a_client_that_never_shakes_hands_holds_nobody_up() -> None:
    with oss_standin(TestCA()) as store, Wire(store):
        done: list[int] = []

        def put() -> None:
            url = (
                store.client()
                .presign(oss.PutObjectRequest(bucket=store.bucket, key="k"), expires=EXPIRES)
                .url
            )
            answer = HTTP.put(url, data=b"x", verify=str(store.ca_file), timeout=20)
            done.append(answer.status_code)

        worker = threading.Thread(target=put)
        worker.start()
        worker.join(20)
        assert done == [200]


def test_plain_http_is_not_answered_over_tls() -> None:
    with oss_standin(TestCA()) as store, Wire(store) as wire:
        wire.head("GET / HTTP/1.1")
        with pytest.raises((http.client.HTTPException, ConnectionError, ssl.SSLError)):
            wire.answer("GET")
        store.probe()
