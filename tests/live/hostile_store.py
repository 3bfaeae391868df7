"""A store of the tests' own, as wicked as a test wants it, in threads of the test.

Every connection is served by the next behaviour that was given for its clip, honestly when there is
none: a function that reads as much of the request as it likes, sends what it likes and returns; then
the connection is closed.
"""

import hashlib
import socket
import struct
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable

HOST = "127.0.0.1"
PATIENCE_SEC = 20.0
# Small, so that a large body is still on its way when the store stops to read.
_RECEIVE_BUFFER_BYTES = 65536
_PIECE_BYTES = 65536
_ALL = 1 << 60

Behaviour = Callable[["Exchange"], None]


class Exchange:
    """One connection: the request's head, and how much of its body came, with its digests."""

    def __init__(self, sock: socket.socket, over: threading.Event) -> None:
        self._sock, self._over = sock, over
        self._reader = sock.makefile("rb")
        self.head = b""
        self.path = ""
        self.size_bytes = 0
        self.received_bytes = 0
        self.started_at = time.monotonic()
        self._sha256, self._md5 = hashlib.sha256(), hashlib.md5()

    @property
    def is_whole(self) -> bool:
        """Whether all of the body came."""
        return bool(self.head) and self.received_bytes == self.size_bytes

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()

    @property
    def etag(self) -> str:
        return f'"{self._md5.hexdigest()}"'

    def read_head(self) -> None:
        while line := self._reader.readline():
            self.head += line
            if line == b"\r\n":
                break
        self.path = self.head.split(b" ")[1].partition(b"?")[0].decode() if self.head else ""
        for line in self.head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                self.size_bytes = int(line[15:])

    def read_body(self, at_most: int = _ALL) -> None:
        """Read up to `at_most` more bytes of the body."""
        wanted = min(self.size_bytes, self.received_bytes + at_most)
        while self.received_bytes < wanted:
            piece = self._reader.read1(min(_PIECE_BYTES, wanted - self.received_bytes))
            if not piece:
                return
            self._sha256.update(piece)
            self._md5.update(piece)
            self.received_bytes += len(piece)

    def send(self, data: bytes) -> None:
        self._sock.sendall(data)

    def accept(self, etag: str | None = None, body: bytes = b"") -> None:
        """Read everything and answer as a store does that has it; `etag` is another than the MD5."""
        self.read_body()
        if self.is_whole:
            etag = self.etag if etag is None else etag
            line = f"ETag: {etag}\r\n" if etag else ""
            head = f"HTTP/1.1 200 OK\r\n{line}Content-Length: {len(body)}\r\n\r\n"
            self.send(head.encode() + body)

    def pause(self, seconds: float = PATIENCE_SEC) -> bool:
        """Do nothing for so long; False once the test is over."""
        return not self._over.wait(seconds)

    def reset_at_close(self) -> None:
        """Let the connection end with a reset, not in order."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def hang_up(self) -> None:
        self._reader.close()
        self._sock.close()


class HostileStore:
    """Listens while entered."""

    def __init__(self) -> None:
        self._behaviours: dict[str, deque[Behaviour]] = defaultdict(deque)
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._exchanges: list[Exchange] = []
        self._over = threading.Event()
        self.gate = threading.Event()  # honest answers wait for it
        self.gate.set()

    def __enter__(self) -> "HostileStore":
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        self._listener.bind((HOST, 0))
        self._listener.listen()
        self.port: int = self._listener.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, name="hostile-store")
        self._accepting.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end_test()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join()
        for thread in self._threads:
            thread.join()

    @property
    def endpoint(self) -> str:
        return f"http://{HOST}:{self.port}"

    def serve(self, clip: str, *behaviours: Behaviour) -> None:
        """How to serve the next connections for the clip of that name."""
        self._behaviours[clip].extend(behaviours)

    def end_test(self) -> None:
        """Let go of all connections that are held."""
        self.gate.set()
        self._over.set()
        self._over = threading.Event()

    def exchanges(self, clip: str) -> list[Exchange]:
        """All connections for the clip, in their order."""
        return [exchange for exchange in list(self._exchanges) if exchange.path.endswith(clip)]

    def bodies(self, clip: str) -> list[str]:
        """The digests of the bodies that came whole."""
        return [exchange.sha256 for exchange in self.exchanges(clip) if exchange.is_whole]

    def wait(self, clip: str, count: int, timeout_sec: float = PATIENCE_SEC) -> Exchange:
        """Connection number `count` for the clip, once its head has come."""
        with self._changed:
            self._changed.wait_for(lambda: len(self.exchanges(clip)) >= count, timeout_sec)
        came = self.exchanges(clip)
        assert len(came) >= count, f"{len(came)} of {count} connections came"
        return came[count - 1]

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return  # closed
            thread = threading.Thread(target=self._serve, args=(sock,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        sock.settimeout(PATIENCE_SEC)
        exchange = Exchange(sock, self._over)
        try:
            exchange.read_head()
            with self._changed:
                self._exchanges.append(exchange)
                self._changed.notify_all()
            self._behaviour(exchange.path)(exchange)
        except OSError:
            return  # the camera hung up, as it may
        finally:
            exchange.hang_up()

    def _behaviour(self, path: str) -> Behaviour:
        given = self._behaviours[path.rpartition("_")[2]]
        return given.popleft() if given else self._honest

    def _honest(self, exchange: Exchange) -> None:
        exchange.read_body()
        self.gate.wait(PATIENCE_SEC)
        exchange.accept()
