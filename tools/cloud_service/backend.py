"""The one place that knows which store is which."""

from __future__ import annotations

from dataclasses import dataclass

from tools.cloud_service.config import Config, OssConfig
from tools.cloud_service.oss_append import OssAppender
from tools.cloud_service.oss_store import OssStore
from tools.cloud_service.presign import Appender, OssPresigner, Presigner, S3Presigner
from tools.cloud_service.s3_store import S3Store
from tools.cloud_service.store import BlockingStore


@dataclass(frozen=True)
class Backend:
    """Signers and calls for one store."""

    presigner: Presigner
    store: BlockingStore
    appender: Appender | None = None


def backend(config: Config) -> Backend:
    """Raises ConfigError when no credentials are found."""
    forbid_overwrite = config.uploads.forbid_overwrite
    if isinstance(config.store, OssConfig):
        presigner = OssPresigner(config.store)
        return Backend(
            presigner,
            OssStore(config.store, forbid_overwrite),
            OssAppender(config.store, presigner),
        )
    return Backend(S3Presigner(config.store), S3Store(config.store, forbid_overwrite))
