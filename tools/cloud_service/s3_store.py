"""Multipart uploads, HEAD and GET on Amazon S3, MinIO and SeaweedFS. Calls block; see threads.py."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from tools.cloud_service.clients import s3_client
from tools.cloud_service.config import S3Config
from tools.cloud_service.plan import Part
from tools.cloud_service.store import (
    PIECE_BYTES,
    PendingUpload,
    StoredObject,
    StoreError,
    UploadGone,
    check_unchanged,
    plain,
    refusal,
)


class S3Store:
    """One bucket, by the address that is the service's own way to it."""

    def __init__(self, config: S3Config, forbid_overwrite: bool) -> None:
        self._client = s3_client(config, config.service_endpoint or config.endpoint)
        self._bucket = config.bucket
        wanted = {
            "StorageClass": config.storage_class,
            "ServerSideEncryption": config.server_side_encryption,
        }
        self._options: dict[str, Any] = {name: value for name, value in wanted.items() if value}
        self._condition: dict[str, Any] = {"IfNoneMatch": "*"} if forbid_overwrite else {}

    def create_upload(self, key: str, content_type: str, content_encoding: str | None) -> str:
        options = {**self._options, "ContentType": content_type}
        if content_encoding:
            options["ContentEncoding"] = content_encoding
        with _told_apart():
            created = self._client.create_multipart_upload(Bucket=self._bucket, Key=key, **options)
        return created["UploadId"]

    def list_parts(self, key: str, upload_id: str) -> list[Part]:
        listed = self._client.get_paginator("list_parts")
        with _told_apart():
            found = [
                part
                for page in listed.paginate(Bucket=self._bucket, Key=key, UploadId=upload_id)
                for part in page.get("Parts", [])
            ]
        found.sort(key=lambda part: part["LastModified"], reverse=True)
        found.sort(key=lambda part: part["PartNumber"])
        return [Part(part["PartNumber"], part["Size"], plain(part["ETag"])) for part in found]

    def complete_upload(self, key: str, upload_id: str, parts: Sequence[Part]) -> None:
        named: Any = [{"PartNumber": part.number, "ETag": f'"{part.etag}"'} for part in parts]
        with _told_apart():  # a 200 with an error document is an error to boto3 as well
            self._client.complete_multipart_upload(
                Bucket=self._bucket,
                Key=key,
                UploadId=upload_id,
                MultipartUpload={"Parts": named},
                **self._condition,
            )

    def abort_upload(self, key: str, upload_id: str) -> None:
        with contextlib.suppress(UploadGone), _told_apart():
            self._client.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=upload_id)

    def head(self, key: str) -> StoredObject | None:
        try:
            with _told_apart():
                found = self._client.head_object(Bucket=self._bucket, Key=key)
        except StoreError as error:
            if error.code in ("404", "NoSuchKey", "NotFound"):
                return None
            raise
        by_customers_key = "kms" in found.get("ServerSideEncryption", "").lower()
        return StoredObject(
            found["ContentLength"],
            plain(found["ETag"]),
            has_md5_etag=not by_customers_key and not found.get("SSECustomerAlgorithm"),
        )

    def read(self, key: str, etag: str, take: Callable[[bytes], None]) -> None:
        with _told_apart():
            found = self._client.get_object(Bucket=self._bucket, Key=key)
            with contextlib.closing(found["Body"]) as body:
                check_unchanged(etag, found.get("ETag", ""))
                for piece in body.iter_chunks(PIECE_BYTES):
                    take(piece)

    def pending_uploads(self) -> list[PendingUpload]:
        """All of the bucket: not every store lists by a prefix."""
        listed = self._client.get_paginator("list_multipart_uploads")
        with _told_apart():
            return [
                PendingUpload(upload["Key"], upload["UploadId"], upload["Initiated"])
                for page in listed.paginate(Bucket=self._bucket)
                for upload in page.get("Uploads", [])
            ]

    def last_change(self, upload: PendingUpload) -> datetime.datetime:
        listed = self._client.get_paginator("list_parts")
        found = listed.paginate(Bucket=self._bucket, Key=upload.key, UploadId=upload.upload_id)
        with _told_apart():
            times = [part["LastModified"] for page in found for part in page.get("Parts", [])]
        return max([upload.initiated, *times])


@contextlib.contextmanager
def _told_apart() -> Iterator[None]:
    """Turn the SDK's errors into ours."""
    try:
        yield
    except ClientError as error:
        told = error.response.get("Error", {})
        code = str(told.get("Code", "unknown"))
        raise refusal(code, str(told.get("Message", ""))) from error
    except BotoCoreError as error:
        raise StoreError(type(error).__name__, str(error)) from error
