"""From a grant to a request head: where it may go, for how long, and with which headers."""

from collections import namedtuple

from firmware.upload_error import UploadError
from firmware.upload_request import prepare, redirected, usable_sec
from harness import eq, raises

Grant = namedtuple("Grant", "method content_type extra_headers expires_at server_time expires_in")
URL = "https://b.example:8443/a/b.ts?X-Signature=secret"


def grant(**changes):
    fields = {
        "method": "PUT",
        "content_type": "",
        "extra_headers": (),
        "expires_at": None,
        "server_time": None,
        "expires_in": None,
    }
    fields.update(changes)
    return Grant(**fields)


def prepared(upload_url=URL, allowed_hosts=(), keeps=False, allow_insecure=False, **changes):
    view = memoryview(bytearray(1000))
    request = prepare(
        grant(**changes),
        upload_url,
        17,
        view,
        allow_insecure=allow_insecure,
        allowed_hosts=allowed_hosts,
        keeps=keeps,
    )
    return request, bytes(view[: request.head_bytes])


def test_request_is_exact():
    request, head = prepared(extra_headers=(("Content-MD5", "abc=="), ("x-A", "b")))
    eq(
        head,
        b"PUT /a/b.ts?X-Signature=secret HTTP/1.1\r\nHost: b.example:8443\r\n"
        b"Content-Length: 17\r\nConnection: close\r\nContent-MD5: abc==\r\nx-A: b\r\n\r\n",
    )
    eq((request.host, request.port, request.is_tls), ("b.example", 8443, True))
    eq(request.content_md5, "abc==")
    assert b"\r\nConnection: keep-alive\r\n" in prepared(keeps=True)[1]
    eq(prepared()[0].content_md5, None)


def test_allowed_hosts():
    for allowed in ((), ("b.example",), ("a.example", "b.example")):
        prepared(allowed_hosts=allowed)
    prepared("https://B.Example/x", allowed_hosts=("b.example",))
    for allowed in (("example",), ("c.example",), ("b.example.com",)):
        error = raises(UploadError, prepared, allowed_hosts=allowed)
        eq(error.code, "BAD_RESPONSE")
        assert "secret" not in str(error)


def test_plain_text_only_if_allowed():
    raises(UploadError, prepared, "http://b.example/x")
    prepared("http://b.example/x", allow_insecure=True)


def test_redirects():
    eq(redirected(URL, "https://c.example/x?y"), "https://c.example/x?y")
    error = raises(UploadError, redirected, URL, "http://b.example/x?secret")
    eq(error.code, "BAD_RESPONSE")
    assert "secret" not in str(error), error


def test_how_long_urls_serve():
    for fields, unix_time, expected in (
        ({}, None, None),
        ({}, 1000, None),
        ({"expires_at": 1100}, None, None),
        ({"expires_at": 1100}, 1000, 95),
        ({"expires_at": 1100, "server_time": 1000}, 5, 95),
        ({"expires_at": 1100, "server_time": 1000}, None, 95),
        ({"expires_in": 60}, None, 55),
        ({"expires_in": 60, "server_time": 1000}, None, 55),
        ({"expires_at": 1005}, 1000, 0),
    ):
        eq(usable_sec(grant(**fields), unix_time), expected, str(fields))
    for fields, unix_time in (
        ({"expires_at": 1004}, 1000),
        ({"expires_at": 1}, 1000),
        ({"expires_at": 1000, "server_time": 999}, 5),
        ({"expires_in": 4}, None),
    ):
        error = raises(UploadError, usable_sec, grant(**fields), unix_time)
        eq(error.code, "URL_EXPIRED")
