"""Responses as they come from stores, proxies and vandals: whole, in pieces, cut short."""

from harness import eq, raises
from http_head import END, NEED_DATA, Head, ResponseParser, header
from protocol_error import ProtocolError

HEAD = b"HTTP/1.1 %s\r\n"


def read(data, step=None, **limits):
    """Feed the bytes in steps and then the end: (head, body)."""
    parser, head = ResponseParser(**limits), None
    step = step or len(data) or 1
    for start in range(0, len(data) + step, step):
        # A view, as a caller would pass the part of its buffer that was filled.
        parser.feed(memoryview(data)[start : start + step])
        event = parser.next_event()
        while event not in (END, NEED_DATA):
            assert head is None, "a second head"
            head = event
            event = parser.next_event()
        if event is END:
            eq(parser.next_event(), END, "after the end")
            return head, bytes(parser.body)
    raise AssertionError("no end")


def everywhere(data, status, body, **limits):
    """The same in one piece, byte by byte and in odd pieces."""
    for step in (None, 1, 7):
        head, got = read(data, step, **limits)
        eq((head.status, got), (status, body), "step %s" % step)
    return head


def test_head_is_taken_apart():
    head = everywhere(
        HEAD % b"200 OK" + b'ETag: "abc"\r\nX-Two:  a b \r\nx-two: c\r\nContent-Length: 0\r\n\r\n',
        200,
        b"",
    )
    eq(
        head,
        Head(
            200,
            "OK",
            (("etag", '"abc"'), ("x-two", "a b"), ("x-two", "c"), ("content-length", "0")),
        ),
    )
    eq(header(head.headers, "x-two"), "a b")
    eq(header(head.headers, "x-three", "none"), "none")


def test_body_by_length():
    everywhere(HEAD % b"403 No" + b"Content-Length: 5\r\n\r\nhelloIGNORED", 403, b"hello")
    everywhere(HEAD % b"403 No" + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nhe", 403, b"he")


def test_body_until_the_end():
    everywhere(HEAD % b"500 Oh" + b"\r\nsome text", 500, b"some text")
    everywhere(HEAD % b"500 Oh" + b"\r\n", 500, b"")


def test_body_in_chunks():
    body = b'3\r\nabc\r\n0A ; x="y"\r\n0123456789\r\n000\r\nTrailer: 1\r\n\r\n'
    everywhere(
        HEAD % b"400 No" + b"Transfer-Encoding: Chunked\r\n\r\n" + body, 400, b"abc0123456789"
    )


def test_chunks_win_over_a_length():
    head = b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
    everywhere(HEAD % b"400 No" + head + b"2\r\nab\r\n0\r\n\r\n", 400, b"ab")


def test_statuses_without_a_body():
    for status in (204, 304):
        everywhere(HEAD % (b"%d X" % status) + b"Content-Length: 9\r\n\r\n", status, b"")


def test_interim_responses_are_skipped():
    interim = HEAD % b"100 Continue" + b"\r\n" + HEAD % b"103 Early" + b"Link: <x>\r\n\r\n"
    everywhere(interim + HEAD % b"201 Created" + b"Content-Length: 1\r\n\r\nx", 201, b"x")


def test_interim_response_alone_needs_more():
    parser = ResponseParser()
    parser.feed(HEAD % b"100 Continue" + b"\r\n")
    eq(parser.next_event(), NEED_DATA)
    eq(parser.next_event(), NEED_DATA)


def test_bare_line_feeds():
    everywhere(b"HTTP/1.0 503 Busy\nRetry-After: 3\n\ntext", 503, b"text")
    everywhere(HEAD % b"503 X" + b"transfer-encoding: chunked\n\n1\na\n0\n\n", 503, b"a")


def test_status_line_without_reason():
    eq(everywhere(b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 200, b"").reason, "")
    eq(everywhere(b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", 200, b"").reason, "")


def test_folded_header():
    head = everywhere(HEAD % b"200 OK" + b"X: a\r\n \t b\r\nContent-Length: 0\r\n\r\n", 200, b"")
    eq(header(head.headers, "x"), "a b")


def test_bytes_that_are_not_text():
    head = everywhere(HEAD % b"200 \xff" + b"X: \xe9\xff\r\nContent-Length: 0\r\n\r\n", 200, b"")
    eq(header(head.headers, "x"), "\xe9\xff")


def test_long_body_ends_early():
    data = HEAD % b"500 Oh" + b"Content-Length: 999999999\r\n\r\n" + 100 * b"x"
    everywhere(data, 500, 64 * b"x", body_limit_bytes=64)
    everywhere(HEAD % b"500 Oh" + b"\r\n" + 100 * b"x", 500, 64 * b"x", body_limit_bytes=64)
    chunk = b"40\r\n" + 64 * b"x" + b"\r\n"
    data = HEAD % b"500 Oh" + b"Transfer-Encoding: chunked\r\n\r\n" + 3 * chunk
    everywhere(data, 500, 96 * b"x", body_limit_bytes=96)


def test_many_small_chunks_are_no_long_head():
    data = (
        HEAD % b"400 No"
        + b"Transfer-Encoding: chunked\r\n\r\n"
        + 100 * b"1\r\nx\r\n"
        + b"0\r\n\r\n"
    )
    everywhere(data, 400, 100 * b"x", limit_bytes=64)


def test_malformed():
    for data in (
        b"x",
        b"HTTX",
        b"\x16\x03\x01",
        b"http/1.1 200 OK\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/1.1  200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 -20 OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        HEAD % b"101 Switching" + b"\r\n",
        HEAD % b"200 OK" + b"no colon\r\n\r\n",
        HEAD % b"200 OK" + b": empty\r\n\r\n",
        HEAD % b"200 OK" + b"X : 1\r\n\r\n",
        HEAD % b"200 OK" + b" folded first\r\n\r\n",
        HEAD % b"200 OK" + b"X: \0\r\n\r\n",
        HEAD % b"200 OK" + b"Content-Length: x\r\n\r\n",
        HEAD % b"200 OK" + b"Content-Length: +1\r\n\r\n1",
        HEAD % b"200 OK" + b"Content-Length: 1, 1\r\n\r\n1",
        HEAD % b"200 OK" + b"Content-Length: \r\n\r\n",
        HEAD % b"200 OK" + b"Content-Length: \xb2\r\n\r\n",
        HEAD % b"200 OK" + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n12",
        HEAD % b"200 OK" + b"Content-Length: " + 30 * b"9" + b"\r\n\r\n",
        HEAD % b"200 OK" + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
        HEAD % b"200 OK" + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n",
        HEAD % b"200 OK" + b"Transfer-Encoding: chunked\r\n\r\n0x1\r\n",
        HEAD % b"200 OK" + b"Transfer-Encoding: chunked\r\n\r\n\r\n",
        HEAD % b"200 OK" + b"Transfer-Encoding: chunked\r\n\r\n" + 16 * b"f" + b"\r\n",
        HEAD % b"200 OK" + b"Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
    ):
        for step in (None, 1):
            raises(ProtocolError, read, data, step)


def test_garbage_is_found_without_a_line_end():
    parser = ResponseParser()
    parser.feed(b"SSH-")
    raises(ProtocolError, parser.next_event)


def test_cut_short_anywhere():
    for data in (
        HEAD % b"200 OK" + b"Content-Length: 5\r\n\r\nhello",
        HEAD % b"200 OK" + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: 1\r\n\r\n",
    ):
        eq(read(data)[1], b"hello")
        for end in range(len(data)):
            raises(ProtocolError, read, data[:end])


def test_huge_heads():
    raises(ProtocolError, read, HEAD % (b"200 " + 5000 * b"x"), 100)
    raises(ProtocolError, read, HEAD % b"200 OK" + 1000 * b"X: 1\r\n", 100)
    raises(ProtocolError, read, HEAD % b"200 OK" + b"X: " + 5000 * b"x", 100)
    many = HEAD % b"200 OK" + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + 1000 * b"X: 1\r\n"
    raises(ProtocolError, read, many, 100)
    raises(ProtocolError, read, HEAD % b"200 OK" + 20 * b"X: 1\r\n" + b"\r\n", limit_bytes=99)


def test_connections_that_may_carry_another_request():
    ok, chunked = HEAD % b"200 OK", b"Transfer-Encoding: chunked\r\n\r\n"
    for data, expected in (
        (ok + b"Content-Length: 0\r\n\r\n", True),
        (ok + b"Content-Length: 5\r\n\r\nhello", True),
        (ok + b"Connection: keep-alive\r\nContent-Length: 0\r\n\r\n", True),
        (ok + chunked + b"5\r\nhello\r\n0\r\n\r\n", True),
        (HEAD % b"204 No Content" + b"\r\n", True),
        (HEAD % b"100 Continue" + b"\r\n" + ok + b"Content-Length: 0\r\n\r\n", True),
        (ok + b"\r\nuntil the end", False),
        (ok + b"Content-Length: 0\r\n\r\nX", False),
        (ok + b"Connection: Close\r\nContent-Length: 0\r\n\r\n", False),
        (ok + b"Connection: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", False),
        (ok + b"Content-Length: 5000\r\n\r\n" + 3000 * b"x", False),
        (ok + chunked + b"bb8\r\n" + 3000 * b"x", False),
        (ok + chunked + b"800\r\n" + 2048 * b"x", False),
    ):
        parser = ResponseParser()
        parser.feed(data)
        event = parser.next_event()
        while event is not END:
            if event is NEED_DATA:
                parser.feed(b"")
            event = parser.next_event()
        eq(parser.is_reusable(), expected, str(data[:80]))


def test_a_head_with_too_many_headers():
    parser = ResponseParser()
    parser.feed(b"HTTP/1.1 200 OK\r\n" + b"A: 1\r\n" * 65)
    eq(str(raises(ProtocolError, parser.next_event)), "too many headers")
