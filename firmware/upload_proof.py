"""The evidence that a store holds the bytes that were sent.

Either the request named their MD5, which the store verifies before it says yes,
or the store's ETag is their MD5. An ETag of another form (multipart, most
server-side encryption) proves nothing.

Pure: no IO.
"""

from binascii import b2a_base64, hexlify

from firmware.upload_error import UploadError


def check(digest, content_md5, etag):
    """INTEGRITY unless a 2xx answer proves that the bytes with this MD5 (16 bytes) were stored.

    `content_md5` is what the request named, or None; `etag` is the response's header or None.
    """
    if content_md5 == b2a_base64(digest).decode().strip():
        return
    md5 = _md5_of(etag or "")
    if md5 is None:
        raise UploadError("INTEGRITY", "store gave no proof of what it holds")
    if md5 != hexlify(digest).decode():
        raise UploadError("INTEGRITY", "store holds other bytes than were sent")


def _md5_of(etag):
    """The MD5 in lower-case hex that an ETag (RFC 9110, section 8.8.3) is, or None."""
    text = etag[2:] if etag.startswith("W/") else etag
    text = text.strip('"').lower()
    is_md5 = len(text) == 32 and all(c in "0123456789abcdef" for c in text)
    return text if is_md5 else None
