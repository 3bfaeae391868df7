"""Clients of the stores' own SDKs, for signing and for the service's own calls.

Keys come from the configuration, else from where the SDKs look: AWS_ACCESS_KEY_ID and all that
boto3 knows, OSS_ACCESS_KEY_ID and OSS_ACCESS_KEY_SECRET.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import alibabacloud_oss_v2 as oss
import boto3
import requests
from botocore.config import Config as BotoConfig
from botocore.credentials import Credentials

from tools.cloud_service.config import ConfigError, OssConfig, S3Config

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PARALLEL_CALLS = 16
PARALLEL_READS = 4  # of whole objects, apart from those
_CONNECTIONS = PARALLEL_CALLS + PARALLEL_READS
_CONNECT_TIMEOUT_SEC = 3
_READ_TIMEOUT_SEC = 20  # a store may take its time to join many parts
_ATTEMPTS = 2


def s3_credentials(config: S3Config) -> Credentials:
    """Raises ConfigError when there are none."""
    found = _s3_session(config).get_credentials()
    if found is None:
        raise ConfigError(
            "store: no access_key and secret_key, nor AWS_ACCESS_KEY_ID in the environment"
        )
    return found


def s3_client(config: S3Config, endpoint: str | None) -> S3Client:
    """Raises ConfigError when no credentials are found."""
    s3_credentials(config)
    session = _s3_session(config)
    return session.client(
        "s3",
        region_name=config.region,
        endpoint_url=endpoint,
        verify=str(config.ca_file) if config.ca_file else None,
        config=BotoConfig(
            signature_version="s3v4",
            s3={"addressing_style": "path" if config.path_style else "virtual"},
            # else multipart uploads are begun with a checksum that every part would have to have
            request_checksum_calculation="when_required",
            connect_timeout=_CONNECT_TIMEOUT_SEC,
            read_timeout=_READ_TIMEOUT_SEC,
            response_checksum_validation="when_required",  # what is read is hashed here
            max_pool_connections=_CONNECTIONS,
            retries={"total_max_attempts": _ATTEMPTS},
        ),
    )


def _s3_session(config: S3Config) -> boto3.Session:
    return boto3.Session(
        aws_access_key_id=config.access_key,
        aws_secret_access_key=config.secret_key.get_secret_value() if config.secret_key else None,
    )


def oss_client(config: OssConfig, endpoint: str | None) -> oss.Client:
    """Raises ConfigError when no credentials are found."""
    return oss.Client(
        oss.config.Config(
            region=config.region,
            endpoint=endpoint,
            credentials_provider=oss_credentials(config),
            connect_timeout=_CONNECT_TIMEOUT_SEC,
            readwrite_timeout=_READ_TIMEOUT_SEC,
            retry_max_attempts=_ATTEMPTS,
            http_client=_oss_transport(config.ca_file),
        )
    )


class _OssAdapter(requests.adapters.HTTPAdapter):
    """Does what the SDK has no setting for: trusts one file of certificates, unpacks nothing."""

    def __init__(self, ca_file: Path | None) -> None:
        super().__init__(pool_maxsize=_CONNECTIONS)
        self._trusted = {"verify": str(ca_file)} if ca_file else {}

    def send(self, *arguments: Any, **options: Any) -> requests.Response:
        return super().send(*arguments, **{**options, **self._trusted})

    def build_response(self, request: requests.PreparedRequest, answer: Any) -> requests.Response:
        """The headers are the SDK's as they came; the body is no longer called compressed."""
        response = super().build_response(request, answer)
        answer.headers.pop("Content-Encoding", None)
        return response


def _oss_transport(ca_file: Path | None) -> Any:
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, _OssAdapter(ca_file))
    return oss.transport.RequestsHttpClient(
        session=session,
        connect_timeout=_CONNECT_TIMEOUT_SEC,
        readwrite_timeout=_READ_TIMEOUT_SEC,
    )


def oss_credentials(config: OssConfig) -> oss.credentials.CredentialsProvider:
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
