"""OSS signature version 4: HMAC-SHA256 over a canonical request, with a key for day and region.

Written from "Include a V4 signature in the Authorization header" and "V4 signatures in presigned
URLs", and not from any SDK's signer. Pure: no IO.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from urllib.parse import quote

from tools.services.oss.errors import (
    access_denied,
    invalid_access_key,
    invalid_argument,
    request_has_expired,
    request_time_too_skewed,
    signature_mismatch,
)
from tools.services.oss.request import SKEW, Account, Request, http_date, whole_number

ALGORITHM = "OSS4-HMAC-SHA256"
MAX_EXPIRES_SEC = 604_800
UNSIGNED = "UNSIGNED-PAYLOAD"
_PRODUCT, _TERMINATOR = "oss", "aliyun_v4_request"
_ALWAYS_SIGNED = ("content-md5", "content-type")  # and all of x-oss-*, where present
_TIME = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True)
class Claim:
    """What the client says of its signature."""

    access_key: str
    date: str
    region: str
    signature: str
    additional: tuple[str, ...]  # further headers that it signed, in lower case, sorted
    signed_at: datetime

    @property
    def scope(self) -> str:
        return f"{self.date}/{self.region}/{_PRODUCT}/{_TERMINATOR}"


def canonical_request(request: Request, additional: tuple[str, ...]) -> bytes:
    """The request in the one form that both sides sign."""
    path = "/" + request.bucket + ("/" if request.bucket else "") + request.key
    arguments = sorted(
        (quote(name, safe=""), quote(value, safe=""))
        for name, value in request.query
        if name != "x-oss-signature"
    )
    headers = request.headers_where("x-oss-", (*_ALWAYS_SIGNED, *additional))
    lines = [
        request.method,
        quote(path, safe="/"),
        "&".join(f"{name}={value}" if value else name for name, value in arguments),
        *(f"{name}:{value}" for name, value in headers),
        "",
        ";".join(additional),
        request.header("x-oss-content-sha256") or UNSIGNED,
    ]
    # Header values arrive as bytes, which http.server reads as Latin-1; all else is ASCII by now.
    return "\n".join(lines).encode("latin-1", "replace")


def string_to_sign(canonical: bytes, claim: Claim) -> bytes:
    digest = hashlib.sha256(canonical).hexdigest()
    return "\n".join([ALGORITHM, claim.signed_at.strftime(_TIME), claim.scope, digest]).encode()


def signature(secret: str, claim: Claim, text: bytes) -> str:
    key = ("aliyun_v4" + secret).encode()
    for step in (claim.date, claim.region, _PRODUCT, _TERMINATOR):
        key = hmac.digest(key, step.encode(), "sha256")
    return hmac.digest(key, text, "sha256").hex()


def check_header(request: Request, account: Account, now: datetime) -> None:
    """Verify `Authorization: OSS4-HMAC-SHA256 ...`."""
    fields = _fields(request.header("authorization") or "")
    date = request.header("x-oss-date") or request.header("date") or ""
    try:
        signed_at = _time(date) if request.header("x-oss-date") else http_date(date)
    except ValueError:
        raise access_denied("OSS authentication requires a valid Date.") from None
    if abs(now - signed_at) > SKEW:
        raise request_time_too_skewed(signed_at, now, SKEW)
    if request.header("x-oss-content-sha256") != UNSIGNED:
        raise invalid_argument(
            "The value of x-oss-content-sha256 must be UNSIGNED-PAYLOAD.", "0002-00000214"
        )
    claim = _claim(
        fields.get("Credential", ""),
        fields.get("Signature", ""),
        fields.get("AdditionalHeaders", ""),
        signed_at.astimezone(timezone.utc),
    )
    _check_scope(claim, account, "Authorization header", _EC_HEADER)
    _compare(request, account, claim)


def check_url(request: Request, account: Account, now: datetime) -> None:
    """Verify a presigned URL: its window of time, its scope, then the signature."""
    values = {}
    for name in ("credential", "date", "expires", "signature"):
        values[name] = request.argument(f"x-oss-{name}") or ""
        if not values[name]:
            raise invalid_argument(f"x-oss-{name} is missing or empty.", _EC_MISSING.get(name, ""))
    additional = request.argument("x-oss-additional-headers")
    if additional == "":
        raise invalid_argument("x-oss-additional-headers is empty.", "0002-00000076")
    try:
        signed_at = _time(values["date"])
    except ValueError:
        raise invalid_argument("x-oss-date is invalid.") from None
    lifetime = _lifetime(values["expires"])
    if signed_at - SKEW > now:
        raise access_denied("Request is not yet valid.", "0002-00000235")
    if now > signed_at + lifetime:
        raise request_has_expired(signed_at + lifetime, now)
    claim = _claim(values["credential"], values["signature"], additional or "", signed_at)
    _check_scope(claim, account, "x-oss-credential", _EC_URL)
    _compare(request, account, claim)


_EC_HEADER = {"date": "0002-00000212", "region": "0002-00000226"}
_EC_URL = {"date": "0002-00000223", "region": "0002-00000228"}
_EC_MISSING = {"expires": "0002-00000215", "signature": "0002-00000219"}


def _fields(authorization: str) -> dict[str, str]:
    items = (item.strip() for item in authorization.removeprefix(ALGORITHM).split(","))
    fields = {name: value for name, _, value in (item.partition("=") for item in items)}
    if (
        not {"Credential", "Signature"}
        <= fields.keys()
        <= {
            "Credential",
            "Signature",
            "AdditionalHeaders",
        }
    ):
        raise invalid_argument("Authorization header is invalid.")
    return fields


def _claim(credential: str, provided: str, additional: str, signed_at: datetime) -> Claim:
    parts = credential.split("/")
    if len(parts) != 5 or parts[4] != _TERMINATOR:
        raise invalid_argument("The Credential is invalid.", "0002-00000213")
    if parts[3] != _PRODUCT:
        raise invalid_argument("Invalid signing product in Authorization header.", "0002-00000227")
    names = sorted({name for name in additional.lower().split(";") if name})
    return Claim(parts[0], parts[1], parts[2], provided, tuple(names), signed_at)


def _check_scope(claim: Claim, account: Account, where: str, ec: dict[str, str]) -> None:
    if claim.access_key != account.access_key:
        raise invalid_access_key(claim.access_key)
    if claim.date != claim.signed_at.strftime("%Y%m%d"):
        raise invalid_argument(f"Invalid signing date in {where}.", ec["date"])
    if claim.region != account.region:
        raise invalid_argument(f"Invalid signing region in {where}.", ec["region"])


def _compare(request: Request, account: Account, claim: Claim) -> None:
    canonical = canonical_request(request, claim.additional)
    text = string_to_sign(canonical, claim)
    expected = signature(account.secret_key, claim, text)
    if not hmac.compare_digest(expected.encode(), claim.signature.encode()):
        error = signature_mismatch(claim.access_key, claim.signature, text, "0002-00000201")
        error.details["CanonicalRequest"] = canonical.decode(errors="replace")
        raise error


def _time(text: str) -> datetime:
    return datetime.strptime(text, _TIME).replace(tzinfo=timezone.utc)


def _lifetime(text: str) -> timedelta:
    seconds = whole_number(text) or 0
    if not 1 <= seconds <= MAX_EXPIRES_SEC:
        raise invalid_argument(
            f"x-oss-expires must be between 1 and {MAX_EXPIRES_SEC} seconds.", "0002-00000232"
        )
    return timedelta(seconds=seconds)
