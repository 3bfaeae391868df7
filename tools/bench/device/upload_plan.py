"""The product's uploader, told by a file what to upload where: the rest of the camera is not there."""

import json
import socket
from binascii import unhexlify

from micropython import const

import net
from firmware.job import Job
from firmware.oss_uploader import OssUploader
from firmware.upload_messages import parse_upload_response
from net_stream import Stream

_CHUNK_BYTES = const(8192)
_TIMEOUT_MS = const(600000)
# Linux's numbers, which MicroPython does not name.
_SOL_SOCKET = const(1)
_SO_SNDBUF = const(7)


def nothing(*_):
    """For the callbacks nobody listens to."""


class Plan:
    """`uploader()` uploads `job` as the file says; see tools/bench/uploads.py."""

    def __init__(self, path):
        with open(path) as file:
            told = json.load(file)
        self._response = told["response"]
        self._send_buffer_bytes = told["send_buffer_bytes"]
        self._tls = None
        if told["ca"]:
            with open(told["ca"], "rb") as file:
                self._tls = net.make_tls_context(file.read())
        md5 = unhexlify(told["md5"])
        self.job = Job(told["path"], told["size_bytes"], 2, "motion_detection")
        self.job.md5 = md5

    def uploader(self, ticks_ms, on_progress=nothing, progress_ms=1000):
        return OssUploader(
            self._request_url,
            self._open_stream,
            buffers=[bytearray(_CHUNK_BYTES)],
            timeout_ms=_TIMEOUT_MS,
            idle_timeout_ms=_TIMEOUT_MS,
            allow_insecure=True,
            on_started=nothing,
            on_progress=on_progress,
            ticks_ms=ticks_ms,
            unix_time=nothing,
            progress_ms=progress_ms,
        )

    async def _request_url(self, job, _):
        return parse_upload_response(self._response)

    async def _open_stream(self, host, port, tls):
        if self._send_buffer_bytes:
            return await self._open_narrow(host, port)
        context = self._tls if tls else None
        return await net.connect(
            (host, port), tls=context, server_hostname=host, timeout_ms=_TIMEOUT_MS
        )

    async def _open_narrow(self, host, port):
        """As net.connect does, with a send buffer as small as a board's."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setsockopt(_SOL_SOCKET, _SO_SNDBUF, self._send_buffer_bytes)
        stream = Stream(sock)
        await stream.dial(socket.getaddrinfo(host, port)[0][-1], _TIMEOUT_MS)
        return stream
