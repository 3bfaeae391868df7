"""Mosquitto on loopback."""

from __future__ import annotations

import getpass
import os
import shutil
import time
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from tools.services.process import Server, ServiceError
from tools.testca import TestCA

_PROBE_TIMEOUT_SEC = 2.0


class Mosquitto(Server):
    """An MQTT broker that keeps its sessions over `stop` and `start`; TLS alone with `ca`."""

    name = "mosquitto"

    def __init__(self, ca: TestCA | None = None) -> None:
        super().__init__()
        self.ca = ca

    @property
    def ca_file(self) -> Path:
        """The test CA's certificate as PEM (only with TLS)."""
        return self.directory / "ca.pem"

    def prepare(self) -> None:
        (self.directory / "data").mkdir()
        lines = [
            f"listener {self.port} {self.host}",
            "allow_anonymous true",
            f"user {getpass.getuser()}",  # else root's broker becomes a user who cannot write here
            "persistence true",
            f"persistence_location {self.directory / 'data'}/",
            "set_tcp_nodelay true",  # else a reply waits 40 ms and more behind an acknowledgement
            "log_dest stdout",
        ]
        if self.ca:
            certificate, key = self.directory / "server.pem", self.directory / "server.key"
            self.ca.server().write(certificate, key)
            self.ca_file.write_bytes(self.ca.pem)
            lines += [f"certfile {certificate}", f"keyfile {key}"]
        (self.directory / "mosquitto.conf").write_text("\n".join(lines) + "\n")

    def command(self) -> list[str]:
        return [_mosquitto(), "-c", str(self.directory / "mosquitto.conf")]

    def probe(self) -> None:
        """CONNECT and wait for CONNACK."""
        client = mqtt.Client(CallbackAPIVersion.VERSION2)
        if self.ca:
            client.tls_set(str(self.ca_file))
        client.connect(self.host, self.port)
        deadline = time.monotonic() + _PROBE_TIMEOUT_SEC
        while not client.is_connected() and time.monotonic() < deadline:
            client.loop(0.1)
        if not client.is_connected():
            raise ServiceError("no CONNACK")
        client.disconnect()


def _mosquitto() -> str:
    found = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin")
    if found is None:
        raise ServiceError("`mosquitto` is missing: sudo apt-get install mosquitto")
    return found
