"""What a request brings: its body, checked on the way to disk, and the headers it wants stored."""

from __future__ import annotations

import base64
import binascii
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from tools.services.oss.blobs import Blob
from tools.services.oss.errors import OssError, invalid_argument, invalid_digest, not_implemented
from tools.services.oss.objects import Store
from tools.services.oss.request import Request
from tools.services.oss.sign_v1 import SUB_RESOURCES

MAX_BODY_BYTES = 5 * 1024**3
# Arguments that choose the operation. Any other sub-resource is something not done here.
CHOOSING = {"append", "uploads", "uploadId", "partNumber", "position", "objectMeta"}
_HARMLESS = {"continuation-token", "security-token"}
_REFUSED_HEADERS = ("x-oss-callback", "x-oss-copy-source", "x-oss-object-acl", "x-oss-tagging")
_MAX_DOCUMENT_BYTES = 1 << 20
_STORED_HEADERS = (
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
    "x-oss-server-side-encryption",
    "x-oss-storage-class",
)
_STORAGE_CLASSES = ("Standard", "IA", "Archive", "ColdArchive", "DeepColdArchive")
_ENCRYPTIONS = ("AES256", "KMS", "SM4")


class Body(Protocol):
    """A request's body, still with the client."""

    length: int | None  # None where it comes in chunks
    is_announced: bool

    def chunks(self) -> Iterator[bytes]:
        """All of it; raises where it ends early."""
        ...


def check_known(request: Request) -> None:
    """Refuse what OSS would do and the stand-in does not, rather than leave it undone."""
    for name, _ in request.query:
        if name in SUB_RESOURCES - CHOOSING - _HARMLESS and not name.startswith("response-"):
            raise not_implemented(f"?{name}")
    for name in _REFUSED_HEADERS:
        if request.header(name) is not None:
            raise not_implemented(name)


@contextmanager
def received(store: Store, request: Request, body: Body) -> Iterator[Blob]:
    """The whole body as a blob, its length and Content-MD5 right; gone again after an error."""
    if not body.is_announced:
        raise OssError(
            411,
            "MissingContentLength",
            "You must provide the Content-Length HTTP header.",
        )
    if (body.length or 0) > MAX_BODY_BYTES:
        raise OssError(
            400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size."
        )
    wanted = _content_md5(request)
    writer = store.new_blob(request.bucket)
    try:
        for chunk in body.chunks():
            writer.write(chunk)
        blob = writer.finish()
        if wanted is not None and wanted != blob.md5:
            calculated = base64.b64encode(blob.md5).decode()
            raise invalid_digest(
                "0017-00000503",
                ClientDigest=request.header("content-md5") or "",
                CalculatedDigest=calculated,
            )
        yield blob
    except BaseException:
        writer.discard()
        raise


def _content_md5(request: Request) -> bytes | None:
    text = request.header("content-md5")
    if text is None:
        return None
    try:
        digest = base64.b64decode(text, validate=True)
    except binascii.Error:
        digest = b""
    if len(digest) != 16:
        raise invalid_digest("0017-00000502", ClientDigest=text)
    return digest


def object_headers(request: Request) -> dict[str, str]:
    """The headers that are stored with an object and given back."""
    headers = dict(request.headers_where("x-oss-meta-", _STORED_HEADERS))
    if headers.get("x-oss-storage-class", "Standard") not in _STORAGE_CLASSES:
        raise invalid_argument("No such object storage class exists.")
    if headers.get("x-oss-server-side-encryption", "AES256") not in _ENCRYPTIONS:
        raise OssError(
            400,
            "InvalidEncryptionAlgorithmError",
            "The Encryption request you specified is not valid. Supported value: AES256/SM4/KMS.",
        )
    return headers


def forbids_overwrite(request: Request) -> bool:
    value = (request.header("x-oss-forbid-overwrite") or "false").lower()
    if value not in ("true", "false"):
        raise invalid_argument("x-oss-forbid-overwrite is invalid.")
    return value == "true"


def check_conditions(request: Request, etag: str) -> None:
    """If-Match and If-None-Match of a GET or HEAD."""
    for name in ("if-modified-since", "if-unmodified-since"):
        if request.header(name) is not None:
            raise not_implemented(name)
    match, other = request.header("if-match"), request.header("if-none-match")
    if match is not None and etag not in match.upper():
        raise OssError(
            412,
            "PreconditionFailed",
            "At least one of the pre-conditions you specified did not hold.",
        )
    if other is not None and etag in other.upper():
        raise OssError(304, "NotModified", "Not Modified")


def listed_parts(request: Request, body: Body) -> list[tuple[int, str]] | None:
    """The parts that CompleteMultipartUpload lists; None where it asks for all."""
    text = b""
    for chunk in body.chunks():
        text += chunk
        if len(text) > _MAX_DOCUMENT_BYTES:
            raise _malformed("0042-00000205")
    if (request.header("x-oss-complete-all") or "").lower() == "yes":
        if text:
            raise invalid_argument(
                "Should not speficy both complete all header and http body.", "0042-00000216"
            )
        return None
    try:
        root = ET.fromstring(text)
        parts = [
            (int(part.findtext("PartNumber") or ""), (part.findtext("ETag") or "").strip())
            for part in root.iter("Part")
        ]
    except (ET.ParseError, ValueError):
        raise _malformed("0042-00000205") from None
    if root.tag != "CompleteMultipartUpload" or not parts:
        raise _malformed("0042-00000205")
    return parts


def _malformed(ec: str) -> OssError:
    return OssError(
        400,
        "MalformedXML",
        "The XML you provided was not well-formed or did not validate against our published"
        " schema.",
        ec,
    )
