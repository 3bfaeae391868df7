"""The OSS stand-in under Alibaba's own SDK: what it stores, what it refuses, what it keeps."""

from __future__ import annotations

import base64
import concurrent.futures
import datetime
import gzip
import hashlib
import random
import secrets
from collections.abc import Iterator
from pathlib import Path

import alibabacloud_oss_v2 as oss
import pytest
import requests
from alibabacloud_oss_v2.crc import Crc64

from tools.services import OssStandin, oss_standin

PART = 100 * 1024  # the least that OSS takes for any but the last part
EXPIRES = datetime.timedelta(minutes=5)
HTTP = requests.Session()
HTTP.trust_env = False  # loopback is never behind a proxy of the environment


@pytest.fixture(scope="module")
def store() -> Iterator[OssStandin]:
    with oss_standin() as running:
        yield running


@pytest.fixture(params=["v4", "v1"])
def client(request: pytest.FixtureRequest, store: OssStandin) -> oss.Client:
    return store.client(signature_version=request.param)


@pytest.fixture
def key(request: pytest.FixtureRequest) -> str:
    return f"tests/{request.node.name}/ü 1+2.ts"


@pytest.fixture
def bucket(client: oss.Client) -> str:
    """One of the test's own."""
    name = f"test-{secrets.token_hex(8)}"
    client.put_bucket(oss.PutBucketRequest(bucket=name))
    return name


def noise(size: int, which: int = 0) -> bytes:
    return random.Random(which).randbytes(size)


def etag(data: bytes) -> str:
    return f'"{hashlib.md5(data).hexdigest().upper()}"'


def content_md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data).digest()).decode()


def crc64(data: bytes) -> str:
    crc = Crc64(0)
    crc.update(data)
    return str(crc.sum64())


class Refused:
    """A context in which Alibaba's SDK must raise this refusal; `error` is what it raised."""

    def __init__(self, status: int, code: str, ec: str = "") -> None:
        self._wanted = (status, code, ec)
        self.error: oss.exceptions.ServiceError | None = None

    def __enter__(self) -> Refused:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if error is None:
            pytest.fail(f"not refused with {self._wanted}")
        if not isinstance(error, oss.exceptions.OperationError):
            return False
        cause = error.unwrap()
        assert isinstance(cause, oss.exceptions.ServiceError), cause
        assert (cause.status_code, cause.code, cause.ec) == self._wanted
        assert cause.request_id and cause.message
        self.error = cause
        return True


def read(store: OssStandin, key: str) -> bytes:
    got = store.client().get_object(oss.GetObjectRequest(bucket=store.bucket, key=key))
    return bytes(got.body.content)


def files(store: OssStandin, part: str) -> list[Path]:
    return sorted((store.directory / "data" / store.bucket / part).rglob("*"))


# ---- Objects


def test_the_checksum_is_that_of_ecma_182() -> None:
    assert int(crc64(b"123456789")) == 0x995DC9BBDF1939FA


def test_an_object_is_put_read_and_described(
    store: OssStandin, client: oss.Client, key: str
) -> None:
    plain = noise(300_000)
    data = gzip.compress(plain)
    put = client.put_object(
        oss.PutObjectRequest(
            bucket=store.bucket,
            key=key,
            body=data,
            content_type="video/mp2t",
            content_encoding="gzip",
            content_md5=content_md5(data),
            storage_class="IA",
            server_side_encryption="AES256",
            metadata={"camera": "c1"},
        )
    )
    assert (put.etag, put.hash_crc64) == (etag(data), crc64(data))
    assert put.content_md5 == content_md5(data)
    assert put.headers["x-oss-server-side-encryption"] == "AES256"
    assert put.headers["Server"] == "AliyunOSS" and put.headers["x-oss-request-id"]
    head = client.head_object(oss.HeadObjectRequest(bucket=store.bucket, key=key))
    assert (head.etag, head.hash_crc64) == (etag(data), crc64(data))
    assert (head.content_length, head.object_type) == (len(data), "Normal")
    assert (head.content_type, head.content_encoding) == ("video/mp2t", "gzip")
    assert (head.storage_class, head.metadata) == ("IA", {"camera": "c1"})
    assert read(store, key) == plain, "as gzip says"
    assert client.is_object_exist(store.bucket, key)


def test_an_object_is_replaced_and_deleted(store: OssStandin, client: oss.Client, key: str) -> None:
    for body in (b"first", b"second, longer"):
        client.put_object(oss.PutObjectRequest(bucket=store.bucket, key=key, body=body))
        assert read(store, key) == body
    before = len(files(store, "blobs"))
    for _ in range(2):  # the second time there is nothing, which OSS does not mind
        gone = client.delete_object(oss.DeleteObjectRequest(bucket=store.bucket, key=key))
        assert gone.status_code == 204
    assert len(files(store, "blobs")) == before - 1
    with Refused(404, "NoSuchKey", "0026-00000001"):
        client.get_object(oss.GetObjectRequest(bucket=store.bucket, key=key))
    with Refused(404, "NoSuchKey", "0026-00000001"):
        client.head_object(oss.HeadObjectRequest(bucket=store.bucket, key=key))
    assert not client.is_object_exist(store.bucket, key)


def test_a_body_of_unknown_length_comes_in_chunks(
    store: OssStandin, client: oss.Client, key: str
) -> None:
    pieces = [noise(70_000, which) for which in range(4)]
    client.put_object(oss.PutObjectRequest(bucket=store.bucket, key=key, body=iter(pieces)))
    assert read(store, key) == b"".join(pieces)


def test_an_empty_object(store: OssStandin, client: oss.Client, key: str) -> None:
    put = client.put_object(oss.PutObjectRequest(bucket=store.bucket, key=key, body=b""))
    assert put.etag == etag(b"")
    assert read(store, key) == b""


@pytest.mark.parametrize(
    ("wanted", "behavior", "status", "start", "end"),
    [
        ("bytes=10-19", None, 206, 10, 20),
        ("bytes=990-", None, 206, 990, 1000),
        ("bytes=-5", None, 206, 995, 1000),
        ("bytes=990-5000", None, 206, 990, 1000),
        ("bytes=1000-", None, 200, 0, 1000),
        ("bytes=1000-", "standard", 416, 0, 0),
        ("bytes=20-10", None, 200, 0, 1000),
        ("bytes=²-5", None, 200, 0, 1000),
    ],
)
def test_a_range_of_an_object(
    store: OssStandin, wanted: str, behavior: str | None, status: int, start: int, end: int
) -> None:
    data = noise(1000)
    client = store.client()
    client.put_object(oss.PutObjectRequest(bucket=store.bucket, key="range", body=data))
    url = client.presign(oss.GetObjectRequest(bucket=store.bucket, key="range")).url
    if behavior:
        request = oss.GetObjectRequest(bucket=store.bucket, key="range", range_behavior=behavior)
        url = client.presign(request).url
    headers = {"Range": wanted.encode("latin-1")}
    if behavior:
        headers["x-oss-range-behavior"] = behavior.encode()
    answer = HTTP.get(url, headers=headers, timeout=20)
    assert answer.status_code == status
    if status == 416:
        assert "<Code>InvalidRange</Code>" in answer.text
        return
    assert answer.content == data[start:end]
    if status == 206:
        assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/1000"


def test_a_url_may_ask_for_other_headers(store: OssStandin, client: oss.Client, key: str) -> None:
    client.put_object(oss.PutObjectRequest(bucket=store.bucket, key=key, body=b"x"))
    wanted = oss.GetObjectRequest(
        bucket=store.bucket,
        key=key,
        response_content_type="text/plain",
        response_content_disposition="attachment; filename=ü.ts",
    )
    answer = HTTP.get(client.presign(wanted, expires=EXPIRES).url, timeout=20)
    assert answer.headers["Content-Type"] == "text/plain"
    assert answer.headers["Content-Disposition"].encode("latin-1").decode().endswith("ü.ts")


def test_conditions_on_the_etag(store: OssStandin, client: oss.Client, key: str) -> None:
    client.put_object(oss.PutObjectRequest(bucket=store.bucket, key=key, body=b"x"))

    def head(**conditions: str) -> oss.HeadObjectResult:
        request = oss.HeadObjectRequest(bucket=store.bucket, key=key, **conditions)
        return client.head_object(request)

    head(if_match=etag(b"x"))
    head(if_none_match=etag(b"y"))
    with Refused(412, "PreconditionFailed"):
        head(if_match=etag(b"y"))
    with pytest.raises(oss.exceptions.OperationError) as caught:
        head(if_none_match=etag(b"x"))
    assert caught.value.unwrap().status_code == 304
    with Refused(400, "NotImplemented"):
        head(if_modified_since="Fri, 13 Nov 2015 14:47:53 GMT")


def test_overwriting_can_be_forbidden(store: OssStandin, client: oss.Client, key: str) -> None:
    def put(body: bytes) -> None:
        client.put_object(
            oss.PutObjectRequest(bucket=store.bucket, key=key, body=body, forbid_overwrite=True)
        )

    put(b"first")
    with Refused(409, "FileAlreadyExists", "0026-00000002"):
        put(b"second")
    assert read(store, key) == b"first"


def test_of_many_that_may_not_overwrite_one_wins(store: OssStandin, key: str) -> None:
    def put(which: int) -> int:
        request = oss.PutObjectRequest(
            bucket=store.bucket, key=key, body=noise(200_000, which), forbid_overwrite=True
        )
        try:
            return int(store.client().put_object(request).status_code)
        except oss.exceptions.OperationError as error:
            return int(error.unwrap().status_code)

    before = len(files(store, "blobs"))
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        statuses = list(pool.map(put, range(6)))
    assert sorted(statuses) == [200] + [409] * 5
    assert read(store, key) == noise(200_000, statuses.index(200))
    assert len(files(store, "blobs")) == before + 1


@pytest.mark.parametrize("digest", [content_md5(b"other"), "bm90IDE2IGJ5dGVz", "%%%"])
def test_a_wrong_content_md5_stores_nothing(
    store: OssStandin, client: oss.Client, key: str, digest: str
) -> None:
    before = files(store, "blobs")
    ec = "0017-00000503" if digest == content_md5(b"other") else "0017-00000502"
    with Refused(400, "InvalidDigest", ec):
        client.put_object(
            oss.PutObjectRequest(bucket=store.bucket, key=key, body=b"x", content_md5=digest)
        )
    assert not client.is_object_exist(store.bucket, key)
    assert files(store, "blobs") == before


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"storage_class": "Lukewarm"}, "InvalidArgument"),
        ({"server_side_encryption": "ROT13"}, "InvalidEncryptionAlgorithmError"),
        ({"headers": {"x-oss-forbid-overwrite": "maybe"}}, "InvalidArgument"),
        ({"headers": {"x-oss-tagging": "a=b"}}, "NotImplemented"),
        ({"key": "/absolute"}, "InvalidObjectName"),
    ],
)
def test_what_oss_does_not_take_is_refused(
    store: OssStandin, fields: dict[str, object], code: str
) -> None:
    request = oss.PutObjectRequest(
        **{"bucket": store.bucket, "key": "refused", "body": b"x", **fields}
    )
    with Refused(400, code):
        store.client().put_object(request)


def test_buckets(store: OssStandin, client: oss.Client) -> None:
    with Refused(404, "NoSuchBucket", "0015-00000101"):
        client.put_object(oss.PutObjectRequest(bucket="no-such-bucket", key="k", body=b"x"))
    for _ in range(2):  # its owner may create it again
        client.put_bucket(oss.PutBucketRequest(bucket="second"))
    client.put_object(oss.PutObjectRequest(bucket="second", key="k", body=b"x"))
    assert not client.is_object_exist(store.bucket, "k")
    with Refused(400, "NotImplemented"):
        client.get_bucket_acl(oss.GetBucketAclRequest(bucket="second"))
    with Refused(400, "NotImplemented"):
        client.list_buckets(oss.ListBucketsRequest())


def test_objects_are_listed_in_pages_and_by_prefix(client: oss.Client, bucket: str) -> None:
    keys = [f"a/{n}" for n in range(5)] + ["a/ü & <b>", "b/x/1", "b/x/2", "b/y", "c"]
    for name in keys:
        client.put_object(oss.PutObjectRequest(bucket=bucket, key=name, body=name.encode()))

    def listing(**fields: object) -> tuple[list[str], list[str]]:
        found: list[str] = []
        prefixes: list[str] = []
        request = oss.ListObjectsV2Request(bucket=bucket, **fields)
        for page in client.list_objects_v2_paginator().iter_page(request):
            assert len(page.contents or []) + len(page.common_prefixes or []) == page.key_count
            found += [item.key for item in page.contents or []]
            prefixes += [item.prefix for item in page.common_prefixes or []]
        return found, prefixes

    assert listing() == (keys, [])
    assert listing(max_keys=3) == (keys, [])
    assert listing(prefix="b/") == (["b/x/1", "b/x/2", "b/y"], [])
    assert listing(prefix="b/", delimiter="/") == (["b/y"], ["b/x/"])
    assert listing(delimiter="/", max_keys=1) == (["c"], ["a/", "b/"])
    assert listing(start_after="b/x/1") == (["b/x/2", "b/y", "c"], [])
    page = client.list_objects_v2(oss.ListObjectsV2Request(bucket=bucket, prefix="c"))
    (item,) = page.contents
    assert (item.size, item.etag, item.object_type) == (1, etag(b"c"), "Normal")


# ---- Appending


def append(
    client: oss.Client, store: OssStandin, key: str, position: int, body: bytes, **more: object
) -> oss.AppendObjectResult:
    return client.append_object(
        oss.AppendObjectRequest(bucket=store.bucket, key=key, position=position, body=body, **more)
    )


def test_an_object_grows_by_appending(store: OssStandin, client: oss.Client, key: str) -> None:
    pieces = [noise(100_000, which) for which in range(4)]
    whole = b""
    for piece in pieces:
        answer = append(
            client,
            store,
            key,
            len(whole),
            piece,
            content_md5=content_md5(piece),
            content_type="video/mp2t",
        )
        whole += piece
        assert answer.next_position == len(whole)
        assert answer.hash_crc64 == crc64(whole)
        head = client.head_object(oss.HeadObjectRequest(bucket=store.bucket, key=key))
        assert (head.object_type, head.next_append_position) == ("Appendable", len(whole))
        assert (head.content_length, head.hash_crc64) == (len(whole), crc64(whole))
        assert head.etag not in (etag(whole), etag(piece)), "an MD5 is not what OSS gives"
        assert head.content_type == "video/mp2t"
    assert read(store, key) == whole
    cut = client.get_object(
        oss.GetObjectRequest(bucket=store.bucket, key=key, range_header="bytes=99990-200009")
    )
    assert cut.body.content == whole[99_990:200_010]


def test_an_append_elsewhere_than_at_the_end_is_refused_and_told_where(
    store: OssStandin, client: oss.Client, key: str
) -> None:
    def refused(position: int, end: int) -> None:
        with Refused(409, "PositionNotEqualToLength", "0026-00000016") as seen:
            append(client, store, key, position, b"more")
        assert seen.error.headers["x-oss-next-append-position"] == str(end)

    refused(1, 0)
    append(client, store, key, 0, b"begin")
    refused(0, 5)
    refused(4, 5)
    with Refused(400, "InvalidDigest", "0017-00000503"):
        append(client, store, key, 5, b"torn", content_md5=content_md5(b"whole"))
    append(client, store, key, 5, b" end")
    assert read(store, key) == b"begin end"


def test_only_what_was_made_by_appending_can_be_appended_to(
    store: OssStandin, client: oss.Client, key: str
) -> None:
    client.put_object(oss.PutObjectRequest(bucket=store.bucket, key=key, body=b"whole"))
    with Refused(409, "ObjectNotAppendable"):
        append(client, store, key, 5, b"more")
    client.delete_object(oss.DeleteObjectRequest(bucket=store.bucket, key=key))
    append(client, store, key, 0, b"piece")
    client.put_object(oss.PutObjectRequest(bucket=store.bucket, key=key, body=b"whole again"))
    head = client.head_object(oss.HeadObjectRequest(bucket=store.bucket, key=key))
    assert (head.object_type, head.next_append_position) == ("Normal", None)
    assert read(store, key) == b"whole again"


def test_of_many_appends_to_one_end_one_wins(store: OssStandin, key: str) -> None:
    append(store.client(), store, key, 0, b"begin")

    def more(which: int) -> int:
        try:
            return int(append(store.client(), store, key, 5, noise(100_000, which)).status_code)
        except oss.exceptions.OperationError as error:
            return int(error.unwrap().status_code)

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        statuses = list(pool.map(more, range(6)))
    assert sorted(statuses) == [200] + [409] * 5
    assert read(store, key) == b"begin" + noise(100_000, statuses.index(200))


def test_an_append_can_be_presigned(store: OssStandin, client: oss.Client, key: str) -> None:
    whole = b""
    for piece in (b"one", b"two"):
        signed = presign_post(
            store, client, key, {"append": "", "position": str(len(whole))}, piece
        )
        headers = {"Content-MD5": content_md5(piece)}
        answer = HTTP.post(signed, data=piece, headers=headers, timeout=20)
        assert answer.status_code == 200, answer.text
        again = HTTP.post(signed, data=piece, headers=headers, timeout=20)
        whole += piece
        assert again.status_code == 409
        assert again.headers["x-oss-next-append-position"] == str(len(whole))
        torn = HTTP.post(signed, data=b"xxx", headers=headers, timeout=20)
        assert torn.status_code == 409, "the position is looked at first"
    assert read(store, key) == whole


def presign_post(
    store: OssStandin, client: oss.Client, key: str, query: dict[str, str], body: bytes
) -> str:
    """AppendObject, which the SDK's presign() does not know, signed by the SDK's signer."""
    sent: list[str] = []

    class Recorder(oss.types.HttpClient):  # type: ignore[misc]
        def send(self, request: oss.types.HttpRequest, **_: object) -> oss.types.HttpResponse:
            sent.append(request.url)
            raise oss.exceptions.RequestError(error=RuntimeError("recorded, not sent"))

        def open(self) -> None: ...
        def close(self) -> None: ...

    operation = oss.OperationInput(
        op_name="AppendObject",
        method="POST",
        bucket=store.bucket,
        key=key,
        parameters=query,
        headers={"Content-MD5": content_md5(body)},
    )
    with pytest.raises(oss.exceptions.OperationError, match="recorded"):
        client.invoke_operation(operation, http_client=Recorder(), auth_method="query")
    return sent[0]


# ---- Uploads in parts


def initiate(client: oss.Client, store: OssStandin, key: str, **more: object) -> str:
    request = oss.InitiateMultipartUploadRequest(bucket=store.bucket, key=key, **more)
    result = client.initiate_multipart_upload(request)
    assert (result.bucket, result.key) == (store.bucket, key)
    return str(result.upload_id)


def put_part(
    client: oss.Client, store: OssStandin, key: str, upload: str, number: int, body: bytes
) -> oss.UploadPartResult:
    return client.upload_part(
        oss.UploadPartRequest(
            bucket=store.bucket,
            key=key,
            upload_id=upload,
            part_number=number,
            body=body,
            content_md5=content_md5(body),
        )
    )


def complete(
    client: oss.Client,
    store: OssStandin,
    key: str,
    upload: str,
    parts: list[tuple[int, bytes]],
    **more: object,
) -> oss.CompleteMultipartUploadResult:
    listed = [oss.UploadPart(part_number=number, etag=etag(body)) for number, body in parts]
    return client.complete_multipart_upload(
        oss.CompleteMultipartUploadRequest(
            bucket=store.bucket,
            key=key,
            upload_id=upload,
            complete_multipart_upload=oss.CompleteMultipartUpload(parts=listed),
            **more,
        )
    )


def parts_of(
    client: oss.Client, store: OssStandin, key: str, upload: str, **more: object
) -> object:
    return client.list_parts(
        oss.ListPartsRequest(bucket=store.bucket, key=key, upload_id=upload, **more)
    )


def test_an_object_of_parts(store: OssStandin, client: oss.Client, key: str) -> None:
    bodies = [noise(PART, 1), noise(PART + 17, 2), noise(5, 3)]
    whole = b"".join(bodies)
    upload = initiate(client, store, key, content_type="video/mp2t", metadata={"camera": "c1"})
    for number in (3, 1, 2):
        put = put_part(client, store, key, upload, number, bodies[number - 1])
        assert put.etag == etag(bodies[number - 1])
        assert put.hash_crc64 == crc64(bodies[number - 1])
    listed = parts_of(client, store, key, upload)
    assert [(p.part_number, p.size, p.etag, p.hash_crc64) for p in listed.parts] == [
        (n + 1, len(body), etag(body), crc64(body)) for n, body in enumerate(bodies)
    ]
    assert not client.is_object_exist(store.bucket, key)
    done = complete(client, store, key, upload, list(enumerate(bodies, 1)))
    assert done.hash_crc64 == crc64(whole)
    assert done.key == key and done.etag.endswith('-3"')
    head = client.head_object(oss.HeadObjectRequest(bucket=store.bucket, key=key))
    assert (head.object_type, head.content_length) == ("Multipart", len(whole))
    assert (head.etag, head.hash_crc64) == (done.etag, crc64(whole))
    assert (head.content_type, head.metadata) == ("video/mp2t", {"camera": "c1"})
    assert read(store, key) == whole
    assert list((store.directory / "data" / store.bucket / "uploads").glob(upload)) == []
    with Refused(404, "NoSuchUpload", "0042-00000002"):
        complete(client, store, key, upload, list(enumerate(bodies, 1)))


def test_a_part_that_comes_again_takes_the_earlier_ones_place(
    store: OssStandin, client: oss.Client, key: str
) -> None:
    upload = initiate(client, store, key)
    put_part(client, store, key, upload, 1, b"torn")
    put_part(client, store, key, upload, 1, b"whole")
    put_part(client, store, key, upload, 2, b"left out")
    with Refused(400, "InvalidPart"):
        complete(client, store, key, upload, [(1, b"torn")])
    complete(client, store, key, upload, [(1, b"whole")])
    assert read(store, key) == b"whole"


def test_numbers_may_have_gaps_and_all_parts_may_be_asked_for(
    store: OssStandin, client: oss.Client, key: str
) -> None:
    upload = initiate(client, store, key)
    bodies = {1: noise(PART, 1), 5: noise(PART, 5), 10_000: b"end"}
    for number, body in bodies.items():
        put_part(client, store, key, upload, number, body)
    done = client.complete_multipart_upload(
        oss.CompleteMultipartUploadRequest(
            bucket=store.bucket, key=key, upload_id=upload, complete_all="yes"
        )
    )
    assert done.etag.endswith('-3"')
    assert read(store, key) == b"".join(bodies.values())


def test_what_cannot_be_completed_is_refused_and_stays(
    store: OssStandin, client: oss.Client, key: str
) -> None:
    first, second = noise(PART - 1, 1), noise(PART, 2)
    upload = initiate(client, store, key)
    put_part(client, store, key, upload, 1, first)
    put_part(client, store, key, upload, 2, second)
    with Refused(400, "EntityTooSmall"):
        complete(client, store, key, upload, [(1, first), (2, second)])
    with Refused(400, "InvalidPartOrder"):
        complete(client, store, key, upload, [(2, second), (1, first)])
    with Refused(400, "InvalidPart"):
        complete(client, store, key, upload, [(1, second), (2, second)])
    with Refused(400, "InvalidPart"):
        complete(client, store, key, upload, [(1, first), (3, second)])
    with Refused(400, "MalformedXML", "0042-00000205"):
        complete(client, store, key, upload, [])
    assert len(parts_of(client, store, key, upload).parts) == 2
    complete(client, store, key, upload, [(2, second)])
    assert read(store, key) == second


def test_part_numbers_go_from_1_to_10000(store: OssStandin, client: oss.Client, key: str) -> None:
    upload = initiate(client, store, key)
    for number in (0, 10_001):
        with Refused(400, "InvalidArgument"):
            put_part(client, store, key, upload, number, b"x")


def test_an_upload_is_aborted(store: OssStandin, client: oss.Client, key: str) -> None:
    before = files(store, "blobs")
    upload = initiate(client, store, key)
    put_part(client, store, key, upload, 1, noise(PART))

    def abort() -> None:
        client.abort_multipart_upload(
            oss.AbortMultipartUploadRequest(bucket=store.bucket, key=key, upload_id=upload)
        )

    abort()
    with Refused(404, "NoSuchUpload", "0042-00000002"):
        abort()
    with Refused(404, "NoSuchUpload", "0042-00000002"):
        parts_of(client, store, key, upload)
    with Refused(404, "NoSuchUpload", "0042-00000104"):
        put_part(client, store, key, upload, 2, b"x")
    assert files(store, "blobs") == before


@pytest.mark.parametrize("upload", ["0123456789ABCDEF", "../objects", "nonsense"])
def test_no_such_upload(store: OssStandin, client: oss.Client, upload: str) -> None:
    with Refused(404, "NoSuchUpload", "0042-00000002"):
        parts_of(client, store, "k", upload)
    with Refused(404, "NoSuchUpload", "0042-00000104"):
        put_part(client, store, "k", upload, 1, b"x")


def test_an_upload_belongs_to_its_key(store: OssStandin, client: oss.Client, key: str) -> None:
    upload = initiate(client, store, key)
    with Refused(404, "NoSuchUpload", "0042-00000104"):
        put_part(client, store, key + "2", upload, 1, b"x")


def test_overwriting_by_parts_can_be_forbidden(
    store: OssStandin, client: oss.Client, key: str
) -> None:
    upload = initiate(client, store, key, forbid_overwrite=True)
    put_part(client, store, key, upload, 1, b"late")
    client.put_object(oss.PutObjectRequest(bucket=store.bucket, key=key, body=b"early"))
    with Refused(409, "FileAlreadyExists", "0026-00000002"):
        initiate(client, store, key, forbid_overwrite=True)
    with Refused(409, "FileAlreadyExists", "0042-00000214"):
        complete(client, store, key, upload, [(1, b"late")], forbid_overwrite=True)
    assert read(store, key) == b"early"
    complete(client, store, key, upload, [(1, b"late")])
    assert read(store, key) == b"late"


def test_parts_and_uploads_are_listed_in_pages(client: oss.Client, bucket: str) -> None:
    keys = ["a", "b", "b", "c <&> ü", "d"]
    uploads = []
    for name in keys:
        started = client.initiate_multipart_upload(
            oss.InitiateMultipartUploadRequest(bucket=bucket, key=name)
        )
        uploads.append((name, started.upload_id))
    wanted = sorted(uploads, key=lambda item: (item[0].encode(), item[1]))
    for limit in (1, 2, 1000):
        pages = client.list_multipart_uploads_paginator().iter_page(
            oss.ListMultipartUploadsRequest(bucket=bucket, max_uploads=limit)
        )
        assert [(u.key, u.upload_id) for page in pages for u in page.uploads] == wanted
    name, upload = uploads[0]
    for number in range(1, 6):
        client.upload_part(
            oss.UploadPartRequest(
                bucket=bucket, key=name, upload_id=upload, part_number=number, body=b"x"
            )
        )
    listed = client.list_parts_paginator().iter_page(
        oss.ListPartsRequest(bucket=bucket, key=name, upload_id=upload, max_parts=2)
    )
    assert [part.part_number for page in listed for part in page.parts] == [1, 2, 3, 4, 5]


def test_alibabas_own_uploader_and_downloader(
    store: OssStandin, client: oss.Client, key: str, tmp_path: Path
) -> None:
    data = noise(1_500_000)
    (tmp_path / "clip.ts").write_bytes(data)
    result = client.uploader(part_size=500_000, parallel_num=3).upload_file(
        oss.PutObjectRequest(bucket=store.bucket, key=key), str(tmp_path / "clip.ts")
    )
    assert result.etag.endswith('-3"') and result.hash_crc64 == crc64(data)
    client.downloader(part_size=400_000).download_file(
        oss.GetObjectRequest(bucket=store.bucket, key=key), str(tmp_path / "back.ts")
    )
    assert (tmp_path / "back.ts").read_bytes() == data


def test_what_is_presigned_can_be_done_by_a_plain_client(
    store: OssStandin, client: oss.Client, key: str
) -> None:
    started = client.presign(
        oss.InitiateMultipartUploadRequest(bucket=store.bucket, key=key), expires=EXPIRES
    )
    answer = HTTP.post(started.url, headers=started.signed_headers, timeout=20)
    upload = answer.text.partition("<UploadId>")[2].partition("</UploadId>")[0]
    bodies = [noise(PART, 1), b"end"]
    for number, body in enumerate(bodies, 1):
        part = client.presign(
            oss.UploadPartRequest(
                bucket=store.bucket, key=key, upload_id=upload, part_number=number
            ),
            expires=EXPIRES,
        )
        sent = HTTP.put(part.url, data=body, headers=part.signed_headers, timeout=20)
        assert (sent.status_code, sent.headers["ETag"]) == (200, etag(body))
        other = part.url.replace(f"partNumber={number}", f"partNumber={number + 1}")
        assert HTTP.put(other, data=body, timeout=20).status_code == 403
    complete(client, store, key, upload, list(enumerate(bodies, 1)))
    got = client.presign(oss.GetObjectRequest(bucket=store.bucket, key=key), expires=EXPIRES)
    assert HTTP.get(got.url, timeout=20).content == b"".join(bodies)
    assert HTTP.head(got.url, timeout=20).status_code == 403, "signed for GET"


# ---- The service


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_it_comes_back_with_objects_appends_and_uploads(end: str) -> None:
    with oss_standin() as store:
        client, endpoint = store.client(), store.endpoint
        client.put_object(oss.PutObjectRequest(bucket=store.bucket, key="put", body=b"put"))
        append(client, store, "grown", 0, b"one ")
        upload = initiate(client, store, "parts")
        put_part(client, store, "parts", upload, 1, noise(PART))
        getattr(store, end)()
        with pytest.raises(oss.exceptions.OperationError):
            client.head_object(oss.HeadObjectRequest(bucket=store.bucket, key="put"))
        store.start()
        assert store.endpoint == endpoint
        assert read(store, "put") == b"put"
        append(client, store, "grown", 4, b"two")
        put_part(client, store, "parts", upload, 2, b"end")
        complete(client, store, "parts", upload, [(1, noise(PART)), (2, b"end")])
        assert read(store, "grown") == b"one two"
        assert read(store, "parts") == noise(PART) + b"end"


def test_it_leaves_nothing() -> None:
    with oss_standin() as store:
        directory, pid = store.directory, store.pid
        assert store.is_running and directory.is_dir()
    assert not directory.exists() and not Path(f"/proc/{pid}").exists()


def test_it_has_the_address_of_a_store(store: OssStandin) -> None:
    assert store.endpoint == f"http://{store.host}:{store.port}" == f"http://{store.address}"
    assert (store.region, store.name) == ("cn-hangzhou", "oss")
    assert store.bucket and store.access_key and store.secret_key
