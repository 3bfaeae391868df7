"""The OSS stand-in's own signature code: against Alibaba's published examples, and tampered with.

The examples are those of OSS's documentation and of the signer tests of Alibaba's Go SDK; the
requests that are tampered with are signed by Alibaba's Python SDK.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from email.utils import format_datetime
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import alibabacloud_oss_v2 as oss
import pytest
import requests

from tools.services import OssStandin, oss_standin
from tools.services.oss import auth, sign_v1, sign_v4
from tools.services.oss.errors import OssError
from tools.services.oss.request import Account, Request, parse

BODY = b"The quick brown fox jumps over the lazy dog"
MD5 = base64.b64encode(hashlib.md5(BODY).digest()).decode()
REGION = "cn-hangzhou"
AK = Account("ak", "sk", REGION)
Headers = dict[str, str]


def arrived(method: str, target: str, headers: Headers, bucket: str = "bucket") -> Request:
    host = {"Host": f"{bucket}.oss-cn-hangzhou.aliyuncs.com"}
    return parse(method, target, list({**host, **headers}.items()), REGION)


def at(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.timezone.utc)


# ---- Published examples


def test_version_1_in_a_header_as_the_documentation_computes_it() -> None:
    request = arrived(
        "PUT",
        "/nelson",
        {
            "Content-Md5": "ODBGOERFMDMzQTczRUY3NUE3NzA5QzdFNUYzMDQxNEM=",
            "Content-Type": "text/html",
            "Date": "Thu, 17 Nov 2005 18:49:58 GMT",
            "X-OSS-Meta-Author": "foo@bar.com",
            "X-OSS-Magic": "abracadabra",
            "Authorization": "OSS 44CF9590006BF252F707:26NBxoKdsyly4EDv6inkoDft/yA=",
        },
        bucket="oss-example",
    )
    account = Account("44CF9590006BF252F707", "OtxrzxIsfpFjA7SwPzILwy8Bw21TLhquhboDYROV", REGION)
    auth.check(request, account, at("2005-11-17T18:50:00"))


NELSON = {
    "Content-MD5": "eB5eJF1ptWaXm4bijSPyxw==",
    "Content-Type": "text/html",
    "x-oss-meta-author": "alice",
    "x-oss-meta-magic": "abracadabra",
    "x-oss-date": "Wed, 28 Dec 2022 10:27:41 GMT",
}
HEAD_1 = {"x-oss-head1": "value", "abc": "value", "ZAbc": "value", "XYZ": "value"}
PARAMETERS = "param1=value1&%2Bparam1=value3&%7Cparam1=value4&%2Bparam2=&%7Cparam2=&param2="
TEXT = {**HEAD_1, "Content-Type": "text/plain", "x-oss-content-sha256": "UNSIGNED-PAYLOAD"}


@pytest.mark.parametrize(
    ("target", "bucket", "signature"),
    [
        ("/nelson", "examplebucket", "kSHKmLxlyEAKtZPkJhG9bZb5k7M="),
        ("/nelson?acl", "examplebucket", "/afkugFbmWDQ967j1vr6zygBLQk="),
    ],
)
def test_version_1_in_a_header_as_the_go_sdk_signs(
    target: str, bucket: str, signature: str
) -> None:
    headers = {**NELSON, "Authorization": f"OSS ak:{signature}"}
    auth.check(arrived("PUT", target, headers, bucket), AK, at("2022-12-28T10:27:41"))


@pytest.mark.parametrize(
    ("target", "signature"),
    [
        ("/?resourceGroup&non-resousce=null", "vkQmfuUDyi1uDi3bKt67oemssIs="),
        ("/?resourceGroup&acl", "x3E5TgOvl/i7PN618s5mEvpJDYk="),
    ],
)
def test_version_1_signs_the_sub_resources_of_a_bucket_alone(target: str, signature: str) -> None:
    headers = {"x-oss-date": NELSON["x-oss-date"], "Authorization": f"OSS ak:{signature}"}
    auth.check(arrived("GET", target, headers, "examplebucket"), AK, at("2022-12-28T10:27:41"))


@pytest.mark.parametrize(
    ("target", "token"),
    [
        (
            "/key?Expires=1699807420&OSSAccessKeyId=ak&Signature=dcLTea%2BYh9ApirQ8o8dOPqtvJXQ%3D"
            "&versionId=versionId",
            "",
        ),
        (
            "/key%2B123?Expires=1699808204&OSSAccessKeyId=ak"
            "&Signature=jzKYRrM5y6Br0dRFPaTGOsbrDhY%3D&security-token=token&versionId=versionId",
            "token",
        ),
    ],
)
def test_version_1_in_a_url_as_the_go_sdk_signs(target: str, token: str) -> None:
    account = replace(AK, security_token=token)
    auth.check(arrived("GET", target, {}), account, at("2023-11-12T16:40:00"))


@pytest.mark.parametrize(
    ("unix", "scope", "additional", "signature", "token"),
    [
        (
            1702743657,
            "20231216",
            "",
            "e21d18daa82167720f9b1047ae7e7f1ce7cb77a31e8203a7d5f4624fa0284afe",
            "",
        ),
        (
            1702784856,
            "20231217",
            "",
            "b94a3f999cf85bcdc00d332fbd3734ba03e48382c36fa4d5af5df817395bd9ea",
            "token",
        ),
        (
            1702747512,
            "20231216",
            "AdditionalHeaders=abc;zabc,",
            "4a4183c187c07c8947db7620deb0a6b38d9fbdd34187b6dbaccb316fa251212f",
            "",
        ),
    ],
)
def test_version_4_in_a_header_as_the_go_sdk_signs(
    unix: int, scope: str, additional: str, signature: str, token: str
) -> None:
    now = datetime.datetime.fromtimestamp(unix, datetime.timezone.utc)
    credential = f"ak/{scope}/cn-hangzhou/oss/aliyun_v4_request"
    headers = {
        **TEXT,
        "x-oss-date": now.strftime("%Y%m%dT%H%M%SZ"),
        "Authorization": f"OSS4-HMAC-SHA256 Credential={credential},{additional}"
        f"Signature={signature}",
    }
    if token:
        headers["x-oss-security-token"] = token
    request = arrived("PUT", f"/1234+-/123/1.txt?{PARAMETERS}", headers)
    auth.check(request, replace(AK, security_token=token), now)


def test_version_4_in_a_url_as_the_go_sdk_signs() -> None:
    signed = "a39966c61718be0d5b14e668088b3fa07601033f6518ac7b523100014269c0fe"
    target = (
        f"/1234+-/123/1.txt?{PARAMETERS}&x-oss-signature-version=OSS4-HMAC-SHA256"
        "&x-oss-date=20231217T025437Z&x-oss-expires=599"
        "&x-oss-credential=ak%2F20231217%2Fcn-hangzhou%2Foss%2Faliyun_v4_request"
        f"&x-oss-signature={signed}"
    )
    headers = {**HEAD_1, "Content-Type": "application/octet-stream"}
    now = datetime.datetime.fromtimestamp(1702781677 + 599, datetime.timezone.utc)
    auth.check(arrived("PUT", target, headers), AK, now)
    with pytest.raises(OssError, match="403 AccessDenied: Request has expired."):
        auth.check(arrived("PUT", target, headers), AK, now + datetime.timedelta(seconds=1))


# ---- Tampering, over HTTP


@pytest.fixture(scope="module")
def store() -> Iterator[OssStandin]:
    with oss_standin() as running:
        yield running


@dataclass(frozen=True)
class Signed:
    """A request that the store accepts; tests change one thing of it."""

    method: str
    url: str
    headers: Headers
    body: bytes = BODY

    def send(self) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False
            return session.request(
                self.method, self.url, headers=self.headers, data=self.body, timeout=20
            )

    def with_headers(self, **changes: str | None) -> Signed:
        """`x_oss_meta_a="1"` sets x-oss-meta-a, None removes."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        for name, value in changes.items():
            headers.pop(name.replace("_", "-"), None)
            if value is not None:
                headers[name.replace("_", "-")] = value
        return replace(self, headers=headers)

    def with_query(self, **changes: str | None) -> Signed:
        """`x_oss_date=...` where the argument has dashes, `partNumber=...` where it has none."""
        parts = urlsplit(self.url)
        names = {name.replace("-", "_"): name for name, _ in parse_qsl(parts.query, True)}
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        for key, value in changes.items():
            query.pop(names.get(key, key), None)
            if value is not None:
                query[names.get(key, key)] = value
        return replace(self, url=parts._replace(query=urlencode(query, quote_via=quote)).geturl())


def refusal(response: requests.Response, status: int, code: str) -> dict[str, str]:
    """Check that it is refused in OSS's form; the fields of the document."""
    assert response.status_code == status, response.text
    assert response.headers["Server"] == "AliyunOSS"
    assert response.headers["Content-Type"] == "application/xml"
    fields = {child.tag: child.text or "" for child in ET.fromstring(response.content)}
    assert fields["Code"] == code, response.text
    assert fields["RequestId"] == response.headers["x-oss-request-id"]
    assert fields["HostId"] in response.url
    assert fields["Message"]
    if "EC" in fields:
        assert response.headers["x-oss-ec"] == fields["EC"]
    return fields


def presigned(store: OssStandin, version: str, **more: object) -> Signed:
    request = oss.PutObjectRequest(
        bucket=store.bucket,
        key="clips/ü +1.ts",
        content_type="video/mp2t",
        content_md5=MD5,
        storage_class="IA",
        metadata={"camera": "c1"},
        **more,
    )
    result = store.client(signature_version=version).presign(
        request, expires=datetime.timedelta(minutes=10)
    )
    return Signed("PUT", result.url, dict(result.signed_headers))


def from_header(store: OssStandin, version: str) -> Signed:
    """A PUT with an Authorization header, as Alibaba's client sends it."""
    sent: list[oss.types.HttpRequest] = []

    class Recorder(oss.types.HttpClient):  # type: ignore[misc]
        def send(self, request: oss.types.HttpRequest, **_: object) -> oss.types.HttpResponse:
            sent.append(request)
            raise oss.exceptions.RequestError(error=RuntimeError("recorded, not sent"))

        def open(self) -> None: ...
        def close(self) -> None: ...

    client = store.client(signature_version=version)
    request = oss.PutObjectRequest(
        bucket=store.bucket,
        key="clips/ü +1.ts",
        content_type="video/mp2t",
        content_md5=MD5,
        storage_class="IA",
        metadata={"camera": "c1"},
        body=BODY,
    )
    with pytest.raises(oss.exceptions.OperationError, match="recorded"):
        client.put_object(request, http_client=Recorder())
    headers = {k: v for k, v in sent[0].headers.items() if v is not None}
    return Signed("PUT", sent[0].url, headers)


MAKERS: dict[str, Callable[[OssStandin], Signed]] = {
    "v4 url": lambda store: presigned(store, "v4"),
    "v1 url": lambda store: presigned(store, "v1"),
    "v4 header": lambda store: from_header(store, "v4"),
    "v1 header": lambda store: from_header(store, "v1"),
}


@pytest.fixture(params=list(MAKERS))
def signed(request: pytest.FixtureRequest, store: OssStandin) -> Signed:
    return MAKERS[request.param](store)


CHANGES: dict[str, Callable[[Signed], Signed]] = {
    "method": lambda s: replace(s, method="DELETE"),
    "key": lambda s: replace(s, url=s.url.replace("clips", "clipz")),
    "bucket": lambda s: replace(s, url=s.url.replace("/p4-cams/", "/p4-camz/")),
    "content type changed": lambda s: s.with_headers(content_type="video/mp4"),
    "content type removed": lambda s: s.with_headers(content_type=None),
    "md5 changed": lambda s: s.with_headers(content_md5=base64.b64encode(b"x" * 16).decode()),
    "md5 removed": lambda s: s.with_headers(content_md5=None),
    "x-oss header added": lambda s: s.with_headers(x_oss_forbid_overwrite="true"),
    "x-oss header changed": lambda s: s.with_headers(x_oss_storage_class="Standard"),
    "x-oss header removed": lambda s: s.with_headers(x_oss_meta_camera=None),
    "sub-resource added": lambda s: s.with_query(append=""),
    "response header asked for": lambda s: replace(
        s, url=s.url + ("&" if "?" in s.url else "?") + "response-content-type=text%2Fhtml"
    ),
}


def test_what_is_signed_is_stored(store: OssStandin, signed: Signed) -> None:
    answer = signed.send()
    assert answer.status_code == 200, answer.text
    assert answer.headers["ETag"] == f'"{hashlib.md5(BODY).hexdigest().upper()}"'
    got = store.client().get_object(oss.GetObjectRequest(bucket=store.bucket, key="clips/ü +1.ts"))
    assert got.body.content == BODY and got.storage_class == "IA"
    assert got.content_type == "video/mp2t" and got.metadata == {"camera": "c1"}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_anything_signed_is_refused(
    store: OssStandin, signed: Signed, change: str
) -> None:
    fields = refusal(CHANGES[change](signed).send(), 403, "SignatureDoesNotMatch")
    assert fields["OSSAccessKeyId"] == store.access_key
    assert bytes.fromhex(fields["StringToSignBytes"]).decode() == fields["StringToSign"]
    is_v4 = "OSS4-HMAC-SHA256" in signed.url + signed.headers.get("Authorization", "")
    assert fields["EC"] == ("0002-00000201" if is_v4 else "0002-00000040")


def test_the_document_tells_the_string_that_would_have_been_right(store: OssStandin) -> None:
    changed = presigned(store, "v1").with_headers(content_type="video/mp4")
    text = refusal(changed.send(), 403, "SignatureDoesNotMatch")["StringToSign"]
    digest = hmac.digest(store.secret_key.encode(), text.encode(), "sha1")
    repaired = changed.with_query(Signature=base64.b64encode(digest).decode())
    assert repaired.send().status_code == 200


def test_headers_that_no_signature_covers_may_change(signed: Signed) -> None:
    assert (
        signed.with_headers(user_agent="p4", x_camera="7", accept="*/*").send().status_code == 200
    )


def test_version_1_leaves_unknown_arguments_alone_and_version_4_does_not(store: OssStandin) -> None:
    assert presigned(store, "v1").with_query(hint="1").send().status_code == 200
    refusal(presigned(store, "v4").with_query(hint="1").send(), 403, "SignatureDoesNotMatch")


def test_a_further_header_can_be_signed_with_version_4(store: OssStandin) -> None:
    request = oss.types.HttpRequest("PUT", f"{store.endpoint}/{store.bucket}/further.ts")
    request.headers.update({"x-camera": "7"})
    context = oss.types.SigningContext(
        product="oss",
        region=store.region,
        bucket=store.bucket,
        key="further.ts",
        request=request,
        credentials=oss.credentials.Credentials(store.access_key, store.secret_key),
        additional_headers={"X-Camera"},
    )
    context.auth_method_query = True
    oss.signer.SignerV4().sign(context)
    assert "x-oss-additional-headers=x-camera" in request.url
    signed = Signed("PUT", request.url, {"x-camera": "7"})
    assert signed.send().status_code == 200
    refusal(signed.with_headers(x_camera="8").send(), 403, "SignatureDoesNotMatch")
    refusal(signed.with_headers(x_camera=None).send(), 403, "SignatureDoesNotMatch")
    emptied = signed.with_query(x_oss_additional_headers="")
    assert refusal(emptied.send(), 400, "InvalidArgument")["EC"] == "0002-00000076"


# ---- Time, scope and keys


def signed_v4_url(store: OssStandin, key: str = "k", **changes: str) -> str:
    """A URL signed here and now by the stand-in's own code, with any claim in it."""
    age = datetime.timedelta(seconds=float(changes.pop("age_sec", "0")))
    now = datetime.datetime.now(datetime.timezone.utc) - age
    values = {
        "date": now.strftime("%Y%m%dT%H%M%SZ"),
        "expires": "60",
        "region": store.region,
        "product": "oss",
        "day": now.strftime("%Y%m%d"),
        "access_key": store.access_key,
        **changes,
    }
    credential = "{access_key}/{day}/{region}/{product}/aliyun_v4_request".format(**values)
    query = {
        "x-oss-signature-version": "OSS4-HMAC-SHA256",
        "x-oss-credential": credential,
        "x-oss-date": values["date"],
        "x-oss-expires": values["expires"],
    }
    target = f"/{store.bucket}/{key}?{urlencode(query, quote_via=quote)}"
    request = parse("PUT", target, [("Host", store.address)], store.region)
    signed_at = datetime.datetime.strptime(values["date"], "%Y%m%dT%H%M%SZ")
    claim = sign_v4.Claim(values["access_key"], values["day"], values["region"], "", (), signed_at)
    text = sign_v4.string_to_sign(sign_v4.canonical_request(request, ()), claim)
    signature = sign_v4.signature(store.secret_key, claim, text)
    return f"{store.endpoint}{target}&x-oss-signature={signature}"


def test_a_url_of_its_own_is_accepted(store: OssStandin) -> None:
    assert Signed("PUT", signed_v4_url(store), {}).send().status_code == 200
    early = Signed("PUT", signed_v4_url(store, age_sec="-840"), {})
    assert early.send().status_code == 200, "within what a clock may be wrong"


@pytest.mark.parametrize(
    ("changes", "status", "code", "ec"),
    [
        ({"age_sec": "61"}, 403, "AccessDenied", "0002-00000069"),
        ({"age_sec": "-960"}, 403, "AccessDenied", "0002-00000235"),
        ({"expires": "604801"}, 400, "InvalidArgument", "0002-00000232"),
        ({"expires": "0"}, 400, "InvalidArgument", "0002-00000232"),
        ({"expires": "-1"}, 400, "InvalidArgument", "0002-00000232"),
        ({"expires": "9" * 5000}, 400, "InvalidArgument", "0002-00000232"),
        ({"region": "cn-beijing"}, 400, "InvalidArgument", "0002-00000228"),
        ({"product": "s3"}, 400, "InvalidArgument", "0002-00000227"),
        ({"day": "20200101"}, 400, "InvalidArgument", "0002-00000223"),
        ({"access_key": "LTAI5tSomebodyElse"}, 403, "InvalidAccessKeyId", "0002-00000902"),
    ],
)
def test_a_good_signature_of_a_wrong_claim_is_refused(
    store: OssStandin, changes: dict[str, str], status: int, code: str, ec: str
) -> None:
    answer = Signed("PUT", signed_v4_url(store, **changes), {}).send()
    assert refusal(answer, status, code)["EC"] == ec


def test_an_expired_url_is_told_when(store: OssStandin) -> None:
    for url in (
        signed_v4_url(store, age_sec="7200"),
        presigned(store, "v1").with_query(Expires="1700000000").url,
    ):
        fields = refusal(Signed("PUT", url, {}).send(), 403, "AccessDenied")
        assert fields["Message"] == "Request has expired."
        assert at(fields["Expires"][:19]) < at(fields["ServerTime"][:19])


@pytest.mark.parametrize("expires", ["soon", "１７", "9" * 5000, "-9999999999999"])
def test_a_version_1_url_needs_a_time_to_expire(store: OssStandin, expires: str) -> None:
    answer = presigned(store, "v1").with_query(Expires=expires).send()
    assert refusal(answer, 403, "AccessDenied")["EC"] == "0002-00000070"


@pytest.mark.parametrize("version", ["v1", "v4"])
@pytest.mark.parametrize("minutes", [-16, 16])
def test_a_clock_that_is_wrong_by_more_than_15_minutes_is_refused(
    store: OssStandin, version: str, minutes: int
) -> None:
    moment = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=minutes)
    good = from_header(store, version)
    date = moment.strftime("%Y%m%dT%H%M%SZ") if version == "v4" else format_datetime(moment, True)
    changed = good.with_headers(x_oss_date=date)
    fields = refusal(changed.send(), 403, "RequestTimeTooSkewed")
    assert fields["MaxAllowedSkewMilliseconds"] == "900000"
    assert fields["RequestTime"] == moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    assert fields["EC"] == "0002-00000504"


@pytest.mark.parametrize("version", ["v1", "v4"])
def test_a_header_needs_a_date_and_a_form(store: OssStandin, version: str) -> None:
    good = from_header(store, version)
    undated = good.with_headers(date=None, x_oss_date=None)
    fields = refusal(undated.send(), 403, "AccessDenied")
    assert fields["Message"] == "OSS authentication requires a valid Date."
    for text in ("OSS", "OSS nonsense", "OSS4-HMAC-SHA256 Credential=a", "Bearer x"):
        refusal(good.with_headers(authorization=text).send(), 400, "InvalidArgument")


def test_version_4_signs_no_payload(store: OssStandin) -> None:
    good = from_header(store, "v4")
    for digest in (hashlib.sha256(BODY).hexdigest(), None):
        changed = good.with_headers(x_oss_content_sha256=digest)
        assert refusal(changed.send(), 400, "InvalidArgument")["EC"] == "0002-00000214"


def test_the_region_in_a_header_is_checked(store: OssStandin) -> None:
    good = from_header(store, "v4")
    changed = good.with_headers(
        authorization=good.headers["Authorization"].replace(store.region, "cn-beijing")
    )
    fields = refusal(changed.send(), 400, "InvalidArgument")
    assert fields["Message"] == "Invalid signing region in Authorization header."
    assert fields["EC"] == "0002-00000226"


@pytest.mark.parametrize("maker", ["v4 url", "v1 url"])
def test_no_signature_two_signatures_and_half_a_signature(store: OssStandin, maker: str) -> None:
    good = MAKERS[maker](store)
    bare = replace(good, url=good.url.partition("?")[0])
    refusal(bare.send(), 403, "AccessDenied")
    refusal(good.with_headers(authorization="OSS a:b").send(), 400, "InvalidArgument")
    names = (
        ["x_oss_signature", "x_oss_expires", "x_oss_date", "x_oss_credential"]
        if maker == "v4 url"
        else ["Signature", "Expires", "OSSAccessKeyId"]
    )
    for name in names:
        answer = good.with_query(**{name: None}).send()
        refusal(answer, *((400, "InvalidArgument") if maker == "v4 url" else (403, "AccessDenied")))
    if maker == "v4 url":
        wrong = good.with_query(x_oss_signature_version="OSS2")
        assert refusal(wrong.send(), 400, "InvalidArgument")["EC"] == "0002-00000066"


def test_a_plus_sign_in_a_url_is_a_space(store: OssStandin) -> None:
    """As for OSS: a Base64 signature must be percent-encoded."""
    for attempt in range(200):
        wanted = oss.PutObjectRequest(bucket=store.bucket, key=f"plus-{attempt}")
        url = store.client(signature_version="v1").presign(wanted).url
        if "%2B" in url:
            break
    assert Signed("PUT", url, {}).send().status_code == 200
    unescaped = Signed("PUT", unquote(url), {})
    fields = refusal(unescaped.send(), 403, "SignatureDoesNotMatch")
    assert " " in fields["SignatureProvided"]


def test_temporary_keys_need_their_token() -> None:
    with oss_standin(security_token="CAISabc+/==") as store:
        for version in ("v4", "v1"):
            assert presigned(store, version).send().status_code == 200
            assert from_header(store, version).send().status_code == 200
        given = store.security_token
        store.security_token = ""
        refusal(presigned(store, "v4").send(), 403, "InvalidAccessKeyId")
        refusal(presigned(store, "v1").send(), 403, "InvalidAccessKeyId")
        store.security_token = "another"
        refusal(presigned(store, "v4").send(), 403, "InvalidSecurityToken")
        store.security_token = given
        refusal(
            presigned(store, "v4").with_query(x_oss_security_token="another").send(),
            403,
            "SignatureDoesNotMatch",
        )


def test_the_sub_resources_that_uploads_use_are_signed() -> None:
    used = {"append", "position", "uploads", "uploadId", "partNumber", "security-token"}
    assert used <= sign_v1.SUB_RESOURCES
