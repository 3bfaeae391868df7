"""Presigned PUT URLs. Signing is offline arithmetic with a secret: no store is asked.

The signature covers the content type and every extra header, so that a client which sends
anything else is refused by the store (403).
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from typing import Protocol

import alibabacloud_oss_v2 as oss
import boto3
from botocore.config import Config as BotoConfig

from tools.cloud_service.config import ConfigError, OssConfig, S3Config


@dataclass(frozen=True)
class PresignedPut:
    """A URL, and the headers that must go with it beside Content-Type."""

    url: str
    extra_headers: dict[str, str] = field(default_factory=dict)


class Presigner(Protocol):
    def put(self, key: str, content_type: str, expires_sec: int) -> PresignedPut:
        """Sign a PUT of one object, valid for `expires_sec` from now."""


class S3Presigner:
    """AWS signature version 4, for Amazon S3, MinIO, SeaweedFS.

    Keys come from the configuration, else from where boto3 looks (AWS_ACCESS_KEY_ID, ...).
    """

    def __init__(self, config: S3Config) -> None:
        session = boto3.Session(
            aws_access_key_id=config.access_key,
            aws_secret_access_key=config.secret_key.get_secret_value()
            if config.secret_key
            else None,
        )
        if session.get_credentials() is None:
            raise ConfigError(
                "store: no access_key and secret_key, nor AWS_ACCESS_KEY_ID in the environment"
            )
        self._client = session.client(
            "s3",
            region_name=config.region,
            endpoint_url=config.endpoint,
            config=BotoConfig(
                signature_version="s3v4",
                s3={"addressing_style": "path" if config.path_style else "virtual"},
            ),
        )
        self._bucket = config.bucket
        options = {
            ("StorageClass", "x-amz-storage-class"): config.storage_class,
            ("ServerSideEncryption", "x-amz-server-side-encryption"): config.server_side_encryption,
        }
        self._parameters = {name: value for (name, _), value in options.items() if value}
        self._headers = {header: value for (_, header), value in options.items() if value}

    def put(self, key: str, content_type: str, expires_sec: int) -> PresignedPut:
        url = self._client.generate_presigned_url(
            "put_object",
            Params={
                "Bucket": self._bucket,
                "Key": key,
                "ContentType": content_type,
                **self._parameters,
            },
            ExpiresIn=expires_sec,
        )
        return PresignedPut(url, dict(self._headers))


class OssPresigner:
    """OSS signature version 4 by Alibaba's SDK.

    Keys come from the configuration, else from OSS_ACCESS_KEY_ID and OSS_ACCESS_KEY_SECRET.
    """

    def __init__(self, config: OssConfig) -> None:
        self._config = config
        self._client = oss.Client(
            oss.config.Config(
                region=config.region,
                endpoint=config.endpoint,
                credentials_provider=_oss_credentials(config),
            )
        )

    def put(self, key: str, content_type: str, expires_sec: int) -> PresignedPut:
        request = oss.PutObjectRequest(
            bucket=self._config.bucket,
            key=key,
            content_type=content_type,
            storage_class=self._config.storage_class,
            server_side_encryption=self._config.server_side_encryption,
        )
        # the SDK rounds the time left down to whole seconds, after some of it has passed
        lifetime = datetime.timedelta(seconds=expires_sec + 1)
        signed = self._client.presign(request, expires=lifetime)
        headers = {
            name: value
            for name, value in signed.signed_headers.items()
            if name.lower() != "content-type"
        }
        return PresignedPut(signed.url, headers)


def _oss_credentials(config: OssConfig) -> oss.credentials.CredentialsProvider:
    if config.access_key and config.secret_key:
        return oss.credentials.StaticCredentialsProvider(
            config.access_key, config.secret_key.get_secret_value()
        )
    try:
        return oss.credentials.EnvironmentVariableCredentialsProvider()
    except oss.exceptions.CredentialsEmptyError:
        raise ConfigError(
            "store: no access_key and secret_key, nor OSS_ACCESS_KEY_ID in the environment"
        ) from None


def presigner(config: S3Config | OssConfig) -> Presigner:
    """The signer for a store; raises ConfigError when no credentials are found."""
    return OssPresigner(config) if isinstance(config, OssConfig) else S3Presigner(config)
