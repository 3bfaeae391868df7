"""The cloud service as its own process, between a broker and a store."""

from __future__ import annotations

import json
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from tools.services.broker import Mosquitto
from tools.services.oss_standin import OssStandin
from tools.services.process import HOST, Service, ServiceError, free_port
from tools.services.store import ObjectStore

_REPOSITORY = Path(__file__).resolve().parents[2]
_PROBE_DEVICE = "readiness-probe"
_PROBE_TIMEOUT_SEC = 1.0
_SHARE_GROUP = "signers"


class CloudService(Service):
    """Answers the requests of `devices`; `endpoint` is the store's address as cameras see it.

    `uploads` sets keys of that section. With `shared`, several of these share the load of one
    broker. With `http`, it listens at `http_url` as well and `tokens` has each device's token.
    """

    name = "cloud-service"

    def __init__(
        self,
        broker: Mosquitto,
        store: ObjectStore | OssStandin,
        devices: Sequence[str],
        *,
        endpoint: str | None = None,
        expires_sec: int = 600,
        uploads: Mapping[str, object] = {},
        shared: bool = False,
        http: bool = False,
    ) -> None:
        super().__init__()
        self._broker = broker
        self._store = store
        self._shared = shared
        self.tokens = {device: f"token-of-{device}-for-tests" for device in devices}
        self.http_url = f"http://{HOST}:{free_port()}" if http else ""
        self._config: dict[str, dict[str, object]] = {
            "": {"devices": list(devices)},
            "mqtt": {"host": broker.host, "port": broker.port},
            "store": _store_section(store, endpoint),
            "uploads": {"expires_sec": expires_sec, **uploads},
        }
        if broker.ca:
            self._config["mqtt"].update({"tls": True, "ca_file": str(broker.ca_file)})
        if shared:
            self._config["mqtt"]["share_group"] = _SHARE_GROUP
        if http:
            port = int(self.http_url.rpartition(":")[2])
            self._config["http"] = {"host": HOST, "port": port}
            self._config["http.tokens"] = dict(self.tokens)

    def prepare(self) -> None:
        if self._store.ca:  # its file is there by now, not when this was made
            self._config["store"]["ca_file"] = str(self._store.ca_file)
        lines = []
        for section, values in self._config.items():
            lines += [f"[{section}]"] if section else []
            lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
        (self.directory / "config.toml").write_text("\n".join(lines) + "\n")

    def command(self) -> list[str]:
        return [sys.executable, "-m", "tools.cloud_service", str(self.directory / "config.toml")]

    def environment(self) -> dict[str, str]:
        inherited = {**super().environment(), "PYTHONPATH": str(_REPOSITORY)}
        if isinstance(self._store, OssStandin) and self._store.security_token:
            inherited["OSS_ACCESS_KEY_ID"] = self._store.access_key
            inherited["OSS_ACCESS_KEY_SECRET"] = self._store.secret_key
            inherited["OSS_SESSION_TOKEN"] = self._store.security_token
        return inherited

    def events(self) -> list[dict[str, Any]]:
        """What it has logged so far."""
        return [json.loads(line) for line in self.log_path.read_text().splitlines()]

    def probe(self) -> None:
        if self.http_url:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
                f"{self.http_url}/healthz", timeout=_PROBE_TIMEOUT_SEC
            ):
                return
        if self._shared:  # another one might answer in its place
            if not any(event["event"] == "ready" for event in self.events()):
                raise ServiceError("it has not subscribed yet")
            return
        self._ask()

    def _ask(self) -> None:
        """Ask as a device that is not listed, and be refused."""
        answers: list[mqtt.MQTTMessage] = []
        client = mqtt.Client(CallbackAPIVersion.VERSION2)
        client.on_message = lambda _client, _data, message: answers.append(message)
        if self._broker.ca:
            client.tls_set(str(self._broker.ca_file))
        client.connect(self._broker.host, self._broker.port)
        client.subscribe(f"devices/{_PROBE_DEVICE}/upload/response", qos=1)
        client.publish(f"devices/{_PROBE_DEVICE}/upload/request", "{}", qos=1)
        deadline = time.monotonic() + _PROBE_TIMEOUT_SEC
        while not answers and time.monotonic() < deadline:
            client.loop(0.05)
        client.disconnect()
        if not answers:
            raise ServiceError("it does not answer requests yet")


def _store_section(store: ObjectStore | OssStandin, endpoint: str | None) -> dict[str, object]:
    section: dict[str, object] = {
        "endpoint": endpoint or store.endpoint,
        "bucket": store.bucket,
        "region": store.region,
    }
    if endpoint:  # what comes between the cameras and the store is not between it and the service
        section["service_endpoint"] = store.endpoint
    if isinstance(store, OssStandin):
        section["kind"] = "oss"
        if store.security_token:
            return section  # such keys come from the environment
    else:
        section.update({"kind": "s3", "path_style": True})
    return {**section, "access_key": store.access_key, "secret_key": store.secret_key}
