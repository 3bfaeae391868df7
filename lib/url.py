"""Upload URLs: taken apart strictly, and shown without their secrets.

A presigned URL is a credential: whoever has its query may write the object.
So it is checked before use and only ever shown as scheme, host and path. A
redirect never leads from TLS to plain text.

Pure: no IO.
"""

from collections import namedtuple

from micropython import const

from protocol_error import ProtocolError

_LIMIT_BYTES = const(4096)
_HOST_LIMIT = const(253)
_HOST_CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789-."

# host_header: the host as the Host header names it, with the port only when the URL has one.
Url = namedtuple("Url", ("is_tls", "host", "port", "host_header", "target"))


def split(text):
    """The parts of an absolute http(s) URL; ProtocolError says what is wrong with it.

    Only printable ASCII passes, so nothing in a URL can end a header line; user
    information, IPv6 literals and fragments have no use here and are refused.
    """
    if len(text) > _LIMIT_BYTES or not all("!" <= c <= "~" for c in text):
        raise ProtocolError("URL is too long or not plain ASCII")
    scheme, mark, rest = text.partition("://")
    scheme = scheme.lower()
    if not mark or scheme not in ("http", "https") or "#" in rest:
        raise ProtocolError("not an http or https URL")
    authority, target = _cut(rest)
    host, colon, port = authority.partition(":")
    is_tls = scheme == "https"
    number = _port(port) if colon else (443 if is_tls else 80)
    return Url(is_tls, _host(host), number, authority, target)


def redirected(text, location):
    """The URL that a redirect from the URL `text` leads to; ProtocolError if that is none to follow."""
    old = split(text)
    scheme = "https:" if old.is_tls else "http:"
    if location.startswith("//"):
        location = scheme + location
    elif location.startswith("/"):
        location = scheme + "//" + old.host_header + location
    new = split(location)
    if old.is_tls and not new.is_tls:
        raise ProtocolError("redirected away from TLS")
    return location


def without_query(text):
    """Scheme, host and path: what may be shown of a URL."""
    return text.split("?", 1)[0].split("#", 1)[0]


def _cut(rest):
    """Authority and request target; a target without a path gets one."""
    ends = [i for i in (rest.find("/"), rest.find("?")) if i >= 0]
    if not ends:
        return rest, "/"
    end = min(ends)
    return rest[:end], rest[end:] if rest[end] == "/" else "/" + rest[end:]


def _host(text):
    host = text.lower()
    if not 0 < len(host) <= _HOST_LIMIT or not all(c in _HOST_CHARACTERS for c in host):
        raise ProtocolError("URL without a usable host")
    if not all(0 < len(label) < 64 for label in host.split(".")):
        raise ProtocolError("URL without a usable host")
    return host


def _port(text):
    if not text.isdigit() or len(text) > 5 or not 0 < int(text) < 65536:
        raise ProtocolError("URL with an unusable port")
    return int(text)
