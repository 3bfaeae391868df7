"""A strict stand-in for Alibaba Cloud OSS on loopback, for tests alone.

It recomputes OSS's signatures (version 1 and 4, in URLs and headers) over exactly what arrives,
by code of its own from OSS's public documentation, and refuses as that documentation says: with
OSS's codes and documents, before it has read the body. Objects are put, appended to and uploaded
in parts under OSS's rules, and are there whole or not at all, also after a kill.

What only the real OSS can show:
- that it reads a signature as its documentation and Alibaba's SDK do, in corners that neither
  tells: repeated headers or arguments, bytes beyond ASCII, the order of its checks where a request
  is wrong in two ways, the text of V4's rarer refusals;
- the ETag of an object made of parts or appended to, which OSS keeps to itself (here neither is
  an MD5 of anything a client has at hand), and when it gives no MD5 for encrypted objects;
- whether an upload in parts that was begun with x-oss-forbid-overwrite is still bound by it when
  it is completed (here only the completing request's own header counts);
- RAM policies, STS's own expiry, bucket policies, versioning, WORM, callbacks, lifecycle rules
  that end an upload after days, throttling and 503, and how long a connection may idle or a part
  take;
- TLS as its front ends speak it, names that resolve to them, and how soon they refuse a body.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import alibabacloud_oss_v2 as oss
import requests
import requests.adapters

from tools.services.process import Server, ServiceError
from tools.testca import TestCA

_REPOSITORY = Path(__file__).resolve().parents[2]
_PROBE_KEY = ".ready"


class OssStandin(Server):
    """`endpoint`, `region`, `bucket`, `access_key`, `secret_key`, `client()`, as the real one has.

    With `ca` it speaks HTTPS alone; with `security_token` the keys are temporary ones; a client
    that sends nothing for `idle_sec` is dropped.
    """

    name = "oss"
    access_key = "LTAI5tP4CameraTests"
    secret_key = "p4-camera-tests-secret"
    region = "cn-hangzhou"
    bucket = "p4-cams"

    def __init__(
        self, ca: TestCA | None = None, *, security_token: str = "", idle_sec: float = 60.0
    ) -> None:
        super().__init__()
        self.ca = ca
        self.security_token = security_token
        self._idle_sec = idle_sec

    @property
    def endpoint(self) -> str:
        return f"{'https' if self.ca else 'http'}://{self.address}"

    @property
    def ca_file(self) -> Path:
        """The test CA's certificate as PEM (only with TLS)."""
        return self.directory / "ca.pem"

    def client(self, endpoint: str | None = None, signature_version: str = "v4") -> oss.Client:
        """Alibaba's own client with these keys, here or through another address."""
        return oss.Client(
            oss.config.Config(
                region=self.region,
                endpoint=endpoint or self.endpoint,
                signature_version=signature_version,
                credentials_provider=oss.credentials.StaticCredentialsProvider(
                    self.access_key, self.secret_key, self.security_token or None
                ),
                retry_max_attempts=1,
                http_client=oss.transport.RequestsHttpClient(session=self._session()),
            )
        )

    def _session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False  # loopback is never behind a proxy of the environment
        if self.ca:
            session.mount("https://", _Trusting(self.ca_file))
        return session

    def prepare(self) -> None:
        if self.ca:
            self.ca.server().write(self.directory / "public.crt", self.directory / "private.key")
            self.ca_file.write_bytes(self.ca.pem)

    def command(self) -> list[str]:
        command = [
            sys.executable,
            "-m",
            "tools.services.oss",
            f"--address={self.address}",
            f"--directory={self.directory / 'data'}",
            f"--region={self.region}",
            f"--idle-sec={self._idle_sec}",
        ]
        if self.ca:
            command += [
                f"--certificate={self.directory / 'public.crt'}",
                f"--key={self.directory / 'private.key'}",
            ]
        return command

    def environment(self) -> dict[str, str]:
        return {
            **super().environment(),
            "PYTHONPATH": str(_REPOSITORY),
            "OSS_ACCESS_KEY_ID": self.access_key,
            "OSS_ACCESS_KEY_SECRET": self.secret_key,
            "OSS_SESSION_TOKEN": self.security_token,
        }

    def probe(self) -> None:
        client = self.client()
        client.put_bucket(oss.PutBucketRequest(bucket=self.bucket))
        client.put_object(oss.PutObjectRequest(bucket=self.bucket, key=_PROBE_KEY, body=b"ready"))
        got = client.get_object(oss.GetObjectRequest(bucket=self.bucket, key=_PROBE_KEY))
        if got.body is None or got.body.content != b"ready":
            raise ServiceError(f"{self.name} does not return what was stored")
        client.delete_object(oss.DeleteObjectRequest(bucket=self.bucket, key=_PROBE_KEY))


class _Trusting(requests.adapters.HTTPAdapter):
    """Verifies servers by one CA, whatever the caller says: Alibaba's client has no such option."""

    def __init__(self, ca_file: Path) -> None:
        super().__init__()
        self._ca_file = str(ca_file)

    def cert_verify(self, conn: Any, url: str, verify: bool | str | None, cert: Any) -> None:
        super().cert_verify(conn, url, self._ca_file, cert)
