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

# cloud_url: without its query; content_md5: as the head names it, or None; head_bytes: of the buffer.
Request = namedtuple(
    "Request", ("host", "port", "is_tls", "cloud_url", "cloud_path", "content_md5", "head_bytes")
)


def prepare(grant, size_bytes, view, *, allow_insecure, unix_time):
    """Write the request head into `view`; UploadError for a grant that cannot be used.

    `unix_time` is the camera's own, None while unknown; the cloud's goes before it.
    """
    try:
        parts = url.split(grant.upload_url)
        if grant.method not in ("PUT", "POST"):
            raise ProtocolError("unknown upload method")
        if not (parts.is_tls or allow_insecure):
            raise ProtocolError("refusing to upload without TLS")
        headers = _headers(grant, parts.host_header, size_bytes)
        head_bytes = write_head(view, grant.method, parts.target, headers)
    except ProtocolError as error:
        raise UploadError("BAD_RESPONSE", str(error))
    now = grant.server_time or unix_time
    if now and grant.expires_at and grant.expires_at - now < _START_MARGIN_SEC:
        raise UploadError("URL_EXPIRED", "upload URL expired before its use")
    return Request(
        parts.host,
        parts.port,
        parts.is_tls,
        url.without_query(grant.upload_url),
        grant.cloud_file_path,
        _content_md5(headers),
        head_bytes,
    )


def _content_md5(headers):
    for name, value in headers:
        if name.lower() == "content-md5":
            return value
    return None


def _headers(grant, host, size_bytes):
    own = (("Host", host), ("Content-Length", str(size_bytes)), ("Connection", "close"))
    kind = (("Content-Type", grant.content_type),) if grant.content_type else ()
    return own + kind + tuple(grant.extra_headers)
