"""Presigned PUTs by the SDK's signer alone, at a third of the cost of a whole presign call.

boto3 resolves endpoints, builds a request and runs its hooks anew for every URL. Where a URL lies
is the same for all keys of a bucket; so it is asked once, and then only signed. That both ways make
the same URL is checked at the start; where they do not, boto3 goes the whole way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import parse_qs, quote, urlsplit

from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

_PROBE = "p"  # a key that needs no escape
_TRIES = 5  # the clock may tick between two URLs

Sign = Callable[[str, Mapping[str, str], int], str]


class PutSigner:
    """Signs PUTs into one bucket; `presign` is boto3's way: key, headers, lifetime."""

    def __init__(self, credentials: Credentials, presign: Sign) -> None:
        self._credentials = credentials
        self._presign = presign
        url = presign(_PROBE, {}, 60)
        self._folder = url.partition("?")[0][: -len(_PROBE)]
        scope = parse_qs(urlsplit(url).query).get("X-Amz-Credential", ["////"])[0].split("/")
        self._region = scope[-3]
        parts = urlsplit(url)
        default_port = {"http": ":80", "https": ":443"}.get(parts.scheme, "")
        self._host = parts.netloc.removesuffix(default_port)  # named, the signer looks for it not
        self.is_quick = self._agrees()

    def sign(self, key: str, headers: Mapping[str, str], expires_sec: int) -> str:
        """A URL for a PUT with exactly these headers."""
        way = self._quickly if self.is_quick else self._presign
        return way(key, headers, expires_sec)

    def _quickly(self, key: str, headers: Mapping[str, str], expires_sec: int) -> str:
        url = self._folder + quote(key, safe="/~")
        request = AWSRequest(method="PUT", url=url, headers={"Host": self._host, **headers})
        frozen = self._credentials.get_frozen_credentials()  # new ones, if they were to expire
        S3SigV4QueryAuth(frozen, "s3", self._region, expires=expires_sec).add_auth(request)
        return str(request.url)

    def _agrees(self) -> bool:
        asked = ("cam/2025/a b+&=~%门.ts", {"Content-Type": "video/mp2t"}, 61)
        return any(self._quickly(*asked) == self._presign(*asked) for _ in range(_TRIES))
