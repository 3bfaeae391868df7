"""`python -m tools.cloud_service config.toml`: answers cameras until SIGTERM or Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import signal
import ssl
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from tools.cloud_service import log
from tools.cloud_service.backend import Backend, backend
from tools.cloud_service.cleanup import CleanUp
from tools.cloud_service.config import Config, ConfigError, load
from tools.cloud_service.handlers import UploadHandler
from tools.cloud_service.http_api import HttpApi
from tools.cloud_service.metrics import Metrics
from tools.cloud_service.read_back import ReadBack
from tools.cloud_service.service import MqttService, tls_context
from tools.cloud_service.threads import ThreadedStore, Threads


async def serve(config: Config, parts: Backend, tls: ssl.SSLContext | None) -> None:
    """Everything the configuration asks for, until cancelled; OSError when HTTP cannot listen."""
    metrics = Metrics()
    threads = Threads(metrics.store_called)
    read_back = ReadBack(parts.store.read, metrics.store_called, metrics.read_back)
    store = ThreadedStore(parts.store, threads, read_back)
    handler = UploadHandler(
        parts.presigner, store, config.devices, config.uploads, time.time, parts.appender
    )
    metrics.watch_slots(handler.slots.held)
    over_mqtt = MqttService(config.mqtt, tls, handler, metrics)
    running = [over_mqtt.run()]
    if config.uploads.stale_hours:
        clean_up = CleanUp(
            parts.store,
            threads,
            config.devices,
            config.uploads.stale_hours,
            metrics.stale_aborted,
        )
        running.append(clean_up.run())
    over_http = None
    if config.http:
        over_http = HttpApi(config.http, handler, metrics, lambda: over_mqtt.is_connected)
        await over_http.start()
    try:
        await asyncio.gather(*running)
    finally:
        read_back.stop()
        if over_http:
            await over_http.stop()


async def run(service: Coroutine[Any, Any, None]) -> None:
    """Serve until a signal asks to stop."""
    task = asyncio.ensure_future(service)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()
    log.info("stopped")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.cloud_service", description=__doc__)
    parser.add_argument(
        "config", type=Path, help="TOML file, see config.example.toml beside this module"
    )
    try:
        config = load(parser.parse_args().config)
        parts = backend(config)
        tls = tls_context(config.mqtt)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    log.setup()
    try:
        asyncio.run(run(serve(config, parts, tls)))
    except OSError as error:  # the address for HTTP is taken, or is not this machine's
        print(f"http: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
