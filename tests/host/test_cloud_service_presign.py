"""The cloud service's signatures, all offline."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tools.cloud_service import config as configuration
from tools.cloud_service.clients import s3_client, s3_credentials
from tools.cloud_service.config import ConfigError, OssConfig, S3Config
from tools.cloud_service.oss_append import OssAppender
from tools.cloud_service.presign import OssPresigner, Presigner, S3Presigner
from tools.cloud_service.s3_sign import PutSigner


def presigner(config: S3Config | OssConfig) -> Presigner:
    return OssPresigner(config) if isinstance(config, OssConfig) else S3Presigner(config)


def query(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def s3(**settings: Any) -> S3Config:
    return S3Config(
        **{"kind": "s3", "bucket": "cams", "access_key": "AK", "secret_key": "SK", **settings}
    )


def oss(**settings: Any) -> OssConfig:
    return OssConfig(
        **{
            "kind": "oss",
            "bucket": "your-bucket",
            "region": "cn-hangzhou",
            "access_key": "AK",
            "secret_key": "SK",
            **settings,
        }
    )


def test_s3_signs_the_content_type_and_every_extra_header() -> None:
    config = s3(storage_class="STANDARD_IA", server_side_encryption="AES256")
    signed = presigner(config).put("cam/a b.ts", "video/mp2t", 600)
    assert signed.extra_headers == {
        "x-amz-storage-class": "STANDARD_IA",
        "x-amz-server-side-encryption": "AES256",
    }
    asked = query(signed.url)
    assert asked["X-Amz-Algorithm"] == "AWS4-HMAC-SHA256"
    assert asked["X-Amz-Expires"] == "600"
    names = ["content-type", "host", "x-amz-server-side-encryption", "x-amz-storage-class"]
    assert asked["X-Amz-SignedHeaders"].split(";") == names
    assert "SK" not in signed.url.replace("SignedHeaders", "")


@pytest.mark.parametrize(
    "settings, address",
    [
        ({"region": "eu-central-1"}, "https://cams.s3.eu-central-1.amazonaws.com/cam/a.ts"),
        (
            {"endpoint": "http://127.0.0.1:9000", "path_style": True},
            "http://127.0.0.1:9000/cams/cam/a.ts",
        ),
        ({"endpoint": "https://s3.example.org"}, "https://cams.s3.example.org/cam/a.ts"),
    ],
)
def test_s3_addresses(settings: dict[str, Any], address: str) -> None:
    url = presigner(s3(**settings)).put("cam/a.ts", "video/mp2t", 60).url
    assert url.partition("?")[0] == address


def test_oss_signs_the_content_type_and_every_extra_header() -> None:
    config = oss(storage_class="Standard", server_side_encryption="AES256")
    signed = presigner(config).put("cam/2025/a b.ts", "video/mp2t", 3600)
    assert signed.extra_headers == {
        "x-oss-storage-class": "Standard",
        "x-oss-server-side-encryption": "AES256",
    }
    parts = urlsplit(signed.url)
    assert (parts.scheme, parts.netloc) == ("https", "your-bucket.oss-cn-hangzhou.aliyuncs.com")
    assert parts.path == "/cam/2025/a%20b.ts"
    asked = query(signed.url)
    assert asked["x-oss-signature-version"] == "OSS4-HMAC-SHA256"
    assert asked["x-oss-expires"] == "3600", "no less than the reply promises"
    day = asked["x-oss-date"][:8]
    assert asked["x-oss-credential"] == f"AK/{day}/cn-hangzhou/oss/aliyun_v4_request"
    assert len(bytes.fromhex(asked["x-oss-signature"])) == 32
    assert "SK" not in signed.url


@pytest.mark.parametrize(
    "change",
    [
        {"content_type": "text/plain"},
        {"key": "cam/b.ts"},
        {"storage_class": "IA"},
        {"secret_key": "other"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_an_oss_signature_depends_on_all_that_it_covers(
    change: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def sign(**given: str) -> str:
        put = {"key": "cam/a.ts", "content_type": "video/mp2t"}
        put.update({name: given.pop(name) for name in list(given) if name in put})
        asked = query(
            presigner(oss(**{"storage_class": "Standard", **given})).put(**put, expires_sec=60).url
        )
        return asked["x-oss-signature"] if asked["x-oss-date"] == date else sign(**given, **put)

    date = query(presigner(oss()).put("x", "video/mp2t", 60).url)["x-oss-date"]
    assert sign() == sign()
    assert sign(**change) != sign()


def test_oss_allows_the_longest_lifetime_and_another_endpoint() -> None:
    config = oss(endpoint="https://oss-cn-hangzhou-internal.aliyuncs.com")
    url = presigner(config).put("a", "video/mp2t", configuration.MAX_EXPIRES_SEC).url
    assert urlsplit(url).netloc == "your-bucket.oss-cn-hangzhou-internal.aliyuncs.com"
    assert query(url)["x-oss-expires"] == "604799"


def test_credentials_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "FROM_ENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("OSS_ACCESS_KEY_ID", "FROM_ENV")
    monkeypatch.setenv("OSS_ACCESS_KEY_SECRET", "secret")
    keys = {"access_key": None, "secret_key": None}
    url = presigner(s3(**keys)).put("a", "video/mp2t", 60).url
    assert query(url)["X-Amz-Credential"].startswith("FROM_ENV/")
    url = presigner(oss(**keys)).put("a", "video/mp2t", 60).url
    assert query(url)["x-oss-credential"].startswith("FROM_ENV/")


def test_missing_credentials_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("AWS_", "OSS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    keys = {"access_key": None, "secret_key": None}
    with pytest.raises(ConfigError, match="AWS_ACCESS_KEY_ID"):
        presigner(s3(**keys))
    with pytest.raises(ConfigError, match="OSS_ACCESS_KEY_ID"):
        presigner(oss(**keys))


# ---- what protocol 2 adds


def test_s3_signs_the_md5_the_encoding_and_the_condition() -> None:
    put = presigner(s3()).put(
        "cam/a.ts",
        "video/mp2t",
        60,
        content_md5="XrY7u+Ae7tCTyyK7j1rNww==",
        content_encoding="gzip",
        forbid_overwrite=True,
    )
    assert put.extra_headers == {
        "Content-MD5": "XrY7u+Ae7tCTyyK7j1rNww==",
        "Content-Encoding": "gzip",
        "If-None-Match": "*",
    }
    signed = query(put.url)["X-Amz-SignedHeaders"].split(";")
    assert signed == ["content-encoding", "content-md5", "content-type", "host", "if-none-match"]


def test_oss_signs_the_md5_and_the_condition_and_names_the_encoding() -> None:
    put = presigner(oss()).put(
        "cam/a.ts",
        "video/mp2t",
        60,
        content_md5="XrY7u+Ae7tCTyyK7j1rNww==",
        content_encoding="gzip",
        forbid_overwrite=True,
    )
    assert put.extra_headers == {
        "Content-MD5": "XrY7u+Ae7tCTyyK7j1rNww==",
        "Content-Encoding": "gzip",
        "x-oss-forbid-overwrite": "true",
    }


@pytest.mark.parametrize("config", [s3(), oss()], ids=["s3", "oss"])
def test_a_part_takes_no_headers(config: S3Config | OssConfig) -> None:
    signer = presigner(config)
    asked = query(signer.part("cam/a b.ts", "id+/=", 7, 60))
    assert (asked["uploadId"], asked["partNumber"]) == ("id+/=", "7")
    assert asked.get("X-Amz-SignedHeaders", "host") == "host"
    assert "x-oss-additional-headers" not in asked


@pytest.mark.parametrize("config", [s3(), oss()], ids=["s3", "oss"])
def test_an_address_is_the_url_without_its_signature(config: S3Config | OssConfig) -> None:
    signer = presigner(config)
    assert signer.address("cam/a b.ts") == signer.put("cam/a b.ts", "t/t", 60).url.partition("?")[0]


def test_oss_appends_at_a_position_with_an_md5() -> None:
    config = oss(storage_class="IA")
    appender = OssAppender(config, OssPresigner(config))
    first = appender.append("cam/a.ts", "video/mp2t", 0, "XrY7u+Ae7tCTyyK7j1rNww==", 60)
    assert first.url.startswith("https://your-bucket.oss-cn-hangzhou.aliyuncs.com/cam/a.ts?append&")
    assert query(first.url)["position"] == "0"
    assert query(first.url)["x-oss-expires"] == "60"
    later = appender.append("cam/a.ts", "video/mp2t", 102400, "XrY7u+Ae7tCTyyK7j1rNww==", 60)
    assert query(later.url)["position"] == "102400"
    assert first.extra_headers == {
        "Content-MD5": "XrY7u+Ae7tCTyyK7j1rNww==",
        "x-oss-storage-class": "IA",
    }
    assert later.extra_headers == {"Content-MD5": "XrY7u+Ae7tCTyyK7j1rNww=="}, "of the object"


# ---- boto3's signer alone, which makes the same URLs at a third of the cost

KEYS = ["cam/a.ts", "cam/2025/a b+&=~%41.ts", "cam/门口 (1)!*'.ts", "a//b", "a:b@c?d#e,f;g$h[i]"]
PLACES: dict[str, dict[str, Any]] = {
    "Amazon": {"region": "eu-central-1"},
    "path style": {"endpoint": "http://127.0.0.1:9000", "path_style": True},
    "another port": {"endpoint": "https://s3.example.org:8443"},
    "the usual port": {"endpoint": "https://s3.example.org:443", "path_style": True},
    "a dotted bucket": {"bucket": "cams.example.org", "region": "us-west-2"},
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
@pytest.mark.parametrize("key", KEYS)
def test_the_quick_way_makes_the_same_url(place: dict[str, Any], key: str) -> None:
    client = s3_client(s3(**place), place.get("endpoint"))

    def presign(key: str, headers: Mapping[str, str], expires_sec: int) -> str:
        names = {"Content-Type": "ContentType", "If-None-Match": "IfNoneMatch"}
        parameters = {names[name]: value for name, value in headers.items()}
        asked = {"Bucket": s3(**place).bucket, "Key": key, **parameters}
        return client.generate_presigned_url("put_object", Params=asked, ExpiresIn=expires_sec)

    signer = PutSigner(s3_credentials(s3(**place)), presign)
    assert signer.is_quick
    asked = (key, {"Content-Type": "video/mp2t", "If-None-Match": "*"}, 60)
    # the clock may tick between the two
    assert any(signer.sign(*asked) == presign(*asked) for _ in range(5))


def test_a_session_token_is_part_of_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "FROM_ENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "a+token/=")
    url = presigner(s3(access_key=None, secret_key=None)).put("a", "video/mp2t", 60).url
    assert query(url)["X-Amz-Security-Token"] == "a+token/="


def test_where_the_ways_differ_boto3_goes_the_whole_one() -> None:
    asked: list[str] = []

    def presign(key: str, headers: Mapping[str, str], expires_sec: int) -> str:
        asked.append(key)
        return f"https://elsewhere.test/{key}?X-Amz-Credential=AK/20250711/r/s3express/aws4_request"

    signer = PutSigner(s3_credentials(s3()), presign)
    assert not signer.is_quick
    assert signer.sign("cam/a.ts", {}, 60).startswith("https://elsewhere.test/cam/a.ts?")
    assert asked[-1] == "cam/a.ts"
