"""What counts as evidence that the bytes are stored, and what does not."""

from binascii import b2a_base64, hexlify
from collections import namedtuple

from firmware.upload_error import UploadError
from firmware.upload_proof import check, check_ack, is_proven
from harness import eq, raises

DIGEST = bytes(range(0xE0, 0xF0))
HEX = hexlify(DIGEST).decode()
NAMED = b2a_base64(DIGEST).decode().strip()
OTHER = 32 * "0"

Ack = namedtuple("Ack", "is_verified size_bytes")


def test_evidence():
    for content_md5, etag in ((NAMED, None), (NAMED, OTHER), (None, HEX), ("x", '"%s"' % HEX)):
        assert is_proven(DIGEST, content_md5, etag), (content_md5, etag)
        check(DIGEST, content_md5, etag)


def test_no_evidence():
    for content_md5, etag, text in (
        (None, None, "no proof"),
        ("", "", "no proof"),
        (NAMED + "=", '"%s-2"' % HEX, "no proof"),
        (None, HEX[:31], "no proof"),
        (None, OTHER, "other bytes"),
    ):
        assert not is_proven(DIGEST, content_md5, etag), (content_md5, etag)
        error = raises(UploadError, check, DIGEST, content_md5, etag)
        eq(error.code, "INTEGRITY")
        assert text in error.message, error


def test_the_cloud_and_the_camera():
    for is_verified, size_bytes, has_proof in (
        (True, 5, True),
        (True, 5, False),
        (True, None, False),
        (False, 5, True),
        (False, None, True),
    ):
        check_ack(Ack(is_verified, size_bytes), 5, has_proof)
    for is_verified, size_bytes, has_proof in (
        (False, 5, False),
        (False, None, False),
        (True, 4, True),
        (True, 0, False),
    ):
        error = raises(UploadError, check_ack, Ack(is_verified, size_bytes), 5, has_proof)
        eq(error.code, "INTEGRITY")
