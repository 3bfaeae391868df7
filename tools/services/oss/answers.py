"""What OSS answers: headers of an object, and XML documents."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import formatdate
from urllib.parse import quote

from tools.services.oss.errors import OssError, invalid_argument, timestamp
from tools.services.oss.multipart import Part, Upload
from tools.services.oss.objects import APPENDABLE, Record
from tools.services.oss.request import Request, whole_number


@dataclass
class Answer:
    """`length` is that of `body`; a HEAD has the length and no body."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: Iterable[bytes] = ()
    length: int = 0


def xml(root: ET.Element, headers: dict[str, str] | None = None) -> Answer:
    ET.indent(root)
    body = ET.tostring(root, encoding="UTF-8", xml_declaration=True) + b"\n"
    headers = {"Content-Type": "application/xml", **(headers or {})}
    return Answer(200, headers, (body,), len(body))


def element(name: str, *children: ET.Element, **fields: str) -> ET.Element:
    """Simple fields first, then `children`; no namespace, which Alibaba's SDK could not read."""
    made = ET.Element(name)
    for tag, value in fields.items():
        ET.SubElement(made, tag).text = value
    made.extend(children)
    return made


class Names:
    """Keys in a document, URL-encoded where the request asks for it."""

    def __init__(self, request: Request) -> None:
        kind = request.argument("encoding-type")
        if kind not in (None, "url"):
            raise invalid_argument("Invalid Encoding Method specified in Request")
        self._is_url = kind == "url"

    def __call__(self, key: str) -> str:
        return quote(key, safe="") if self._is_url else key

    @property
    def fields(self) -> dict[str, str]:
        return {"EncodingType": "url"} if self._is_url else {}


def object_headers(record: Record) -> dict[str, str]:
    """What HEAD and GET say of an object."""
    stored = {
        "content-type": "application/octet-stream",
        "x-oss-storage-class": "Standard",
        **record.headers,
    }
    headers = {
        **{
            name if name.startswith("x-oss-") else name.title(): text
            for name, text in stored.items()
        },
        "Accept-Ranges": "bytes",
        "ETag": f'"{record.etag}"',
        "Last-Modified": formatdate(record.modified, usegmt=True),
        "x-oss-object-type": record.kind,
        "x-oss-hash-crc64ecma": str(record.crc64),
    }
    if record.kind == APPENDABLE:
        headers["x-oss-next-append-position"] = str(record.size)
    return headers


def moment(seconds: float) -> str:
    return timestamp(datetime.fromtimestamp(seconds, timezone.utc))


def byte_range(request: Request, size: int) -> tuple[int, int] | None:
    """Start and end of a Range that can be served. Where it cannot, OSS sends the whole object,

    or refuses if the client asks for the standard's behaviour.
    """
    unit, _, wanted = (request.header("range") or "").partition("=")
    first, dash, last = wanted.partition("-")
    start, stop = whole_number(first), whole_number(last)
    if unit != "bytes" or not dash or (first and start is None) or (last and stop is None):
        return None
    if start is None:
        return (max(0, size - stop), size) if stop and size else None
    if start >= size and request.header("x-oss-range-behavior") != "standard":
        return None
    if start >= size:
        raise OssError(
            416,
            "InvalidRange",
            "The requested range cannot be satisfied.",
            headers={"Content-Range": f"bytes */{size}"},
        )
    end = size if stop is None else min(size, stop + 1)
    return (start, end) if start < end else None


def number(request: Request, name: str, default: int, most: int) -> int:
    """A whole number among the query arguments."""
    text = request.argument(name)
    if text is None:
        return default
    value = whole_number(text)
    if value is None or value > most:
        raise invalid_argument(f"Argument {name} is invalid.", ArgumentName=name)
    return value


def object_list(request: Request, records: list[Record]) -> Answer:
    """ListObjectsV2, with prefix, delimiter, start-after and continuation token."""
    names, limit = Names(request), number(request, "max-keys", 100, 1000)
    prefix, delimiter = request.argument("prefix") or "", request.argument("delimiter") or ""
    after = request.argument("continuation-token") or request.argument("start-after") or ""
    entries: dict[str, Record | None] = {}  # a common prefix has no record
    for record in records:
        if not record.key.startswith(prefix):
            continue
        head, found, _ = record.key[len(prefix) :].partition(delimiter or "\0")
        shown = prefix + head + delimiter if delimiter and found else record.key
        if shown.encode() > after.encode():
            entries.setdefault(shown, None if shown != record.key else record)
    page = list(entries.items())[:limit]
    is_truncated = len(page) < len(entries)
    fields = {
        "Name": request.bucket,
        "Prefix": names(prefix),
        "MaxKeys": str(limit),
        "Delimiter": names(delimiter),
        "IsTruncated": str(is_truncated).lower(),
        "KeyCount": str(len(page)),
        **names.fields,
    }
    if is_truncated:
        fields["NextContinuationToken"] = page[-1][0] if page else after
    return xml(element("ListBucketResult", *_entries(page, names), **fields))


def _entries(page: list[tuple[str, Record | None]], names: Names) -> Iterator[ET.Element]:
    for shown, record in page:
        if record is None:
            yield element("CommonPrefixes", Prefix=names(shown))
            continue
        yield element(
            "Contents",
            Key=names(record.key),
            LastModified=moment(record.modified),
            ETag=f'"{record.etag}"',
            Type=record.kind,
            Size=str(record.size),
            StorageClass=record.headers.get("x-oss-storage-class", "Standard"),
        )


def part_list(request: Request, upload: Upload, parts: list[Part]) -> Answer:
    names, limit = Names(request), number(request, "max-parts", 1000, 1000)
    marker = number(request, "part-number-marker", 0, 10_000)
    rest = [part for part in parts if part.number > marker]
    page = rest[:limit]
    fields = {
        **names.fields,
        "Bucket": request.bucket,
        "Key": names(upload.key),
        "UploadId": upload.upload_id,
        "StorageClass": upload.headers.get("x-oss-storage-class", "Standard"),
        "PartNumberMarker": str(marker),
        "NextPartNumberMarker": str(page[-1].number if page else marker),
        "MaxParts": str(limit),
        "IsTruncated": str(len(page) < len(rest)).lower(),
    }
    elements = [
        element(
            "Part",
            PartNumber=str(part.number),
            LastModified=moment(part.modified),
            ETag=f'"{part.etag}"',
            HashCrc64ecma=str(part.crc64),
            Size=str(part.size),
        )
        for part in page
    ]
    return xml(element("ListPartsResult", *elements, **fields))


def upload_list(request: Request, uploads: list[Upload]) -> Answer:
    names, limit = Names(request), number(request, "max-uploads", 1000, 1000)
    prefix = request.argument("prefix") or ""
    after = (request.argument("key-marker") or "", request.argument("upload-id-marker") or "")
    # Without an upload id, the marker is past every upload of that key.
    start = after if after[1] else (after[0], "\U0010ffff" if after[0] else "")
    rest = [
        upload
        for upload in uploads
        if upload.key.startswith(prefix) and (upload.key, upload.upload_id) > start
    ]
    page = rest[:limit]
    fields = {
        **names.fields,
        "Bucket": request.bucket,
        "KeyMarker": names(after[0]),
        "UploadIdMarker": after[1],
        "NextKeyMarker": names(page[-1].key) if page else "",
        "NextUploadIdMarker": page[-1].upload_id if page else "",
        "Prefix": names(prefix),
        "MaxUploads": str(limit),
        "IsTruncated": str(len(page) < len(rest)).lower(),
    }
    elements = [
        element(
            "Upload",
            Key=names(upload.key),
            UploadId=upload.upload_id,
            Initiated=moment(upload.initiated),
        )
        for upload in page
    ]
    return xml(element("ListMultipartUploadsResult", *elements, **fields))
