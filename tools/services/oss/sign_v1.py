"""OSS signature version 1: HMAC-SHA1 over the parts of a request that OSS's documentation names.

Written from "Include a V1 signature in the header" and "Add signatures to a URL", and not from
any SDK's signer. Pure: no IO.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import datetime, timezone

from tools.services.oss.errors import (
    access_denied,
    invalid_access_key,
    invalid_argument,
    request_has_expired,
    request_time_too_skewed,
    signature_mismatch,
)
from tools.services.oss.request import SKEW, Account, Request, http_date, whole_number

_LAST_SECOND = 253_402_300_799  # of the year 9999
URL_ARGUMENTS = ("OSSAccessKeyId", "Expires", "Signature")
# Query arguments that belong to the resource; the others are not signed.
SUB_RESOURCES = frozenset(
    "accessPoint accessPointPolicy acl append asyncFetch bucketArchiveDirectRead bucketInfo"
    " callback callback-var cname comp continuation-token cors delete encryption endTime group"
    " httpsConfig img inventory inventoryId lifecycle link live location logging metaQuery"
    " objectInfo objectMeta partNumber policy position publicAccessBlock qos qosInfo"
    " redundancyTransition referer regionList replication replicationLocation"
    " replicationProgress requestPayment resourceGroup response-cache-control"
    " response-content-disposition response-content-encoding response-content-language"
    " response-content-type response-expires restore security-token sequential startTime stat"
    " status style styleName symlink tagging transferAcceleration uploadId uploads versionId"
    " versioning versions vod website worm wormExtend wormId x-oss-ac-forward-allow"
    " x-oss-ac-source-ip x-oss-ac-subnet-mask x-oss-ac-vpc-id x-oss-process x-oss-request-payer"
    " x-oss-traffic-limit".split()
)


def string_to_sign(request: Request, date: str) -> bytes:
    """`date` is the Date header's text, or the URL's Expires."""
    resource = "/" + "/".join(part for part in (request.bucket, request.key) if part)
    if request.bucket and not request.key:
        resource += "/"
    arguments = sorted((name, value) for name, value in request.query if name in SUB_RESOURCES)
    if arguments:
        resource += "?" + "&".join(f"{n}={v}" if v else n for n, v in arguments)
    lines = [
        request.method,
        request.header("content-md5") or "",
        request.header("content-type") or "",
        date,
        *(f"{name}:{value}" for name, value in request.headers_where("x-oss-", ())),
    ]
    # Header values arrive as bytes, which http.server reads as Latin-1.
    return "".join(f"{line}\n" for line in lines).encode("latin-1", "replace") + resource.encode()


def signature(secret: str, text: bytes) -> str:
    return base64.b64encode(hmac.new(secret.encode(), text, hashlib.sha1).digest()).decode()


def check_header(request: Request, account: Account, now: datetime) -> None:
    """Verify `Authorization: OSS key:signature`."""
    access_key, _, provided = (request.header("authorization") or "")[4:].partition(":")
    if not access_key or not provided:
        raise invalid_argument("Authorization header is invalid.")
    date = request.header("x-oss-date") or request.header("date") or ""
    try:
        signed_at = http_date(date)
    except ValueError:
        raise access_denied("OSS authentication requires a valid Date.") from None
    if abs(now - signed_at) > SKEW:
        raise request_time_too_skewed(signed_at, now, SKEW)
    _compare(account, access_key, provided, string_to_sign(request, date))


def check_url(request: Request, account: Account, now: datetime) -> None:
    """Verify a signed URL, its expiry first as OSS does."""
    access_key, expires, provided = (request.argument(name) or "" for name in URL_ARGUMENTS)
    if not (access_key and expires and provided):
        raise access_denied(
            "Query-string authentication requires the Signature, Expires and OSSAccessKeyId"
            " parameters"
        )
    seconds = whole_number(expires)
    if seconds is None:
        raise access_denied("Invalid date (should be seconds since epoch)", "0002-00000070")
    end = datetime.fromtimestamp(min(seconds, _LAST_SECOND), timezone.utc)
    if now > end:
        raise request_has_expired(end, now)
    _compare(account, access_key, provided, string_to_sign(request, expires))


def _compare(account: Account, access_key: str, provided: str, text: bytes) -> None:
    if access_key != account.access_key:
        raise invalid_access_key(access_key)
    if not hmac.compare_digest(signature(account.secret_key, text).encode(), provided.encode()):
        raise signature_mismatch(access_key, provided, text, "0002-00000040")
