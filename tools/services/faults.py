"""Toxiproxy on loopback: cuts, slows, resets and swallows TCP between a board and a service.

Toxic types and their attributes are Toxiproxy's own, see its README: latency(latency, jitter),
bandwidth(rate), slow_close(delay), timeout(timeout), reset_peer(timeout), limit_data(bytes), ...
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests

from tools import gobuild
from tools.services.process import HOST, Server, ServiceError, free_port

_API_TIMEOUT_SEC = 5


class Proxy:
    """One listening port (`host`, `port`, `address`) in front of `upstream`."""

    def __init__(self, toxiproxy: Toxiproxy, upstream: str) -> None:
        self._toxiproxy = toxiproxy
        self.upstream = upstream
        self.host = HOST
        self.port = free_port()
        self.name = f"proxy-{self.port}"

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    def enable(self, on: bool = True) -> None:
        """Listen, or refuse new connections and reset the open ones."""
        self._toxiproxy.call("POST", f"/proxies/{self.name}", enabled=on)

    def disable(self) -> None:
        self.enable(False)

    def add_toxic(self, kind: str, *, stream: str = "downstream", **attributes: int) -> str:
        """Spoil one direction (`upstream` is towards the service); returns the toxic's name."""
        name = f"{kind}_{stream}"
        path = f"/proxies/{self.name}/toxics"
        self._toxiproxy.call(
            "POST", path, name=name, type=kind, stream=stream, attributes=attributes
        )
        return name

    def remove_toxic(self, name: str) -> None:
        self._toxiproxy.call("DELETE", f"/proxies/{self.name}/toxics/{name}")

    @contextmanager
    def toxic(self, kind: str, *, stream: str = "downstream", **attributes: int) -> Iterator[None]:
        """A toxic for the length of a `with` block."""
        name = self.add_toxic(kind, stream=stream, **attributes)
        try:
            yield
        finally:
            self.remove_toxic(name)

    def remove(self) -> None:
        """Close the port and all its connections."""
        self._toxiproxy.call("DELETE", f"/proxies/{self.name}")


class Toxiproxy(Server):
    """The server that runs proxies; a restarted one has none."""

    name = "toxiproxy"

    def command(self) -> list[str]:
        return [str(gobuild.binary("toxiproxy")), "-host", self.host, "-port", str(self.port)]

    def probe(self) -> None:
        self.call("GET", "/version")

    def proxy(self, upstream: str) -> Proxy:
        """A new proxy in front of `upstream` ("host:port")."""
        proxy = Proxy(self, upstream)
        self.call("POST", "/proxies", name=proxy.name, listen=proxy.address, upstream=upstream)
        return proxy

    def call(self, method: str, path: str, **body: Any) -> Any:
        """One API call: JSON in, JSON out; raises ServiceError with what Toxiproxy said."""
        with requests.Session() as session:
            session.trust_env = False  # loopback is never behind a proxy of the environment
            answer = session.request(
                method, f"http://{self.address}{path}", json=body or None, timeout=_API_TIMEOUT_SEC
            )
        if not answer.ok:
            raise ServiceError(
                f"toxiproxy {method} {path}: {answer.status_code} {answer.text.strip()}"
            )
        return answer.json() if answer.content else None
