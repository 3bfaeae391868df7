"""What a store holds, as an independent client reads it: boto3, or Alibaba's SDK for the stand-in."""

from __future__ import annotations

from dataclasses import dataclass

import alibabacloud_oss_v2 as oss

from tools.services import ObjectStore, OssStandin

AnyStore = ObjectStore | OssStandin


@dataclass(frozen=True)
class Found:
    body: bytes
    content_type: str
    content_encoding: str | None


def names(store: AnyStore, prefix: str) -> list[str]:
    if isinstance(store, OssStandin):
        request = oss.ListObjectsV2Request(bucket=store.bucket, prefix=prefix)
        return [entry.key for entry in store.client().list_objects_v2(request).contents or []]
    listed = store.client().list_objects_v2(Bucket=store.bucket, Prefix=prefix)
    return [entry["Key"] for entry in listed.get("Contents", [])]


def read(store: AnyStore, path: str) -> Found:
    if isinstance(store, OssStandin):
        request = oss.GetObjectRequest(bucket=store.bucket, key=path)
        got = store.client().get_object(request)
        return Found(got.body.content, got.content_type, got.content_encoding)
    found = store.client().get_object(Bucket=store.bucket, Key=path)
    # a body that is called compressed is read as it is
    return Found(found["Body"].read(), found["ContentType"], found.get("ContentEncoding"))


def write(store: AnyStore, path: str, body: bytes) -> None:
    if isinstance(store, OssStandin):
        store.client().put_object(oss.PutObjectRequest(bucket=store.bucket, key=path, body=body))
    else:
        store.client().put_object(Bucket=store.bucket, Key=path, Body=body)


def pending(store: AnyStore, path: str) -> list[str]:
    """Ids of unfinished uploads of this very object."""
    if isinstance(store, OssStandin):
        request = oss.ListMultipartUploadsRequest(bucket=store.bucket, prefix=path)
        uploads = store.client().list_multipart_uploads(request).uploads or []
        return [upload.upload_id for upload in uploads if upload.key == path]
    listed = store.client().list_multipart_uploads(Bucket=store.bucket, Prefix=path)
    return [upload["UploadId"] for upload in listed.get("Uploads", []) if upload["Key"] == path]
