"""Servers for tests, the demo and work by hand: real programs on free loopback ports.

`oss_standin` is not the real one: nobody but Alibaba can run OSS.

    with mosquitto() as broker, minio() as store:
        print(broker.address, store.endpoint, store.access_key)
        store.kill(); store.start()     # same port, same data

Each is a context manager, ready when entered, with `stop() kill() start() pause() resume()`.
By hand: `python -m tools.services mosquitto minio`.
"""

from tools.services.broker import Mosquitto
from tools.services.cloud import CloudService
from tools.services.faults import Proxy, Toxiproxy
from tools.services.oss_standin import OssStandin
from tools.services.process import Server, Service, ServiceError, free_port
from tools.services.rtsp_server import RtspServer
from tools.services.store import Minio, ObjectStore, SeaweedFS

mosquitto = Mosquitto
minio = Minio
seaweedfs = SeaweedFS
oss_standin = OssStandin
toxiproxy = Toxiproxy
rtsp_server = RtspServer
cloud_service = CloudService

__all__ = [
    "CloudService",
    "Minio",
    "Mosquitto",
    "ObjectStore",
    "OssStandin",
    "Proxy",
    "RtspServer",
    "SeaweedFS",
    "Server",
    "Service",
    "ServiceError",
    "Toxiproxy",
    "cloud_service",
    "free_port",
    "minio",
    "mosquitto",
    "oss_standin",
    "rtsp_server",
    "seaweedfs",
    "toxiproxy",
]
