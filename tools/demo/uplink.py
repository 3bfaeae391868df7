"""A slow uplink: a TCP relay that passes a bounded number of bytes a second towards the store."""

import asyncio
import contextlib
import socket
import threading
from types import TracebackType

_CHUNK_BYTES = 8192
# Loopback takes megabytes at once. Ethernet's segment size and a small window make the sender see
# the speed of the line instead of that of its own buffer.
_SEGMENT_BYTES = 1460
_WINDOW_BYTES = 16384


class Uplink:
    """Listens on a free loopback port while entered; `address` is its host:port."""

    def __init__(self, host: str, port: int, bytes_per_sec: int) -> None:
        self._target = host, port
        self._bytes_per_sec = bytes_per_sec
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="uplink")

    def __enter__(self) -> "Uplink":
        self._thread.start()
        starting = asyncio.start_server(self._serve, sock=_narrow_socket(), limit=_WINDOW_BYTES)
        self._server = asyncio.run_coroutine_threadsafe(starting, self._loop).result()
        host, port = self._server.sockets[0].getsockname()
        self.address = f"{host}:{port}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _stop(self) -> None:
        self._server.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            store_reader, store_writer = await asyncio.open_connection(*self._target)
            up = self._pass_on(reader, store_writer, self._bytes_per_sec)
            down = self._pass_on(store_reader, writer, None)
            with contextlib.closing(store_writer), contextlib.closing(writer):
                await asyncio.gather(up, down)

    @staticmethod
    async def _pass_on(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, bytes_per_sec: int | None
    ) -> None:
        while chunk := await reader.read(_CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
            if bytes_per_sec:
                await asyncio.sleep(len(chunk) / bytes_per_sec)
        if writer.can_write_eof():
            writer.write_eof()


def _narrow_socket() -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _WINDOW_BYTES)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, _SEGMENT_BYTES)
    listener.bind(("127.0.0.1", 0))
    return listener
