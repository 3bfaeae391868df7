"""What the service counts, for Prometheus. No label is of unbounded variety: no device, no path."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from tools.cloud_service.handlers import COMPLETE, Reply

TEXT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 300)


class Metrics:
    """One process's figures."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = self._counter(
            "requests", "Upload requests answered.", "transport", "result"
        )
        self._completes = self._counter(
            "completes", "Complete messages answered.", "transport", "outcome", "result"
        )
        self._refusals = self._counter(
            "refusals", "Messages answered with an error code.", "kind", "code"
        )
        self._faults = self._counter("faults", "Messages that broke the handler.")
        self._store_errors = self._counter(
            "store_errors", "Store calls that failed.", "call", "error"
        )
        self._stale = self._counter("stale_uploads_aborted", "Uploads the clean-up has aborted.")
        self._read_back = self._counter("read_back_bytes", "Bytes of objects read for their MD5.")
        self._store_calls = Histogram(
            "cloud_service_store_call_seconds",
            "How long calls of the store took, waiting for a thread included.",
            ["call"],
            registry=self._registry,
            buckets=_SECONDS,
        )
        self._connected = self._gauge("broker_connected", "1 while subscribed at the broker.")
        self._slots = self._gauge("upload_slots_held", "Upload slots in use in this process.")

    def watch_slots(self, held: Callable[[], int]) -> None:
        """Ask this for the slots in use whenever the figures are read."""
        self._slots.set_function(held)

    def answered(self, transport: str, kind: str, reply: Reply) -> None:
        """Count one message's reply."""
        code = reply.log.get("error_code")
        if kind == COMPLETE:
            verified = "verified" if reply.log.get("verified") else "unverified"
            self._completes.labels(
                transport, reply.log.get("outcome", "unknown"), "refused" if code else verified
            ).inc()
        else:
            self._requests.labels(transport, "refused" if code else "granted").inc()
        if code:
            self.refused(kind, code)
        if reply.fault is not None:
            self._faults.inc()

    def refused(self, kind: str, code: str) -> None:
        """Count a message that never came to the handler."""
        self._refusals.labels(kind, code).inc()

    def store_called(self, call: str, seconds: float, error: str | None) -> None:
        """Note one call of the store, with the store's own word if it failed."""
        self._store_calls.labels(call).observe(seconds)
        if error is not None:
            self._store_errors.labels(call, error).inc()

    def read_back(self, count: int) -> None:
        """Count bytes of an object that was read for its MD5."""
        self._read_back.inc(count)

    def stale_aborted(self) -> None:
        self._stale.inc()

    def broker_connected(self, connected: bool) -> None:
        self._connected.set(int(connected))

    def text(self) -> bytes:
        """All figures, in the type TEXT_TYPE."""
        return generate_latest(self._registry)

    def _counter(self, name: str, told: str, *labels: str) -> Counter:
        return Counter(f"cloud_service_{name}", told, labels, registry=self._registry)

    def _gauge(self, name: str, told: str) -> Gauge:
        return Gauge(f"cloud_service_{name}", told, registry=self._registry)
