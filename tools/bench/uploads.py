"""What a program of device/ needs for one upload by the product's own uploader."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.bench.interpreter import ROOT, scratch
from tools.services import ObjectStore

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CHUNK_BYTES = 8192
# A board's network stack takes little at a time: lwIP on Ethernet has this send buffer.
BOARD_SEND_BUFFER_BYTES = 5760
CONTENT_TYPE = "video/mp2t"
KEY = "ESP32P4_CAM_001/2025/07/11/143022_m0000042.ts"
_EXPIRES_SEC = 600


class Clip:
    """A file of random bytes below build/bench/, there while entered."""

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.path = scratch(f"clip-{size_bytes:010d}.ts")

    def __enter__(self) -> "Clip":
        digest, left = hashlib.md5(), self.size_bytes
        with (ROOT / self.path).open("wb") as file:
            while left:
                piece = os.urandom(min(left, 1 << 20))
                digest.update(piece)
                file.write(piece)
                left -= len(piece)
        self.md5 = digest.hexdigest()
        return self

    def __exit__(self, *_: object) -> None:
        (ROOT / self.path).unlink()


def presigned(client: "S3Client") -> str:
    """A URL to PUT the clip, as the cloud service would send it."""
    asked = {"Bucket": ObjectStore.bucket, "Key": KEY, "ContentType": CONTENT_TYPE}
    return client.generate_presigned_url("put_object", Params=asked, ExpiresIn=_EXPIRES_SEC)


def plan(clip: Clip, url: str, *, ca: Path | None = None, send_buffer_bytes: int = 0) -> Path:
    """The file that tells the device what to upload where; `ca`: DER, for TLS."""
    response = {
        "success": True,
        "request_id": "upload_1a2b3c4d",
        "upload_url": url,
        "method": "PUT",
        "content_type": CONTENT_TYPE,
        "cloud_file_path": KEY,
    }
    told: dict[str, Any] = {
        "path": str(clip.path),
        "size_bytes": clip.size_bytes,
        "md5": clip.md5,
        "response": json.dumps(response),
        "ca": str(ca) if ca else None,
        "send_buffer_bytes": send_buffer_bytes,
    }
    path = scratch("plan.json")
    (ROOT / path).write_text(json.dumps(told))
    return path


def per_chunk(chunks: tuple[int, int], measure: Callable[[Clip], float]) -> float:
    """What one more chunk adds to a figure: the difference between files of so many chunks."""
    with Clip(chunks[0] * CHUNK_BYTES) as small, Clip(chunks[1] * CHUNK_BYTES) as large:
        few, many = measure(small), measure(large)
    return (many - few) / (chunks[1] - chunks[0])
