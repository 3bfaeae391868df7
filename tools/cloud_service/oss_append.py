"""Presigned AppendObject for Alibaba OSS: its SDK has the signer, but presigns other calls only."""

from __future__ import annotations

import datetime

import alibabacloud_oss_v2 as oss

from tools.cloud_service.clients import oss_credentials
from tools.cloud_service.config import OssConfig
from tools.cloud_service.presign import OssPresigner, PresignedPut


class OssAppender:
    """Signs POSTs that append one part at one position, with its MD5."""

    def __init__(self, config: OssConfig, presigner: OssPresigner) -> None:
        self._config = config
        self._presigner = presigner
        self._credentials = oss_credentials(config)
        self._signer = oss.signer.SignerV4()

    def append(
        self, key: str, content_type: str, position: int, content_md5: str, expires_sec: int
    ) -> PresignedPut:
        headers = {"Content-MD5": content_md5}
        if position == 0:  # they are the object's, not the part's
            wanted = {
                "x-oss-storage-class": self._config.storage_class,
                "x-oss-server-side-encryption": self._config.server_side_encryption,
            }
            headers.update({name: value for name, value in wanted.items() if value})
        url = f"{self._presigner.address(key)}?append&position={position}"
        request = oss.HttpRequest("POST", url, {**headers, "Content-Type": content_type})
        context = oss.SigningContext(
            product="oss",
            region=self._config.region,
            bucket=self._config.bucket,
            key=key,
            request=request,
            credentials=self._credentials.get_credentials(),
        )
        context.auth_method_query = True
        context.signing_time = datetime.datetime.now(datetime.timezone.utc)
        context.expiration_time = context.signing_time + datetime.timedelta(seconds=expires_sec)
        self._signer.sign(context)
        return PresignedPut(request.url, headers)
