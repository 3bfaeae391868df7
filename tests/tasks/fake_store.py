"""An object store on loopback that answers as a test says, on either interpreter.

A behaviour is `async def (exchange)`: it reads as much of the request as it
likes, sends what it likes and goes. The connection is closed behind it, but for
one that accepted a request which wants it kept (`exchange.is_kept`).
"""

import asyncio
import hashlib
import os
import struct
from binascii import hexlify

_SOL_SOCKET, _SO_LINGER = 1, 13
_PIECE_BYTES = 16384
_SETTLE_MS = 10


async def listen(handler, **options):
    """Serve `handler(reader, writer)` on a free port: (server, port). Port 0 tells nobody its number."""
    while True:
        port = 20000 + int.from_bytes(os.urandom(2), "big") % 40000
        try:
            return await asyncio.start_server(handler, "127.0.0.1", port, **options), port
        except OSError:
            continue  # taken: try another


def free_port():
    """A port that nobody listens on."""
    return 20000 + int.from_bytes(os.urandom(2), "big") % 40000


class Exchange:
    """One request as the behaviour sees it: `head`, and how much of the body came, with its MD5."""

    def __init__(self, reader, writer):
        self._reader, self._writer = reader, writer
        self.head = b""
        self.size_bytes = 0
        self.received_bytes = 0
        self.is_kept = False
        self.error = None
        self._md5 = hashlib.md5()

    async def read_head(self):
        while not self.head.endswith(b"\r\n\r\n"):
            line = await self._reader.readline()
            if not line:
                return
            self.head += line
        for line in self.head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                self.size_bytes = int(line[15:])

    async def read_body(self, at_most=1 << 40):
        """Read up to `at_most` more bytes of the body."""
        wanted = min(self.size_bytes, self.received_bytes + at_most)
        while self.received_bytes < wanted:
            piece = await self._reader.read(min(_PIECE_BYTES, wanted - self.received_bytes))
            if not piece:
                return
            self._md5.update(piece)
            self.received_bytes += len(piece)

    async def read_all(self):
        """The rest of the body; less of it if the camera hangs up."""
        pieces = []
        while self.received_bytes < self.size_bytes:
            left = self.size_bytes - self.received_bytes
            piece = await self._reader.read(min(_PIECE_BYTES, left))
            if not piece:
                break
            pieces.append(piece)
            self.received_bytes += len(piece)
        return b"".join(pieces)

    async def send(self, data):
        self._writer.write(data)
        await self._writer.drain()

    async def accept(self, status=b"200 OK", etag=None):
        """Read everything and answer as a store does that has it."""
        await self.read_body()
        if self.received_bytes < self.size_bytes:
            return
        self.md5 = hexlify(self._md5.digest()).decode()
        await self.answer(status, '"%s"' % self.md5 if etag is None else etag)

    async def answer(self, status=b"200 OK", etag=""):
        """Say that all is well, and keep the connection if the camera wants that."""
        self.is_kept = b"\r\nConnection: keep-alive\r\n" in self.head
        line = "ETag: %s\r\n" % etag if etag else ""
        await self.send(b"HTTP/1.1 %s\r\n%sContent-Length: 0\r\n\r\n" % (status, line.encode()))

    def reset_at_close(self):
        """Let the connection end with a reset, not in order."""
        sock = getattr(self._writer, "s", None) or self._writer.get_extra_info("socket")
        sock.setsockopt(_SOL_SOCKET, _SO_LINGER, struct.pack("ii", 1, 0))

    async def close(self):
        try:
            self._writer.close()
            await self._writer.wait_closed()
        except OSError:
            return  # the other side was faster


class FakeStore:
    """Runs one behaviour for every request; `exchanges` has them all once it has stopped."""

    def __init__(self, behaviour):
        self._behaviour = behaviour
        self._running = 0
        self.connections = 0
        self.exchanges = []

    async def start(self, **options):
        self._server, self.port = await listen(self._serve, **options)
        return self

    async def _serve(self, reader, writer):
        exchange = Exchange(reader, writer)
        self.exchanges.append(exchange)
        self.connections += 1
        self._running += 1
        try:
            await exchange.read_head()
            await self._behaviour(exchange)
            while exchange.is_kept:
                exchange = Exchange(reader, writer)
                await exchange.read_head()
                if exchange.head:
                    self.exchanges.append(exchange)
                    await self._behaviour(exchange)
        except OSError as error:
            exchange.error = error  # the camera hung up, as it may
        finally:
            await exchange.close()
            self._running -= 1

    async def stop(self):
        """Let connections that were made be seen and served to their end."""
        await asyncio.sleep_ms(_SETTLE_MS)
        while self._running:
            await asyncio.sleep_ms(_SETTLE_MS)
        self._server.close()
