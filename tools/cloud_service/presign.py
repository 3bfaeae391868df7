"""Presigned URLs. Signing is offline arithmetic with a secret: no store is asked.

The signature covers the content type and every extra header, so that a client which sends
anything else is refused by the store (403); on OSS, all but Content-Encoding.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import alibabacloud_oss_v2 as oss

from tools.cloud_service.clients import oss_client, s3_client, s3_credentials
from tools.cloud_service.config import OssConfig, S3Config
from tools.cloud_service.s3_sign import PutSigner

_PUT_PARAMETERS = {  # boto3's names of headers
    "Content-Type": "ContentType",
    "Content-MD5": "ContentMD5",
    "Content-Encoding": "ContentEncoding",
    "If-None-Match": "IfNoneMatch",
    "x-amz-storage-class": "StorageClass",
    "x-amz-server-side-encryption": "ServerSideEncryption",
}


@dataclass(frozen=True)
class PresignedPut:
    """A URL, and the headers that must go with it beside Content-Type."""

    url: str
    extra_headers: dict[str, str] = field(default_factory=dict)


class Presigner(Protocol):
    def put(
        self,
        key: str,
        content_type: str,
        expires_sec: int,
        *,
        content_md5: str | None = None,
        content_encoding: str | None = None,
        forbid_overwrite: bool = False,
    ) -> PresignedPut:
        """Sign a PUT of one object, valid for `expires_sec` from now."""

    def part(self, key: str, upload_id: str, number: int, expires_sec: int) -> str:
        """Sign a PUT of one part, which takes no headers."""

    def address(self, key: str) -> str:
        """The object's URL without a signature."""


class Appender(Protocol):
    def append(
        self, key: str, content_type: str, position: int, content_md5: str, expires_sec: int
    ) -> PresignedPut:
        """Sign a POST that appends bytes of that MD5 at that position."""


class S3Presigner:
    """AWS signature version 4, for Amazon S3, MinIO, SeaweedFS."""

    def __init__(self, config: S3Config) -> None:
        self._client = s3_client(config, config.endpoint)
        self._bucket = config.bucket
        options = {
            "x-amz-storage-class": config.storage_class,
            "x-amz-server-side-encryption": config.server_side_encryption,
        }
        self._headers = {name: value for name, value in options.items() if value}
        self._signer = PutSigner(s3_credentials(config), self._presign_put)

    def put(
        self,
        key: str,
        content_type: str,
        expires_sec: int,
        *,
        content_md5: str | None = None,
        content_encoding: str | None = None,
        forbid_overwrite: bool = False,
    ) -> PresignedPut:
        headers = dict(self._headers)
        if content_md5:
            headers["Content-MD5"] = content_md5
        if content_encoding:
            headers["Content-Encoding"] = content_encoding
        if forbid_overwrite:
            headers["If-None-Match"] = "*"
        url = self._signer.sign(key, {"Content-Type": content_type, **headers}, expires_sec)
        return PresignedPut(url, headers)

    def part(self, key: str, upload_id: str, number: int, expires_sec: int) -> str:
        return self._sign(
            "upload_part", expires_sec, Key=key, UploadId=upload_id, PartNumber=number
        )

    def address(self, key: str) -> str:
        return self._sign("get_object", 1, Key=key).partition("?")[0]

    def _presign_put(self, key: str, headers: Mapping[str, str], expires_sec: int) -> str:
        parameters = {_PUT_PARAMETERS[name]: value for name, value in headers.items()}
        return self._sign("put_object", expires_sec, Key=key, **parameters)

    def _sign(self, operation: str, expires_sec: int, **parameters: Any) -> str:
        return self._client.generate_presigned_url(
            operation, Params={"Bucket": self._bucket, **parameters}, ExpiresIn=expires_sec
        )


class OssPresigner:
    """OSS signature version 4 by Alibaba's SDK."""

    def __init__(self, config: OssConfig) -> None:
        self._config = config
        self._client = oss_client(config, config.endpoint)

    def put(
        self,
        key: str,
        content_type: str,
        expires_sec: int,
        *,
        content_md5: str | None = None,
        content_encoding: str | None = None,
        forbid_overwrite: bool = False,
    ) -> PresignedPut:
        request = oss.PutObjectRequest(
            bucket=self._config.bucket,
            key=key,
            content_type=content_type,
            content_md5=content_md5,
            content_encoding=content_encoding,
            forbid_overwrite="true" if forbid_overwrite else None,
            storage_class=self._config.storage_class,
            server_side_encryption=self._config.server_side_encryption,
        )
        signed = self._sign(request, expires_sec)
        if content_encoding:  # the one that OSS does not sign
            signed.extra_headers["Content-Encoding"] = content_encoding
        return signed

    def part(self, key: str, upload_id: str, number: int, expires_sec: int) -> str:
        request = oss.UploadPartRequest(
            bucket=self._config.bucket, key=key, upload_id=upload_id, part_number=number
        )
        return self._sign(request, expires_sec).url

    def address(self, key: str) -> str:
        request = oss.GetObjectRequest(bucket=self._config.bucket, key=key)
        return self._sign(request, 1).url.partition("?")[0]

    def _sign(self, request: Any, expires_sec: int) -> PresignedPut:
        # the SDK rounds the time left down to whole seconds, after some of it has passed
        lifetime = datetime.timedelta(seconds=expires_sec + 1)
        signed = self._client.presign(request, expires=lifetime)
        headers = {
            name: value
            for name, value in signed.signed_headers.items()
            if name.lower() != "content-type"
        }
        return PresignedPut(signed.url, headers)
