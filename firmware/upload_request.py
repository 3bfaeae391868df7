"""From what the cloud granted to the head of the HTTP request.

The headers are the grant's, byte for byte, with Host, Content-Length and
Connection: whatever else were sent could break the signature.

Pure: no IO.
"""

from collections import namedtuple

from micropython import const

import url
from firmware.upload_error import UploadError
from http_request import write_head
from protocol_error import ProtocolError

# A URL that expires sooner could do so while the connection is made.
_START_MARGIN_SEC = const(5)

# content_md5: as the head names it, or None; head_bytes: how many of the buffer are the head.
Request = namedtuple("Request", ("host", "port", "is_tls", "content_md5", "head_bytes"))


def prepare(grant, upload_url, size_bytes, view, *, allow_insecure, allowed_hosts, keeps=False):
    """Write the request head into `view`; UploadError for what cannot be used.

    `allowed_hosts`: names in lower case, none for any; `keeps`: another request is to follow.
    """
    try:
        parts = url.split(upload_url)
        if grant.method not in ("PUT", "POST"):
            raise ProtocolError("unknown upload method")
        if not (parts.is_tls or allow_insecure):
            raise ProtocolError("refusing to upload without TLS")
        if allowed_hosts and parts.host not in allowed_hosts:
            raise ProtocolError("not an allowed host: " + parts.host)
        headers = _headers(grant, parts.host_header, size_bytes, keeps)
        head_bytes = write_head(view, grant.method, parts.target, headers)
    except ProtocolError as error:
        raise UploadError("BAD_RESPONSE", str(error))
    return Request(parts.host, parts.port, parts.is_tls, _content_md5(headers), head_bytes)


def redirected(upload_url, location):
    """Where the store's redirect leads, as a URL."""
    try:
        return url.redirected(upload_url, location)
    except ProtocolError as error:
        raise UploadError("BAD_RESPONSE", "bad redirect: %s" % error)


def usable_sec(grant, unix_time):
    """How long the URLs of a grant that just came can be used, None if nothing says so; URL_EXPIRED.

    `unix_time` is the camera's own, None while unknown; what the cloud says goes before it.
    """
    now = grant.server_time or unix_time
    if now and grant.expires_at:
        left_sec = grant.expires_at - now
    elif grant.expires_in is not None:
        left_sec = grant.expires_in
    else:
        return None
    if left_sec < _START_MARGIN_SEC:
        raise UploadError("URL_EXPIRED", "upload URL expired before its use")
    return left_sec - _START_MARGIN_SEC


def _content_md5(headers):
    for name, value in headers:
        if name.lower() == "content-md5":
            return value
    return None


def _headers(grant, host, size_bytes, keeps):
    connection = "keep-alive" if keeps else "close"
    own = (("Host", host), ("Content-Length", str(size_bytes)), ("Connection", connection))
    kind = (("Content-Type", grant.content_type),) if grant.content_type else ()
    return own + kind + tuple(grant.extra_headers)
