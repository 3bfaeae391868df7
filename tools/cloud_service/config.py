"""The service's TOML file: see config.example.toml for every key.

Keys that are unknown, missing or wrong are all named in one ConfigError, with what is allowed.
Secrets may be left out of the file: see `MQTT_PASSWORD` here and the SDKs' own variables in
presign.py.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    model_validator,
)

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MAX_EXPIRES_SEC = 7 * 24 * 3600 - 1  # signature version 4 allows 7 days, the OSS SDK hardly that
MAX_FILE_BYTES = 2**31 - 1  # a camera's card offers 32-bit offsets
LEAST_PART_BYTES = 100 * 1024  # of any part but the last, on OSS
LEAST_S3_PART_BYTES = 5 * 1024 * 1024

DeviceId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
ContentType = Annotated[str, StringConstraints(pattern=r"^[a-z0-9.+-]+/[a-z0-9.+-]+$")]
Name = Annotated[str, StringConstraints(min_length=1)]
Port = Annotated[int, Field(ge=1, le=65535)]
Endpoint = Annotated[str, StringConstraints(pattern=r"^https?://[^/?#]+$")]
Token = Annotated[SecretStr, Field(min_length=16, max_length=256)]
ShareGroup = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{0,64}$")]


class ConfigError(ValueError):
    """The configuration cannot be used; the text has one line per wrong key."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MqttConfig(_Section):
    host: Name
    port: Port = 1883
    username: Name | None = None
    password: SecretStr | None = None
    tls: bool = False
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    share_group: ShareGroup = ""

    @model_validator(mode="after")
    def _files_need_tls(self) -> MqttConfig:
        files = (self.ca_file, self.cert_file, self.key_file)
        if not self.tls and any(files):
            raise ValueError("ca_file, cert_file and key_file are for tls = true")
        if bool(self.cert_file) != bool(self.key_file):
            raise ValueError("cert_file and key_file go together")
        return self


class _Store(_Section):
    bucket: Name
    endpoint: Endpoint | None = None
    service_endpoint: Endpoint | None = None
    ca_file: Path | None = None
    access_key: Name | None = None
    secret_key: SecretStr | None = None
    storage_class: Name | None = None
    server_side_encryption: Name | None = None

    @model_validator(mode="after")
    def _keys_go_together(self) -> _Store:
        if bool(self.access_key) != bool(self.secret_key):
            raise ValueError(
                "access_key and secret_key go together, or both come from the environment"
            )
        return self


class S3Config(_Store):
    kind: Literal["s3"]
    region: Name = "us-east-1"
    path_style: bool = False


class OssConfig(_Store):
    kind: Literal["oss"]
    region: Name


class UploadPolicy(_Section):
    expires_sec: Annotated[int, Field(ge=1, le=MAX_EXPIRES_SEC)] = 3600
    max_file_bytes: Annotated[int, Field(ge=1, le=MAX_FILE_BYTES)] = MAX_FILE_BYTES
    content_types: Annotated[tuple[ContentType, ...], Field(min_length=1)] = (
        "video/mp2t",
        "text/plain",
        "application/json",
        "application/octet-stream",
    )
    forbid_overwrite: bool = True
    large_files: Literal["multipart", "append", "put"] = "multipart"
    part_size_bytes: Annotated[int, Field(ge=LEAST_PART_BYTES, le=MAX_FILE_BYTES)] = (
        LEAST_S3_PART_BYTES
    )
    read_back_bytes: Annotated[int, Field(ge=0, le=MAX_FILE_BYTES)] = MAX_FILE_BYTES
    max_per_device: Annotated[int, Field(ge=1, le=10_000)] = 8
    slot_sec: Annotated[int, Field(ge=1)] = 900
    stale_hours: Annotated[float, Field(ge=0, le=24 * 365)] = 24


class HttpConfig(_Section):
    host: Name = "127.0.0.1"
    port: Port
    tokens: dict[DeviceId, Token] = {}

    @model_validator(mode="after")
    def _tokens_differ(self) -> HttpConfig:
        values = {token.get_secret_value() for token in self.tokens.values()}
        if len(values) < len(self.tokens):
            raise ValueError("tokens: every device has a token of its own")
        return self


class Config(_Section):
    devices: frozenset[DeviceId]
    mqtt: MqttConfig
    store: Annotated[S3Config | OssConfig, Field(discriminator="kind")]
    uploads: UploadPolicy = UploadPolicy()
    http: HttpConfig | None = None

    @model_validator(mode="after")
    def _sections_agree(self) -> Config:
        if isinstance(self.store, S3Config):
            if self.uploads.large_files == "append":
                raise ValueError('uploads.large_files: "append" is for kind = "oss"')
            if self.uploads.part_size_bytes < LEAST_S3_PART_BYTES:
                raise ValueError(f"uploads.part_size_bytes: at least {LEAST_S3_PART_BYTES} for S3")
        unlisted = sorted(self.http.tokens.keys() - self.devices) if self.http else []
        if unlisted:
            raise ValueError(f"http.tokens: not among devices: {', '.join(unlisted)}")
        return self


def load(path: Path) -> Config:
    """Read and check a TOML file; raises ConfigError."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    return parse(document, str(path))


def parse(document: dict[str, Any], source: str = "configuration") -> Config:
    """Check a parsed TOML document; raises ConfigError."""
    mqtt = document.get("mqtt")
    if isinstance(mqtt, dict) and "password" not in mqtt and os.environ.get("MQTT_PASSWORD"):
        document = {**document, "mqtt": {**mqtt, "password": os.environ["MQTT_PASSWORD"]}}
    try:
        return Config.model_validate(document)
    except ValidationError as error:
        problems = [f"{source}: {_explain(dict(problem))}" for problem in error.errors()]
        raise ConfigError("\n".join(problems)) from None


def _explain(problem: dict[str, Any]) -> str:
    # a discriminated union puts the chosen kind into the location: store.s3.bucket
    location = [
        str(part) for i, part in enumerate(problem["loc"]) if not (i == 1 and part in ("s3", "oss"))
    ]
    message = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        message = f"unknown key, allowed: {', '.join(_allowed(problem['loc']))}"
    if not location and problem["type"] == "value_error":
        return message  # of sections that do not agree: it names the key itself
    return f"{'.'.join(location) or 'top level'}: {message}"


def _allowed(location: tuple[Any, ...]) -> list[str]:
    sections: dict[tuple[Any, ...], type[BaseModel]] = {
        (): Config,
        ("mqtt",): MqttConfig,
        ("store", "s3"): S3Config,
        ("store", "oss"): OssConfig,
        ("uploads",): UploadPolicy,
        ("http",): HttpConfig,
    }
    return sorted(sections[location[:-1]].model_fields)
