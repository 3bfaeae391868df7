"""`python -m tools.services mosquitto minio`: start, print the addresses, stop at Ctrl-C."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys

from tools.services import (
    ObjectStore,
    OssStandin,
    RtspServer,
    Server,
    ServiceError,
    minio,
    mosquitto,
    oss_standin,
    rtsp_server,
    seaweedfs,
    toxiproxy,
)

SERVICES: dict[str, type[Server]] = {
    "mosquitto": mosquitto,
    "minio": minio,
    "oss": oss_standin,
    "rtsp": rtsp_server,
    "seaweedfs": seaweedfs,
    "toxiproxy": toxiproxy,
}


def describe(service: Server) -> str:
    """One line: what it is and how to reach it."""
    if isinstance(service, (ObjectStore, OssStandin)):
        return (
            f"{service.name}: {service.endpoint} bucket={service.bucket} region={service.region}"
            f" access_key={service.access_key} secret_key={service.secret_key}"
        )
    if isinstance(service, RtspServer):
        return f"{service.name}: {service.url}"
    return f"{service.name}: {service.address}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.services", description=__doc__)
    parser.add_argument("service", nargs="+", choices=sorted(SERVICES))
    names = parser.parse_args().service
    # SIGINT as well: whoever starts this in the background of a script hands it down ignored.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    try:
        with contextlib.ExitStack() as running:
            for name in names:
                print(describe(running.enter_context(SERVICES[name]())), flush=True)
            print("Ctrl-C stops them and removes their data", flush=True)
            signal.pause()
    except KeyboardInterrupt:
        return 0
    except ServiceError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
