"""Upload URLs: what is accepted, what is refused, what may be shown."""

import url
from harness import eq, raises
from protocol_error import ProtocolError


def test_parts():
    for text, parts in (
        ("https://b.oss.example.com/a/b.ts?x=1&y=%2F", (True, "b.oss.example.com", 443, "b.oss.example.com", "/a/b.ts?x=1&y=%2F")),
        ("http://127.0.0.1:9000/cams/a", (False, "127.0.0.1", 9000, "127.0.0.1:9000", "/cams/a")),
        ("HTTPS://Host.Example:443/p", (True, "host.example", 443, "Host.Example:443", "/p")),
        ("http://h", (False, "h", 80, "h", "/")),
        ("http://h?x=1", (False, "h", 80, "h", "/?x=1")),
        ("http://h:65535?x=/y", (False, "h", 65535, "h:65535", "/?x=/y")),
    ):  # fmt: skip
        eq(tuple(url.split(text)), parts)


def test_refused():
    for text in (
        "",
        "/path",
        "ftp://h/",
        "http:/h/",
        "http:///p",
        "http://:80/p",
        "http://h:/p",
        "http://h:0/p",
        "http://h:65536/p",
        "http://h:8o/p",
        "http://h:-1/p",
        "http://user:secret@h/p",
        "http://[::1]/p",
        "http://h/p#fragment",
        "http://h/a b",
        "http://h/a\r\nX: 1",
        "http://h/a\tb",
        "http://h/\u00fc",
        "http://h\u00fc/",
        "http://a..b/",
        "http://.a/",
        "http://a_b/",
        "http://%41/",
        "http://" + 64 * "a" + "/",
        "http://" + 64 * "abc." + "com/",
        "http://h/" + 5000 * "x",
    ):
        error = raises(ProtocolError, url.split, text)
        assert not text or text not in str(error), "the URL shows in: %s" % error


def test_query_is_never_shown():
    eq(url.without_query("https://h/a/b.ts?X-Amz-Signature=1?2#3"), "https://h/a/b.ts")
    eq(url.without_query("https://h/a"), "https://h/a")


def test_redirects():
    for text, location, expected in (
        ("http://h/a?q", "http://g/b?r", "http://g/b?r"),
        ("http://h/a?q", "https://g/b", "https://g/b"),
        ("https://h:8443/a?q", "/b?r", "https://h:8443/b?r"),
        ("https://h/a", "//g:444/b", "https://g:444/b"),
        ("http://h:81/a", "//g/b", "http://g/b"),
    ):
        eq(url.redirected(text, location), expected)


def test_redirects_that_lead_nowhere():
    for location in ("http://h/a", "b", "", "?q", "ftp://h/a", "https://", "https://u@h/a", "/a b"):
        raises(ProtocolError, url.redirected, "https://h/a", location)
    raises(ProtocolError, url.redirected, "http://h/a", "b")
