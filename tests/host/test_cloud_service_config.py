"""The cloud service's TOML file: what is wrong is named."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.host.cloud_fakes import DEVICE
from tools.cloud_service import config as configuration
from tools.cloud_service.config import (
    ConfigError,
    HttpConfig,
    MqttConfig,
    OssConfig,
    S3Config,
    UploadPolicy,
)
from tools.cloud_service.service import tls_context
from tools.services import free_port

ROOT = Path(__file__).resolve().parents[2]

GOOD: dict[str, Any] = {
    "devices": [DEVICE],
    "mqtt": {"host": "127.0.0.1"},
    "store": {"kind": "s3", "bucket": "cams", "access_key": "AK", "secret_key": "SK"},
}


def section(name: str, **values: Any) -> dict[str, Any]:
    return {**GOOD, name: {**GOOD.get(name, {}), **values}}


BAD_CONFIGS = {
    "no devices": ({k: v for k, v in GOOD.items() if k != "devices"}, "devices: Field required"),
    "device id": ({**GOOD, "devices": ["a/b"]}, "devices.0: String should match pattern"),
    "unknown section": (
        {**GOOD, "mqqt": {}},
        "mqqt: unknown key, allowed: devices, http, mqtt, store, uploads",
    ),
    "unknown key": (
        section("uploads", expire=1),
        "uploads.expire: unknown key, allowed: content_types, ",
    ),
    "unknown store key": (
        section("store", region_name="x"),
        "store.region_name: unknown key, allowed: acc",
    ),
    "unknown kind": (section("store", kind="gcs"), "'s3', 'oss'"),
    "oss without region": (section("store", kind="oss"), "store.region: Field required"),
    "endpoint": (
        section("store", endpoint="127.0.0.1:9000"),
        "store.endpoint: String should match pattern",
    ),
    "half a key pair": (
        section("store", secret_key=None),
        "store: access_key and secret_key go together",
    ),
    "port": (section("mqtt", port=99999), "mqtt.port: Input should be less than or equal to 65535"),
    "ca without tls": (
        section("mqtt", ca_file="ca.pem"),
        "mqtt: ca_file, cert_file and key_file are for tls",
    ),
    "cert without key": (
        section("mqtt", tls=True, cert_file="c"),
        "mqtt: cert_file and key_file go together",
    ),
    "expiry": (
        section("uploads", expires_sec=604800),
        "uploads.expires_sec: Input should be less than",
    ),
    "append to S3": (
        section("uploads", large_files="append"),
        'config.toml: uploads.large_files: "append" is for kind = "oss"',
    ),
    "small S3 part": (
        section("uploads", part_size_bytes=102400),
        "config.toml: uploads.part_size_bytes: at least 5242880 for S3",
    ),
    "smallest part": (
        section("uploads", part_size_bytes=102399),
        "uploads.part_size_bytes: Input should be greater than or equal to 102400",
    ),
    "share group": (
        section("mqtt", share_group="a/b"),
        "mqtt.share_group: String should match pattern",
    ),
    "unlisted token": (
        section("http", port=8080, tokens={"OTHER": "x" * 16}),
        "http.tokens: not among devices: OTHER",
    ),
    "short token": (
        section("http", port=8080, tokens={DEVICE: "x" * 15}),
        f"http.tokens.{DEVICE}: Value should have at least 16",
    ),
    "shared token": (
        {
            **section("http", port=8080, tokens={DEVICE: "x" * 16, "B": "x" * 16}),
            "devices": [DEVICE, "B"],
        },
        "http: tokens: every device has a token of its own",
    ),
    "no types": (
        section("uploads", content_types=[]),
        "uploads.content_types: Tuple should have at least 1",
    ),
}


@pytest.mark.parametrize("document, told", BAD_CONFIGS.values(), ids=BAD_CONFIGS.keys())
def test_a_wrong_key_is_named_with_what_is_allowed(document: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configuration.parse(document, "config.toml")
    assert f"config.toml: {told}" in str(caught.value) or told in str(caught.value)
    assert "SK" not in str(caught.value) and "xxx" not in str(caught.value)


def test_the_example_is_a_good_configuration() -> None:
    config = configuration.load(ROOT / "tools" / "cloud_service" / "config.example.toml")
    assert (config.devices, config.uploads) == (frozenset([DEVICE]), UploadPolicy())


def test_every_key_is_in_the_example() -> None:
    example = (ROOT / "tools" / "cloud_service" / "config.example.toml").read_text()
    sections = (configuration.MqttConfig, S3Config, OssConfig, UploadPolicy, HttpConfig)
    for model in sections:
        for name in model.model_fields.keys() - {"tokens"}:
            assert f"{name} = " in example, f"{name} is missing"
    assert "[http.tokens]" in example


def test_the_broker_password_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MQTT_PASSWORD", "hush")
    config = configuration.parse(GOOD)
    assert config.mqtt.password and config.mqtt.password.get_secret_value() == "hush"
    assert "hush" not in repr(config) and "SK" not in repr(config)


@pytest.mark.parametrize(
    "text", [None, "devices = [", "devices = 1"], ids=["missing", "no TOML", "wrong"]
)
def test_the_command_refuses_a_bad_file_without_a_traceback(
    text: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "config.toml"
    if text is not None:
        path.write_text(text)
    command = [sys.executable, "-m", "tools.cloud_service", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert str(path) in done.stderr and "Traceback" not in done.stderr


def test_the_command_tells_that_its_http_address_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        path = tmp_path / "config.toml"
        path.write_text(
            f'devices = []\n[mqtt]\nhost = "127.0.0.1"\nport = {free_port()}\n'
            '[store]\nkind = "s3"\nbucket = "cams"\naccess_key = "AK"\nsecret_key = "SK"\n'
            f"[http]\nport = {taken.getsockname()[1]}\n"
        )
        command = [sys.executable, "-m", "tools.cloud_service", str(path)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "http: " in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("text", [None, "no certificate"], ids=["missing", "no PEM"])
def test_tls_files_that_cannot_be_loaded_are_a_configuration_error(
    text: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "ca.pem"
    if text is not None:
        path.write_text(text)
    config = MqttConfig(host="127.0.0.1", tls=True, ca_file=path)
    with pytest.raises(ConfigError, match="ca_file"):
        tls_context(config)
