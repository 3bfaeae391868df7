"""A request as it arrived: method, bucket, key, query and headers, decoded once. Pure: no IO."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from urllib.parse import unquote_plus, unquote_to_bytes

from tools.services.oss.errors import OssError

SKEW = timedelta(minutes=15)  # what OSS allows a client's clock
_MAX_KEY_BYTES = 1023
_BUCKET = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")


@dataclass(frozen=True)
class Account:
    """Whose requests are let in, and where the buckets are."""

    access_key: str
    secret_key: str
    region: str
    security_token: str = ""  # with one, the keys are temporary ones of STS


@dataclass(frozen=True)
class Request:
    """Header names are in lower case, query names and values decoded, both in their order."""

    method: str
    host: str
    bucket: str
    key: str
    query: tuple[tuple[str, str], ...]
    headers: tuple[tuple[str, str], ...]

    def argument(self, name: str) -> str | None:
        """A query argument; of several with one name OSS takes the first."""
        return next((value for key, value in self.query if key == name), None)

    def header(self, name: str) -> str | None:
        """A header by its name in lower case; several are one, joined with commas."""
        values = [value for key, value in self.headers if key == name]
        return ",".join(values) if values else None

    def headers_where(self, prefix: str, others: tuple[str, ...]) -> list[tuple[str, str]]:
        """Headers that begin with `prefix` or are in `others`, sorted, each once."""
        names = {name for name, _ in self.headers if name.startswith(prefix) or name in others}
        return [(name, self.header(name) or "") for name in sorted(names)]


def parse(method: str, target: str, headers: list[tuple[str, str]], region: str) -> Request:
    """Read the request line and headers; raises OssError for a name that OSS does not allow."""
    path, _, query = target.partition("?")
    named = tuple((name.lower(), value.strip()) for name, value in headers)
    host = next((value for name, value in named if name == "host"), "")
    bucket, key = _resource(path, host, region)
    if bucket and not _BUCKET.fullmatch(bucket):
        raise OssError(400, "InvalidBucketName", "The specified bucket is not valid.")
    if key and (len(key.encode()) > _MAX_KEY_BYTES or key[0] in "/\\"):
        raise OssError(400, "InvalidObjectName", "The specified object is not valid.")
    return Request(method, host, bucket, key, _arguments(query), named)


def _arguments(query: str) -> tuple[tuple[str, str], ...]:
    pairs = [item.partition("=") for item in query.split("&") if item]
    return tuple((unquote_plus(name), unquote_plus(value)) for name, _, value in pairs)


def _resource(path: str, host: str, region: str) -> tuple[str, str]:
    """Bucket and key, from `bucket.host/key` or from `host/bucket/key`.

    The second form is for an IP address or localhost, as Alibaba's SDK uses it; under its own
    name OSS refuses it.
    """
    try:
        plain = unquote_to_bytes(path.encode("latin-1")).decode().removeprefix("/")
    except UnicodeDecodeError:
        raise OssError(400, "InvalidObjectName", "The specified object is not valid.") from None
    name = host.rpartition(":")[0] if ":" in host else host
    service = f"oss-{region}.aliyuncs.com"
    for parent in (service, f"oss-{region}-internal.aliyuncs.com", "localhost"):
        if name.endswith(f".{parent}"):
            return name.removesuffix(f".{parent}"), plain
    bucket, _, key = plain.partition("/")
    if name == service and bucket:
        raise OssError(
            403,
            "SecondLevelDomainForbidden",
            "The bucket you are attempting to access must be addressed using OSS third level"
            " domain.",
        )
    return bucket, key


def whole_number(text: str) -> int | None:
    """Decimal digits of ASCII, as many as 64 bits need; anything else is None."""
    is_number = text.isascii() and text.isdigit() and len(text) < 20
    return int(text) if is_number else None


def http_date(text: str) -> datetime:
    """A Date header; raises ValueError."""
    moment = parsedate_to_datetime(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
