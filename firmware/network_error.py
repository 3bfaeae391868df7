"""What a failure of the network means for an upload."""

from errno import ETIMEDOUT

from firmware.upload_error import UploadError
from net_stream import TlsError

# ENETDOWN, ENETUNREACH on Linux; ENETUNREACH, ENETDOWN, EHOSTUNREACH on lwIP: no interface is up.
_NO_ROUTE = (100, 101, 114, 115, 118)


def unreachable(host, error):
    """The UploadError for an OSError of connecting to a host."""
    number = error.errno
    code = "CONNECTION_LOST"
    if isinstance(error, TlsError):
        code = _tls_code(error)
    elif number == ETIMEDOUT:
        code = "CONNECT_TIMEOUT"
    elif number in _NO_ROUTE:
        code = "NETWORK_DOWN"
    elif isinstance(number, int) and number < 0:
        code = "DNS_FAILED"
    return _upload_error(code, host, error)


def lost(host, error, has_talked):
    """The UploadError for an OSError of a connection; before bytes have passed, TLS is on trial."""
    code = "CONNECTION_LOST"
    if isinstance(error, TlsError) and not has_talked:
        code = _tls_code(error)
    elif error.errno == ETIMEDOUT:
        code = "TIMEOUT"
    return _upload_error(code, host, error)


def timed_out(elapsed_ms, timeout_ms, idle_timeout_ms):
    """The UploadError for a missed deadline: that of the whole upload, or of one step."""
    if elapsed_ms >= timeout_ms:
        return UploadError("TIMEOUT", "Upload timeout after %d seconds" % (timeout_ms // 1000))
    return UploadError("TIMEOUT", "No progress for %d seconds" % (idle_timeout_ms // 1000))


def _tls_code(error):
    return "TLS_CERTIFICATE" if error.is_certificate else "TLS_FAILED"


def _upload_error(code, host, error):
    return UploadError(code, "%s: %s" % (host, error))
