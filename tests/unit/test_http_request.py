"""Request heads: exact to the byte, and closed to everything that could add a line."""

from harness import eq, raises
from http_request import write_head
from protocol_error import ProtocolError


def written(headers, size=200):
    buf = bytearray(size)
    return bytes(buf[: write_head(buf, "PUT", "/a?b=c", headers)])


def test_exact_bytes():
    headers = (("Host", "h"), ("x-Odd-CASE", "  as is; "), ("X-Empty", ""), ("X-N", "\u00fc"))
    eq(
        written(headers),
        b"PUT /a?b=c HTTP/1.1\r\nHost: h\r\nx-Odd-CASE:   as is; \r\nX-Empty: \r\nX-N: \xc3\xbc\r\n\r\n",
    )


def test_repetition():
    eq(
        written((("A", "1"), ("a", "1"), ("B", "2"))),
        b"PUT /a?b=c HTTP/1.1\r\nA: 1\r\nB: 2\r\n\r\n",
    )
    raises(ProtocolError, written, (("A", "1"), ("a", "2")))
    raises(ProtocolError, written, (("A", ""), ("a", "2")))


def test_injection():
    for name, value in (
        ("", "1"),
        ("A:", "1"),
        ("A B", "1"),
        ("A\r\nB", "1"),
        ("A\n", "1"),
        ("\u00fc", "1"),
        ("A", "1\r\nB: 2"),
        ("A", "1\n"),
        ("A", "\t"),
        ("A", "\0"),
        ("A", "\x7f"),
        ("Transfer-Encoding", "chunked"),
        ("EXPECT", "100-continue"),
        ("Upgrade", "h2c"),
    ):
        raises(ProtocolError, written, ((name, value),))


def test_full_buffer():
    head = written((("A", "1"),))
    eq(written((("A", "1"),), len(head)), head)
    for size in range(len(head)):
        raises(ProtocolError, written, (("A", "1"),), size)
