"""An object store that keeps nothing: it takes a PUT as fast as it can and answers with its MD5.

Instructions and heap of the sender are measured against it, for a real store stalls at times of its
own choosing. Times are measured against real stores.
"""

import hashlib
import re
import socket
import threading
import time
from types import TracebackType

from tools.bench.uploads import presigned
from tools.services import ObjectStore

_RECEIVE_BYTES = 1 << 20
_SLOW_BYTES = 2048
_SLOW_SEC = 0.002  # for so many bytes
_HEAD_END = b"\r\n\r\n"


class Sink:
    """Listens on a free loopback port while entered; serves one connection after the other.

    A slow one has little room and takes its time, so that any sender has to wait for it.
    """

    def __init__(self, slow: bool = False) -> None:
        self._slow = slow

    def __enter__(self) -> "Sink":
        self._server = socket.create_server(("127.0.0.1", 0))
        if self._slow:
            self._server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SLOW_BYTES)
        self.port: int = self._server.getsockname()[1]
        self.url = presigned(ObjectStore().client(f"http://127.0.0.1:{self.port}"))
        self._thread = threading.Thread(target=self._serve, name="sink")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self._server.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self._server.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:  # shut down
                return
            with connection:
                try:
                    self._take(connection)
                except ConnectionError as error:
                    print(f"sink: {error}")

    def _take(self, connection: socket.socket) -> None:
        received = b""
        while _HEAD_END not in received:
            received += self._receive(connection)
        head, body = received.split(_HEAD_END, 1)
        length = re.search(rb"Content-Length: (\d+)", head)
        if length is None:
            raise ConnectionError(f"no Content-Length in {head!r}")
        digest, left = hashlib.md5(body), int(length[1]) - len(body)
        while left:
            body = self._receive(connection)
            digest.update(body)
            left -= len(body)
        answer = f'HTTP/1.1 200 OK\r\nETag: "{digest.hexdigest()}"\r\nContent-Length: 0\r\n\r\n'
        connection.sendall(answer.encode())

    def _receive(self, connection: socket.socket) -> bytes:
        if self._slow:
            time.sleep(_SLOW_SEC)
        received = connection.recv(_SLOW_BYTES if self._slow else _RECEIVE_BYTES)
        if not received:
            raise ConnectionError("the sender closed the connection early")
        return received
