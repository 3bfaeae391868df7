"""Refusals of S3, MinIO, SeaweedFS and OSS, told apart, and what each lets the scheduler do."""

from firmware.upload_error import (
    CLASSES,
    NEVER,
    PAUSE,
    RENEW,
    RETRY,
    SUSPEND,
    WAIT,
    UploadError,
    classify_response,
    is_error_document,
)
from harness import eq, raises


def document(code, message="", more=""):
    text = "<?xml version='1.0'?>\n<Error>\n  <Code>%s</Code><Message>%s</Message>%s</Error>"
    return (text % (code, message, more)).encode()


def test_error_documents():
    for status, code, message, expected in (
        (403, "AccessDenied", "Access Denied.", "ACCESS_DENIED"),
        (403, "AccessDenied", "Request has expired", "URL_EXPIRED"),
        (403, "AccessDenied", "Request is not valid yet", "CLOCK_SKEW"),
        (400, "AccessDenied", "There were headers present in the request which were not signed", "SIGNATURE_MISMATCH"),
        (400, "ExpiredToken", "The provided token has expired.", "URL_EXPIRED"),
        (403, "SecurityTokenExpired", "", "URL_EXPIRED"),
        (403, "RequestTimeTooSkewed", "", "CLOCK_SKEW"),
        (403, "SignatureDoesNotMatch", "", "SIGNATURE_MISMATCH"),
        (400, "AuthorizationQueryParametersError", "", "SIGNATURE_MISMATCH"),
        (403, "InvalidAccessKeyId", "", "ACCESS_DENIED"),
        (400, "BadDigest", "", "INTEGRITY"),
        (400, "InvalidDigest", "", "INTEGRITY"),
        (400, "IncompleteBody", "", "CONNECTION_LOST"),
        (400, "RequestTimeout", "", "TIMEOUT"),
        (503, "SlowDown", "", "RATE_LIMITED"),
        (503, "SlowDownWrite", "", "RATE_LIMITED"),
        (503, "ErrTooManyRequest", "", "RATE_LIMITED"),
        (503, "QpsLimitExceeded", "", "RATE_LIMITED"),
        (503, "XMinioServerNotInitialized", "", "STORE_UNAVAILABLE"),
        (500, "InternalError", "", "STORE_UNAVAILABLE"),
        (507, "XMinioStorageFull", "", "STORE_FULL"),
        (400, "XMinioAdminBucketQuotaExceeded", "", "STORE_FULL"),
        (503, "XMinioWriteQuorum", "", "STORE_UNAVAILABLE"),
        (409, "OperationAborted", "", "STORE_UNAVAILABLE"),
        (409, "ConditionalRequestConflict", "", "STORE_UNAVAILABLE"),
        (404, "NoSuchUpload", "", "NO_UPLOAD"),
        (412, "PreconditionFailed", "", "ALREADY_EXISTS"),
        (409, "FileAlreadyExists", "", "ALREADY_EXISTS"),
        (409, "ObjectNotAppendable", "", "ALREADY_EXISTS"),
        (409, "PositionNotEqualToLength", "", "POSITION_CONFLICT"),
        (400, "InvalidPart", "", "INTEGRITY"),
        (400, "InvalidPartOrder", "", "INTEGRITY"),
        (400, "EntityTooSmall", "", "BAD_RESPONSE"),
        (400, "InvalidObjectName", "", "BAD_PATH"),
        (400, "XMinioInvalidObjectName", "", "BAD_PATH"),
        (400, "KeyTooLongError", "", "BAD_PATH"),
        (499, "ClientDisconnected", "", "CONNECTION_LOST"),
        (404, "NoSuchBucket", "", "BAD_RESPONSE"),
        (400, "EntityTooLarge", "", "BAD_RESPONSE"),
        (200, "InternalError", "", "STORE_UNAVAILABLE"),
        (200, "SomethingNew", "", "BAD_RESPONSE"),
    ):  # fmt: skip
        error = classify_response(status, document(code, message))
        eq((error.code, error.retry), (expected, CLASSES[expected]), code + " " + message)
        eq(error.message, "store answered %d %s" % (status, code))


def test_oss_numbers_its_causes():
    for cause, expected in (
        ("0002-00000069", "URL_EXPIRED"),
        ("0002-00000235", "CLOCK_SKEW"),
        ("0003-00000001", "ACCESS_DENIED"),
    ):
        body = document("AccessDenied", "...", "<EC>%s</EC>" % cause)
        eq(classify_response(403, body).code, expected)


def test_expiry_is_believed_only_of_a_denial():
    error = classify_response(403, document("SignatureDoesNotMatch", "Request has expired"))
    eq(error.code, "SIGNATURE_MISMATCH")


def test_statuses_without_a_document():
    for status, expected in (
        (302, "BAD_RESPONSE"),
        (307, "BAD_RESPONSE"),
        (400, "BAD_RESPONSE"),
        (401, "ACCESS_DENIED"),
        (403, "ACCESS_DENIED"),
        (404, "BAD_RESPONSE"),
        (408, "TIMEOUT"),
        (409, "BAD_RESPONSE"),
        (412, "ALREADY_EXISTS"),
        (429, "RATE_LIMITED"),
        (500, "STORE_UNAVAILABLE"),
        (502, "STORE_UNAVAILABLE"),
        (503, "STORE_UNAVAILABLE"),
        (504, "STORE_UNAVAILABLE"),
        (507, "STORE_FULL"),
        (599, "STORE_UNAVAILABLE"),
    ):
        for body in (b"", b"<html>no</html>", b"<Error><Code>cut off"):
            error = classify_response(status, bytearray(body))
            eq((error.code, error.message), (expected, "store answered %d" % status))


def test_only_plain_text_of_a_code_is_shown():
    error = classify_response(400, document(" Bad\nCode\x07\u00fc" + 100 * "x"))
    text = error.message[len("store answered 400 ") :]
    assert text.startswith("BadCodex") and len(text) <= 40, text


def test_retry_after():
    for value, expected in (
        (None, 0),
        ("", 0),
        ("0", 0),
        ("120", 120),
        ("999999999999", 3600),
        ("-5", 0),
        ("\xb2", 0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
    ):
        eq(classify_response(503, b"", value).retry_after_sec, expected, str(value))


def test_error_documents_are_known():
    assert is_error_document(document("X"))
    assert is_error_document(bytearray(b'<Error xmlns="x"><Code>X</Code></Error>'))
    for body in (b"", b"<CompleteMultipartUploadResult/>", b"<Error/>", b"<Code>X</Code>"):
        assert not is_error_document(body), body


def test_classes():
    for code, retry in (
        ("NETWORK_DOWN", WAIT),
        ("TIMEOUT", RETRY),
        ("URL_EXPIRED", RENEW),
        ("STORE_FULL", PAUSE),
        ("LOCAL_CORRUPT", NEVER),
        ("SUSPENDED", SUSPEND),
        ("POSITION_CONFLICT", RENEW),
        ("TLS_CERTIFICATE", NEVER),
    ):
        error = UploadError(code, "text")
        eq(
            (error.code, error.message, error.retry, error.retry_after_sec),
            (code, "text", retry, 0),
        )
        eq(str(error), code + ": text")
    raises(KeyError, UploadError, "NO_SUCH_CODE", "text")
