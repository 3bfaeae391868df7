"""The head of an HTTP/1.1 request (RFC 9112), written into the caller's buffer.

    PUT /path?query HTTP/1.1 CRLF
    Name: value CRLF  ...                 byte for byte, in the order given
    CRLF

Invariant: no name or value can begin another line, and the body is framed by
Content-Length alone.

Pure: no IO.
"""

from protocol_error import ProtocolError

_NAME_MARKS = "!#$%&'*+-.^_`|~"
_REFUSED = ("transfer-encoding", "expect", "upgrade", "trailer")


def write_head(buf, method, target, headers):
    """Write a request head and return its length.

    `headers` are (name, value) pairs; one that repeats another with the same
    value is left out. ProtocolError for what may not be sent or does not fit.
    """
    at = _put(buf, 0, "%s %s HTTP/1.1\r\n" % (method, target))
    seen = {}
    for name, value in headers:
        key = name.lower()
        _check(key, value)
        if seen.get(key, value) != value:
            raise ProtocolError("two values for header " + name)
        if key not in seen:
            seen[key] = value
            at = _put(buf, at, "%s: %s\r\n" % (name, value))
    return _put(buf, at, "\r\n")


def _check(name, value):
    if not name or not all("a" <= c <= "z" or "0" <= c <= "9" or c in _NAME_MARKS for c in name):
        raise ProtocolError("bad header name")
    if name in _REFUSED:
        raise ProtocolError("header not allowed: " + name)
    if not all(" " <= c != "\x7f" for c in value):
        raise ProtocolError("control character in header " + name)


def _put(buf, at, text):
    raw = text.encode()
    end = at + len(raw)
    if end > len(buf):
        raise ProtocolError("request head too long")
    buf[at:end] = raw
    return end
