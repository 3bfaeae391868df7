"""`python -m tools.cloud_service config.toml`: answers upload requests until SIGTERM or Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from tools.cloud_service import log
from tools.cloud_service.config import ConfigError, load
from tools.cloud_service.handlers import UploadHandler
from tools.cloud_service.presign import presigner
from tools.cloud_service.service import serve, tls_context


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
        signer = presigner(config.store)
        tls = tls_context(config.mqtt)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    log.setup()
    handler = UploadHandler(signer, config.devices, config.uploads, time.time)
    asyncio.run(run(serve(config.mqtt, tls, handler)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
