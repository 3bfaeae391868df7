"""The cloud service as its own process, between a broker and a store."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from tools.services.broker import Mosquitto
from tools.services.process import Service, ServiceError
from tools.services.store import ObjectStore

_REPOSITORY = Path(__file__).resolve().parents[2]
_PROBE_DEVICE = "readiness-probe"
_PROBE_TIMEOUT_SEC = 1.0


class CloudService(Service):
    """Answers the requests of `devices`; `endpoint` is the store's address as cameras see it."""

    name = "cloud-service"

    def __init__(
        self,
        broker: Mosquitto,
        store: ObjectStore,
        devices: Sequence[str],
        *,
        endpoint: str | None = None,
        expires_sec: int = 600,
    ) -> None:
        super().__init__()
        self._broker = broker
        self._config: dict[str, dict[str, object]] = {
            "": {"devices": list(devices)},
            "mqtt": {"host": broker.host, "port": broker.port},
            "store": {
                "kind": "s3",
                "endpoint": endpoint or store.endpoint,
                "path_style": True,
                "bucket": store.bucket,
                "region": store.region,
                "access_key": store.access_key,
                "secret_key": store.secret_key,
            },
            "uploads": {"expires_sec": expires_sec},
        }
        if broker.ca:
            self._config["mqtt"].update({"tls": True, "ca_file": str(broker.ca_file)})

    def prepare(self) -> None:
        lines = []
        for section, values in self._config.items():
            lines += [f"[{section}]"] if section else []
            lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
        (self.directory / "config.toml").write_text("\n".join(lines) + "\n")

    def command(self) -> list[str]:
        return [sys.executable, "-m", "tools.cloud_service", str(self.directory / "config.toml")]

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "PYTHONPATH": str(_REPOSITORY)}

    def probe(self) -> None:
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
