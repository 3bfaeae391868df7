"""What the strict OSS stand-in says to URLs of the cloud service's own signers.

Of OSS's answers this shows what its documentation tells; see tools/services/oss_standin.py.
"""

from __future__ import annotations

import hashlib
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.live import contents
from tests.live.protocol_camera import md5, send
from tools.cloud_service.config import OssConfig
from tools.cloud_service.oss_append import OssAppender
from tools.cloud_service.oss_store import OssStore
from tools.cloud_service.presign import OssPresigner, PresignedPut
from tools.services import OssStandin

KEY = "ESP32P4_CAM_001/2025/07/11/143022_motion_video.ts"
ODD_KEY = "ESP32P4_CAM_001/门口 (1)+&=~%41.ts"
TYPE = "video/mp2t"
BODY = bytes(range(256)) * 512


@pytest.fixture(scope="module")
def store() -> Iterator[OssStandin]:
    with OssStandin() as running:
        yield running


def config(store: OssStandin, **settings: Any) -> OssConfig:
    return OssConfig(
        **{
            "kind": "oss",
            "endpoint": store.endpoint,
            "region": store.region,
            "bucket": store.bucket,
            "access_key": store.access_key,
            "secret_key": store.secret_key,
            **settings,
        }
    )


def put(signed: PresignedPut, body: bytes = BODY, **changes: str) -> requests.Response:
    return send(signed.url, body, {"Content-Type": TYPE, **signed.extra_headers, **changes})


def refusal(answer: requests.Response) -> tuple[int, str | None]:
    document = ET.fromstring(answer.content)
    assert document.tag == "Error"
    return answer.status_code, document.findtext("Code")


@pytest.mark.parametrize("key", [KEY, ODD_KEY])
def test_a_good_put_is_stored_and_its_etag_is_the_md5(store: OssStandin, key: str) -> None:
    signed = OssPresigner(config(store)).put(key, TYPE, 60, content_md5=md5(BODY))
    answer = put(signed)
    assert answer.status_code == 200, answer.text
    assert answer.headers["ETag"].strip('"').lower() == hashlib.md5(BODY).hexdigest()
    found = contents.read(store, key)
    assert (found.body, found.content_type) == (BODY, TYPE)


def test_extra_headers_are_signed_and_must_be_sent(store: OssStandin) -> None:
    signer = OssPresigner(config(store, storage_class="IA", server_side_encryption="AES256"))
    signed = signer.put("cam/extra.ts", TYPE, 60, content_md5=md5(BODY), forbid_overwrite=True)
    for name in signed.extra_headers:
        fewer = {key: value for key, value in signed.extra_headers.items() if key != name}
        answer = put(PresignedPut(signed.url, fewer))
        assert refusal(answer) == (403, "SignatureDoesNotMatch"), name
    assert put(signed).status_code == 200
    assert refusal(put(signed)) == (409, "FileAlreadyExists")


@pytest.mark.parametrize(
    "settings, code",
    [
        ({"secret_key": "another"}, "SignatureDoesNotMatch"),
        ({"access_key": "nobody"}, "InvalidAccessKeyId"),
        ({"bucket": "elsewhere"}, "NoSuchBucket"),
    ],
)
def test_keys_and_buckets_that_are_not_there(
    store: OssStandin, settings: dict[str, str], code: str
) -> None:
    answer = put(OssPresigner(config(store, **settings)).put(KEY, TYPE, 60))
    assert refusal(answer)[1] == code


def test_a_signature_is_for_one_object_type_and_content(store: OssStandin) -> None:
    signed = OssPresigner(config(store)).put("cam/one.ts", TYPE, 60, content_md5=md5(BODY))
    other = PresignedPut(signed.url.replace("one.ts", "two.ts"), signed.extra_headers)
    assert refusal(put(other)) == (403, "SignatureDoesNotMatch")
    changed = put(signed, **{"Content-Type": "text/html"})
    assert refusal(changed) == (403, "SignatureDoesNotMatch")
    assert refusal(put(signed, BODY[::-1])) == (400, "InvalidDigest")
    assert contents.names(store, "cam/one.ts") == contents.names(store, "cam/two.ts") == []


@pytest.mark.parametrize("key", [KEY, ODD_KEY])
def test_parts_and_appends_are_signed_for_names_of_all_kinds(store: OssStandin, key: str) -> None:
    settings = config(store, storage_class="IA")
    signer, calls = OssPresigner(settings), OssStore(settings, forbid_overwrite=False)
    upload_id = calls.create_upload(key, TYPE, None)
    assert send(signer.part(key, upload_id, 1, 60), BODY).status_code == 200
    wrong = signer.part(key, upload_id, 2, 60).replace("partNumber=2", "partNumber=3")
    assert refusal(send(wrong, BODY)) == (403, "SignatureDoesNotMatch")
    calls.complete_upload(key, upload_id, calls.list_parts(key, upload_id))
    assert contents.read(store, key).body == BODY

    appender = OssAppender(settings, signer)
    for position in (0, len(BODY)):
        signed = appender.append(f"{key}.log", TYPE, position, md5(BODY), 60)
        headers = {"Content-Type": TYPE, **signed.extra_headers}
        moved = signed.url.replace(f"position={position}", "position=1")
        assert refusal(send(moved, BODY, headers, "POST")) == (403, "SignatureDoesNotMatch")
        answer = send(signed.url, BODY, headers, "POST")
        assert answer.status_code == 200, answer.text
    assert contents.read(store, f"{key}.log").body == BODY * 2
