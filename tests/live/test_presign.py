"""What real stores say to presigned PUTs made by the cloud service's own signer.

These answers are what the camera's classification of upload failures rests on.
"""

from __future__ import annotations

import hashlib
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tools.cloud_service.config import S3Config
from tools.cloud_service.presign import PresignedPut, S3Presigner
from tools.services import ObjectStore, minio, seaweedfs

KEY = "ESP32P4_CAM_001/2025/07/11/143022_motion_video.ts"
TYPE = "video/mp2t"
BODY = bytes(range(256)) * 4096


@pytest.fixture(scope="module", params=[minio, seaweedfs], ids=["minio", "seaweedfs"])
def store(request: pytest.FixtureRequest) -> Iterator[ObjectStore]:
    with request.param() as running:
        yield running


def sign(
    store: ObjectStore, key: str = KEY, *, expires_sec: int = 60, **settings: Any
) -> PresignedPut:
    config = S3Config(
        **{
            "kind": "s3",
            "endpoint": store.endpoint,
            "path_style": True,
            "bucket": store.bucket,
            "region": store.region,
            "access_key": store.access_key,
            "secret_key": store.secret_key,
            **settings,
        }
    )
    return S3Presigner(config).put(key, TYPE, expires_sec)


def put(url: str, headers: dict[str, str] | None = None) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        headers = {"Content-Type": TYPE} if headers is None else headers
        return session.put(url, data=BODY, headers=headers, timeout=10)


def refusal(answer: requests.Response) -> tuple[int, str | None, str | None]:
    """Status, and <Code> and <Message> of the error document."""
    document = ET.fromstring(answer.content)
    assert document.tag == "Error"
    return answer.status_code, document.findtext("Code"), document.findtext("Message")


NOT_SIGNED_SO = (
    403,
    "SignatureDoesNotMatch",
    "The request signature we calculated does not match the signature you provided."
    " Check your key and signing method.",
)


def test_a_good_put_is_stored_and_its_etag_is_the_md5(store: ObjectStore) -> None:
    answer = put(sign(store).url)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["ETag"] == f'"{hashlib.md5(BODY).hexdigest()}"'
    stored = store.client().get_object(Bucket=store.bucket, Key=KEY)
    assert (stored["Body"].read(), stored["ContentType"]) == (BODY, TYPE)


def test_names_with_spaces_and_other_scripts_arrive_unchanged(store: ObjectStore) -> None:
    key = "ESP32P4_CAM_001/门口 (1)+&=~%41.ts"
    assert put(sign(store, key).url).status_code == 200
    stored = store.client().get_object(Bucket=store.bucket, Key=key)
    assert stored["Body"].read() == BODY


def test_extra_headers_are_signed_and_must_be_sent(store: ObjectStore) -> None:
    signed = sign(store, storage_class="STANDARD")
    assert signed.extra_headers == {"x-amz-storage-class": "STANDARD"}
    assert put(signed.url, {"Content-Type": TYPE, **signed.extra_headers}).status_code == 200
    without = refusal(put(signed.url))
    if store.name == "minio":
        told = "There were headers present in the request which were not signed"
        assert without == (400, "AccessDenied", told)
    else:
        assert without == NOT_SIGNED_SO


def test_a_wrong_signature_is_refused(store: ObjectStore) -> None:
    url = sign(store).url
    wrong = url[:-1] + ("0" if url[-1] != "0" else "1")
    assert refusal(put(wrong)) == NOT_SIGNED_SO


def test_a_signature_is_for_one_object(store: ObjectStore) -> None:
    other = sign(store).url.replace("CAM_001", "CAM_002")
    assert refusal(put(other)) == NOT_SIGNED_SO


def test_another_content_type_than_signed_is_refused(store: ObjectStore) -> None:
    answer = put(sign(store).url, {"Content-Type": "text/html"})
    assert refusal(answer) == NOT_SIGNED_SO


def test_a_missing_content_type_is_refused(store: ObjectStore) -> None:
    status, _, _ = refusal(put(sign(store).url, {}))
    assert status == {"minio": 400, "seaweedfs": 403}[store.name]


def test_an_expired_url_is_refused_as_such(store: ObjectStore) -> None:
    url = sign(store, expires_sec=1).url
    time.sleep(2.1)  # the stores' own clocks decide
    assert refusal(put(url)) == (403, "AccessDenied", "Request has expired")


def test_unknown_keys_are_refused(store: ObjectStore) -> None:
    url = sign(store, access_key="nobody").url
    status, code, _ = refusal(put(url))
    assert (status, code) == (403, "InvalidAccessKeyId")


def test_a_bucket_that_is_not_there(store: ObjectStore) -> None:
    answer = put(sign(store, bucket="elsewhere").url)
    if store.name == "minio":
        assert refusal(answer) == (404, "NoSuchBucket", "The specified bucket does not exist")
    else:
        assert answer.status_code == 200, "SeaweedFS creates it for an administrator's keys"
