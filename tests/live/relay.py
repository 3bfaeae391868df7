"""A line to the store that counts: which requests went along it, and how much of each body.

It can be as slow as a test needs it, and can hold back what the store answers.
"""

import contextlib
import re
import socket
import threading
import time
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

HOST = "127.0.0.1"
PATIENCE_SEC = 60.0
# Small, so that what was counted is close to what was sent.
_BUFFER_BYTES = 32768
PIECE_BYTES = 16384
_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)


class Upload:
    """A request on the line: a file, or a part of one, and how much of it came so far."""

    def __init__(self, head: bytes) -> None:
        target = head.split(b" ")[1].decode()
        query = parse_qs(urlsplit(target).query)
        self.path = urlsplit(target).path
        self.part = int(query["partNumber"][0]) if "partNumber" in query else None
        length = _LENGTH.search(head)
        self.size_bytes = int(length[1]) if length else 0
        self.sent_bytes = 0

    @property
    def is_whole(self) -> bool:
        return self.sent_bytes == self.size_bytes


class Relay:
    """Listens while entered; `uploads` are those that have come, in their order.

    `bytes_per_sec` is the speed of each connection towards the store, None for no limit.
    """

    def __init__(self, host: str, port: int, bytes_per_sec: int | None = None) -> None:
        self._target = host, port
        self._bytes_per_sec = bytes_per_sec
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []
        self.uploads: list[Upload] = []
        self.sent: list[tuple[float, int]] = []  # when, and how many bytes of all bodies by then
        self.answers = threading.Event()  # held back while it is not set
        self.answers.set()

    def __enter__(self) -> "Relay":
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        self._listener.bind((HOST, 0))
        self._listener.listen()
        self.address = f"{HOST}:{self._listener.getsockname()[1]}"
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self.answers.set()
        for sock in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for sock in (self._listener, *self._sockets):
            sock.close()

    @property
    def endpoint(self) -> str:
        return f"http://{self.address}"

    @property
    def sent_bytes(self) -> int:
        """Of all bodies, whatever became of them."""
        return self.sent[-1][1] if self.sent else 0

    def start_afresh(self) -> None:
        """Forget what was counted."""
        with self._changed:
            self.uploads.clear()
            self.sent.clear()

    def of(self, clip: str) -> list[Upload]:
        """The requests for the clip of that name."""
        return [upload for upload in list(self.uploads) if upload.path.endswith(clip)]

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        """Until it is so, looked at with every piece that passes."""
        with self._changed:
            assert self._changed.wait_for(condition, PATIENCE_SEC), f"no {what}"

    def wait_for_bytes(self, count: int) -> None:
        """Until so many more bytes of bodies have passed."""
        target = self.sent_bytes + count
        self.wait_for(lambda: self.sent_bytes >= target, f"{count} bytes more on the line")

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, name="relay")
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                camera, _ = self._listener.accept()
            except OSError:
                return  # closed
            try:
                store = socket.create_connection(self._target)
            except OSError:
                camera.close()
                continue
            store.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
            self._sockets += [camera, store]
            self._start(self._carry, camera, store)
            self._start(self._carry_back, store, camera)

    def _carry(self, camera: socket.socket, store: socket.socket) -> None:
        head, upload = b"", None
        try:
            while piece := camera.recv(PIECE_BYTES):
                head, upload = self._count(head, upload, piece)
                store.sendall(piece)
                if self._bytes_per_sec:
                    time.sleep(len(piece) / self._bytes_per_sec)
        except OSError:
            pass  # one side is gone: so is the other, below
        finally:
            hang_up(camera, store)

    def _carry_back(self, store: socket.socket, camera: socket.socket) -> None:
        try:
            while piece := store.recv(PIECE_BYTES):
                self.answers.wait()
                camera.sendall(piece)
        except OSError:
            pass
        finally:
            hang_up(camera, store)

    def _count(
        self, head: bytes, upload: Upload | None, piece: bytes
    ) -> tuple[bytes, Upload | None]:
        """Take note of a piece of the connection; what is begun of a head, and the body's request."""
        with self._changed:
            while piece:
                if upload is None or upload.is_whole:
                    head, end, piece = (head + piece).partition(b"\r\n\r\n")
                    if not end:
                        return head, upload
                    upload, head = Upload(head), b""
                    self.uploads.append(upload)
                body = piece[: upload.size_bytes - upload.sent_bytes]
                upload.sent_bytes += len(body)
                self.sent.append((time.monotonic(), self.sent_bytes + len(body)))
                piece = piece[len(body) :]
            self._changed.notify_all()
        return head, upload


def hang_up(*sockets: socket.socket) -> None:
    for sock in sockets:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
