"""Which request does what: OSS's operations on the store, and the checks of each."""

from __future__ import annotations

import base64
from collections.abc import Callable

from tools.services.oss import answers, intake
from tools.services.oss.answers import Answer
from tools.services.oss.errors import OssError, invalid_argument, not_implemented
from tools.services.oss.intake import Body
from tools.services.oss.multipart import Uploads
from tools.services.oss.objects import Store
from tools.services.oss.request import Request

MAX_PART_NUMBER = 10_000
_Act = Callable[[Request, Body], Answer]


class Operations:
    """Answers requests whose signature is good; raises OssError."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._uploads = Uploads(store)

    def perform(self, request: Request, body: Body) -> Answer:
        intake.check_known(request)
        if not request.bucket:
            raise not_implemented("operations without a bucket")
        if not request.key:
            return self._on_bucket(request)
        self._store.bucket(request.bucket)  # NoSuchBucket comes before all else
        chosen = frozenset(name for name, _ in request.query if name in intake.CHOOSING)
        act = self._on_object(request.method, chosen)
        return act(request, body)

    def _on_object(self, method: str, chosen: frozenset[str]) -> _Act:
        acts: dict[tuple[str, frozenset[str]], _Act] = {
            ("PUT", frozenset()): self._put,
            ("PUT", frozenset({"partNumber", "uploadId"})): self._put_part,
            ("POST", frozenset({"append", "position"})): self._append,
            ("POST", frozenset({"uploads"})): self._initiate,
            ("POST", frozenset({"uploadId"})): self._complete,
            ("GET", frozenset()): self._get,
            ("GET", frozenset({"uploadId"})): self._list_parts,
            ("HEAD", frozenset()): self._get,
            ("HEAD", frozenset({"objectMeta"})): self._get,
            ("DELETE", frozenset()): self._delete,
            ("DELETE", frozenset({"uploadId"})): self._abort,
        }
        if (method, chosen) == ("POST", frozenset({"append"})):
            raise OssError(
                400, "MissingArgument", "Missing Some Required Arguments.", "0016-00000501"
            )
        if (method, chosen) not in acts:
            raise OssError(
                405,
                "MethodNotAllowed",
                "The specified method is not allowed against this resource.",
                details={"Method": method, "ResourceType": "Object"},
            )
        return acts[method, chosen]

    def _on_bucket(self, request: Request) -> Answer:
        names = {name for name, _ in request.query}
        if request.method == "PUT" and not names & intake.CHOOSING:
            self._store.create_bucket(request.bucket)
            return Answer(headers={"Location": f"/{request.bucket}"})
        self._store.bucket(request.bucket)
        if request.method == "GET" and "uploads" in names:
            return answers.upload_list(request, self._uploads.all(request.bucket))
        if request.method == "GET" and request.argument("list-type") == "2":
            return answers.object_list(request, self._store.all(request.bucket))
        raise not_implemented(f"{request.method} of a bucket")

    def _put(self, request: Request, body: Body) -> Answer:
        headers, forbid = intake.object_headers(request), intake.forbids_overwrite(request)
        bucket, key = request.bucket, request.key
        self._store.check_may_write(bucket, key, forbid, "0026-00000002")
        with intake.received(self._store, request, body) as blob:
            record = self._store.put(bucket, key, blob, headers, forbid)
        return Answer(headers=_stored(record.etag, record.crc64, headers, blob.md5))

    def _append(self, request: Request, body: Body) -> Answer:
        headers = intake.object_headers(request)
        position = answers.number(request, "position", 0, 1 << 63)
        self._store.check_append(request.bucket, request.key, position)
        with intake.received(self._store, request, body) as blob:
            record = self._store.append(request.bucket, request.key, position, blob, headers)
        answer = Answer(headers=_stored(record.etag, record.crc64, record.headers))
        answer.headers["x-oss-next-append-position"] = str(record.size)
        return answer

    def _get(self, request: Request, body: Body) -> Answer:
        with self._store.lock:  # else the object might be replaced before its files are open
            record = self._store.get(request.bucket, request.key)
            intake.check_conditions(request, record.etag)
            window = answers.byte_range(request, record.size)
            start, end = window or (0, record.size)
            answer = Answer(206 if window else 200, answers.object_headers(record))
            answer.length = end - start
            if request.method == "GET":
                answer.body = self._store.read(request.bucket, record, start, end)
        if window:
            answer.headers["Content-Range"] = f"bytes {start}-{end - 1}/{record.size}"
        for name, value in request.query:
            if name.startswith("response-"):
                text = value.encode().decode("latin-1")  # as http.server writes headers
                answer.headers[name.removeprefix("response-").title()] = text
        return answer

    def _delete(self, request: Request, body: Body) -> Answer:
        self._store.delete(request.bucket, request.key)
        return Answer(204)

    def _initiate(self, request: Request, body: Body) -> Answer:
        names = answers.Names(request)
        upload = self._uploads.initiate(
            request.bucket,
            request.key,
            intake.object_headers(request),
            intake.forbids_overwrite(request),
        )
        return answers.xml(
            answers.element(
                "InitiateMultipartUploadResult",
                **names.fields,
                Bucket=request.bucket,
                Key=names(request.key),
                UploadId=upload.upload_id,
            )
        )

    def _put_part(self, request: Request, body: Body) -> Answer:
        number = answers.number(request, "partNumber", 0, MAX_PART_NUMBER)
        if number < 1:
            raise invalid_argument("Part number must be an integer between 1 and 10000, inclusive.")
        upload_id = request.argument("uploadId") or ""
        upload = self._uploads.find(request.bucket, request.key, upload_id, "0042-00000104")
        with intake.received(self._store, request, body) as blob:
            part = self._uploads.put_part(request.bucket, upload, number, blob)
        return Answer(headers=_stored(part.etag, part.crc64, upload.headers, blob.md5))

    def _list_parts(self, request: Request, body: Body) -> Answer:
        upload = self._uploads.find(request.bucket, request.key, request.argument("uploadId") or "")
        return answers.part_list(request, upload, self._uploads.parts(request.bucket, upload))

    def _complete(self, request: Request, body: Body) -> Answer:
        names = answers.Names(request)
        upload = self._uploads.find(request.bucket, request.key, request.argument("uploadId") or "")
        listed = intake.listed_parts(request, body)
        record = self._uploads.complete(
            request.bucket, upload, listed, intake.forbids_overwrite(request)
        )
        root = answers.element(
            "CompleteMultipartUploadResult",
            **names.fields,
            Location=f"http://{request.host}/{request.key}",
            Bucket=request.bucket,
            Key=names(request.key),
            ETag=f'"{record.etag}"',
        )
        return answers.xml(root, _stored(record.etag, record.crc64, record.headers))

    def _abort(self, request: Request, body: Body) -> Answer:
        upload = self._uploads.find(request.bucket, request.key, request.argument("uploadId") or "")
        self._uploads.abort(request.bucket, upload)
        return Answer(204)


def _stored(
    etag: str, crc64: int, headers: dict[str, str], md5: bytes | None = None
) -> dict[str, str]:
    """What OSS says of bytes that it has taken."""
    said = {"ETag": f'"{etag}"', "x-oss-hash-crc64ecma": str(crc64)}
    if md5 is not None:
        said["Content-MD5"] = base64.b64encode(md5).decode()
    encryption = headers.get("x-oss-server-side-encryption")
    if encryption:
        said["x-oss-server-side-encryption"] = encryption
    return said
