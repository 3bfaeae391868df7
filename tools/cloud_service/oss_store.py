"""Multipart uploads, HEAD and GET on Alibaba OSS. Calls block; see threads.py."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable, Iterator, Sequence

import alibabacloud_oss_v2 as oss
import requests

from tools.cloud_service.clients import oss_client
from tools.cloud_service.config import OssConfig
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


class OssStore:
    """One bucket, by the address that is the service's own way to it."""

    def __init__(self, config: OssConfig, forbid_overwrite: bool) -> None:
        self._config = config
        self._client = oss_client(config, config.service_endpoint or config.endpoint)
        self._forbid_overwrite = "true" if forbid_overwrite else None

    def create_upload(self, key: str, content_type: str, content_encoding: str | None) -> str:
        request = oss.InitiateMultipartUploadRequest(
            bucket=self._config.bucket,
            key=key,
            content_type=content_type,
            content_encoding=content_encoding,
            storage_class=self._config.storage_class,
            server_side_encryption=self._config.server_side_encryption,
        )
        with _told_apart():
            return str(self._client.initiate_multipart_upload(request).upload_id)

    def list_parts(self, key: str, upload_id: str) -> list[Part]:
        return [
            Part(part.part_number, part.size, plain(part.etag))
            for part in self._listed_parts(key, upload_id)
        ]

    def complete_upload(self, key: str, upload_id: str, parts: Sequence[Part]) -> None:
        named = [
            oss.UploadPart(part_number=part.number, etag=f'"{part.etag.upper()}"') for part in parts
        ]
        request = oss.CompleteMultipartUploadRequest(
            bucket=self._config.bucket,
            key=key,
            upload_id=upload_id,
            complete_multipart_upload=oss.CompleteMultipartUpload(parts=named),
            forbid_overwrite=self._forbid_overwrite,
        )
        with _told_apart():
            self._client.complete_multipart_upload(request)

    def abort_upload(self, key: str, upload_id: str) -> None:
        request = oss.AbortMultipartUploadRequest(
            bucket=self._config.bucket, key=key, upload_id=upload_id
        )
        with contextlib.suppress(UploadGone), _told_apart():
            self._client.abort_multipart_upload(request)

    def head(self, key: str) -> StoredObject | None:
        request = oss.HeadObjectRequest(bucket=self._config.bucket, key=key)
        try:
            with _told_apart():
                found = self._client.head_object(request)
        except StoreError as error:
            if error.code == "NoSuchKey":
                return None
            raise
        by_customers_key = "kms" in (found.server_side_encryption or "").lower()
        return StoredObject(
            found.content_length,
            plain(found.etag),
            is_appendable=found.object_type == "Appendable",
            # what is made of parts or appended to has an ETag that OSS keeps the rule of to itself
            has_md5_etag=found.object_type == "Normal" and not by_customers_key,
        )

    def read(self, key: str, etag: str, take: Callable[[bytes], None]) -> None:
        with _told_apart():
            found = self._client.get_object(
                oss.GetObjectRequest(bucket=self._config.bucket, key=key)
            )
            with contextlib.closing(found.body) as body:
                check_unchanged(etag, found.etag or "")
                for piece in body.iter_bytes(block_size=PIECE_BYTES):
                    take(piece)

    def pending_uploads(self) -> list[PendingUpload]:
        request = oss.ListMultipartUploadsRequest(bucket=self._config.bucket)
        pages = self._client.list_multipart_uploads_paginator()
        with _told_apart():
            return [
                PendingUpload(upload.key, upload.upload_id, upload.initiated)
                for page in pages.iter_page(request)
                for upload in page.uploads or []
            ]

    def last_change(self, upload: PendingUpload) -> datetime.datetime:
        parts = self._listed_parts(upload.key, upload.upload_id)
        return max([upload.initiated, *(part.last_modified for part in parts)])

    def _listed_parts(self, key: str, upload_id: str) -> list[oss.Part]:
        request = oss.ListPartsRequest(bucket=self._config.bucket, key=key, upload_id=upload_id)
        pages = self._client.list_parts_paginator()
        with _told_apart():
            return [part for page in pages.iter_page(request) for part in page.parts or []]


@contextlib.contextmanager
def _told_apart() -> Iterator[None]:
    """Turn the SDK's errors into ours."""
    try:
        yield
    except oss.exceptions.BaseError as error:
        cause = error.unwrap() if isinstance(error, oss.exceptions.OperationError) else error
        if not isinstance(cause, oss.exceptions.ServiceError):
            raise StoreError(type(cause).__name__, str(cause)) from error
        code = str(cause.code or cause.status_code)
        raise refusal(code, str(cause.message)) from error
    except requests.RequestException as error:  # in the middle of a body the SDK lets them through
        raise StoreError(type(error).__name__, str(error)) from error
