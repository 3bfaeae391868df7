"""Why an upload failed and what may be done about it.

Every code belongs to one class of retry; whoever reports a failure chooses the
code alone. An object store's refusal is told from its error document where
there is one, else from its status.

Pure: no IO.
"""

from micropython import const

RETRY = "retry"  # after a back-off, an attempt is spent
RENEW = "renew"  # with a new URL at once, no attempt is spent
WAIT = "wait"  # until the network is back, no attempt is spent
PAUSE = "pause"  # the whole queue: the store takes no more
SUSPEND = "suspend"  # until the more urgent is done, no attempt is spent, nobody is told
NEVER = "never"

CLASSES = {
    "NETWORK_DOWN": WAIT,
    "DNS_FAILED": RETRY,
    "CONNECT_TIMEOUT": RETRY,
    "CONNECTION_LOST": RETRY,
    "TIMEOUT": RETRY,
    "MQTT_UNAVAILABLE": RETRY,
    "NO_RESPONSE": RETRY,
    "URL_EXPIRED": RENEW,
    "CLOCK_SKEW": RETRY,
    "SIGNATURE_MISMATCH": NEVER,
    "ACCESS_DENIED": NEVER,
    "UNAUTHORIZED": NEVER,
    "BAD_REQUEST": NEVER,
    "STORE_UNAVAILABLE": RETRY,
    "RATE_LIMITED": RETRY,
    "STORE_FULL": PAUSE,
    "INTEGRITY": RETRY,
    "LOCAL_CORRUPT": NEVER,
    "FILE_MISSING": NEVER,
    "FILE_CHANGED": NEVER,
    "BAD_PATH": NEVER,
    "UNSUPPORTED_FORMAT": NEVER,
    "CARD_ERROR": RETRY,
    "CARD_FULL": RETRY,
    "TLS_CERTIFICATE": NEVER,
    "TLS_FAILED": NEVER,
    "BAD_RESPONSE": RETRY,
    "NO_MEMORY": RETRY,
    "CANCELLED": NEVER,
    "NO_UPLOAD": RETRY,
    "ALREADY_EXISTS": RETRY,
    "POSITION_CONFLICT": RENEW,
    "SUSPENDED": SUSPEND,
}

# <Code> of S3, MinIO, SeaweedFS and OSS error documents; texts, for a dict of them takes five
# times the memory. What is not listed is judged by the status.
_BY_STORE_CODE = (
    ("URL_EXPIRED", " ExpiredToken TokenRefreshRequired SecurityTokenExpired "),
    ("CLOCK_SKEW", " RequestTimeTooSkewed "),
    (
        "SIGNATURE_MISMATCH",
        " SignatureDoesNotMatch AuthorizationHeaderMalformed AuthorizationQueryParametersError ",
    ),
    ("ACCESS_DENIED", " InvalidAccessKeyId "),
    (
        "RATE_LIMITED",
        " SlowDown SlowDownRead SlowDownWrite TooManyRequests ErrTooManyRequest RequestThrottled"
        " RequestLimitExceeded QpsLimitExceeded UploadTrafficRateLimitExceeded"
        " TotalTrafficRateLimitExceeded ",
    ),
    (
        "STORE_UNAVAILABLE",
        " InternalError ServiceUnavailable ServerBusy OperationAborted ConditionalRequestConflict ",
    ),
    ("STORE_FULL", " XMinioStorageFull XMinioAdminBucketQuotaExceeded QuotaExceeded "),
    (
        "INTEGRITY",
        " BadDigest InvalidDigest XAmzContentSHA256Mismatch XAmzContentChecksumMismatch"
        " InvalidPart InvalidPartOrder FilePartStale ",
    ),
    ("CONNECTION_LOST", " IncompleteBody ClientDisconnected "),
    ("TIMEOUT", " RequestTimeout "),
    ("NO_UPLOAD", " NoSuchUpload "),
    ("ALREADY_EXISTS", " PreconditionFailed FileAlreadyExists FileImmutable ObjectNotAppendable "),
    ("POSITION_CONFLICT", " PositionNotEqualToLength "),
    (
        "BAD_PATH",
        " KeyTooLongError InvalidObjectName XMinioInvalidObjectName XMinioInvalidResourceName ",
    ),
)

# What AccessDenied means, by its text; OSS also numbers its causes in <EC>.
_BY_DENIAL = (
    (b"has expired", "URL_EXPIRED"),
    (b"0002-00000069", "URL_EXPIRED"),
    (b"0002-00000418", "URL_EXPIRED"),
    (b"not valid yet", "CLOCK_SKEW"),
    (b"0002-00000235", "CLOCK_SKEW"),
    (b"not signed", "SIGNATURE_MISMATCH"),
)

_BY_STATUS = {
    401: "ACCESS_DENIED",
    403: "ACCESS_DENIED",
    408: "TIMEOUT",
    412: "ALREADY_EXISTS",
    429: "RATE_LIMITED",
    507: "STORE_FULL",
}

_SHOWN_CHARACTERS = const(40)
_LONGEST_WAIT_SEC = const(3600)


class UploadError(Exception):
    """An upload failed: `code` of CLASSES, what the scheduler does (`retry`), after how long.

    `message` is for people; it never holds a query or a credential.
    """

    def __init__(self, code, message, retry=None, retry_after_sec=0):
        super().__init__("%s: %s" % (code, message))
        self.code = code
        self.message = message
        self.retry = retry or CLASSES[code]
        self.retry_after_sec = retry_after_sec


def is_error_document(body):
    """Whether a response's body says that the request failed, whatever its status."""
    return b"<Error" in body and b"<Code>" in body


def classify_response(status, body, retry_after=None):
    """The UploadError that a store's refusal means.

    `body` is the (beginning of the) error document, `retry_after` the header's value.
    """
    store_code = _store_code(body)
    message = ("store answered %d %s" % (status, store_code)).strip()
    return UploadError(_code(status, store_code, body), message, None, _seconds(retry_after))


def _code(status, store_code, body):
    if store_code == "AccessDenied":
        for text, code in _BY_DENIAL:
            if text in body:
                return code
    if store_code:
        for code, names in _BY_STORE_CODE:
            if " " + store_code + " " in names:
                return code
    if 500 <= status and status not in _BY_STATUS:
        return "STORE_UNAVAILABLE"
    return _BY_STATUS.get(status, "BAD_RESPONSE")


def _store_code(body):
    """The text of <Code>, as far as it may be shown."""
    start = body.find(b"<Code>") + 6
    end = body.find(b"</Code>", start)
    if start < 6 or end < 0:
        return ""
    raw = bytes(body[start:end]).strip()[:_SHOWN_CHARACTERS]
    return "".join(chr(c) for c in raw if 32 < c < 127)


def _seconds(retry_after):
    """Retry-After in seconds; a date there is left to the back-off, for clocks differ."""
    if not retry_after or not all("0" <= c <= "9" for c in retry_after):
        return 0
    return min(int(retry_after[:9]), _LONGEST_WAIT_SEC)
