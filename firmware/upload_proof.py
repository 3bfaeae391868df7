"""The evidence that a store holds the bytes that were sent.

Either the request named their MD5, which the store verifies before it says yes,
or the store's ETag is their MD5, or the cloud has compared the object. An ETag
of another form (multipart, most server-side encryption) proves nothing by itself.

Pure: no IO.
"""

from binascii import b2a_base64, hexlify

from firmware.upload_error import UploadError


def is_proven(digest, content_md5, etag):
    """Whether a 2xx answer proves that the bytes with this MD5 (16 bytes) were stored.

    `content_md5` is what the request named, or None; `etag` is the response's header or None.
    """
    named = content_md5 == b2a_base64(digest).decode().strip()
    return named or _md5_of(etag or "") == hexlify(digest).decode()


def check(digest, content_md5, etag):
    """INTEGRITY unless is_proven."""
    if not is_proven(digest, content_md5, etag):
        if _md5_of(etag or "") is None:
            raise UploadError("INTEGRITY", "store gave no proof of what it holds")
        raise UploadError("INTEGRITY", "store holds other bytes than were sent")


def check_ack(ack, size_bytes, has_proof):
    """INTEGRITY unless the cloud found the object, and it or the camera (`has_proof`) its bytes."""
    if ack.size_bytes is not None and ack.size_bytes != size_bytes:
        raise UploadError(
            "INTEGRITY", "store holds %d bytes, not %d" % (ack.size_bytes, size_bytes)
        )
    if not (ack.is_verified or has_proof):
        raise UploadError("INTEGRITY", "nobody has verified what the store holds")


def _md5_of(etag):
    """The MD5 in lower-case hex that an ETag (RFC 9110, section 8.8.3) is, or None."""
    text = etag[2:] if etag.startswith("W/") else etag
    text = text.strip('"').lower()
    is_md5 = len(text) == 32 and all(c in "0123456789abcdef" for c in text)
    return text if is_md5 else None
