"""A request's body on a connection: announced by length or in chunks, read once, and counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BufferedIOBase

from tools.services.oss.errors import OssError
from tools.services.oss.request import whole_number

_CHUNK = 1 << 16
_MAX_LINE = 1 << 10


class BodyEnded(ConnectionError):
    """The client stopped before all that it announced had come."""


class WireBody:
    """`on_start` is called before the first byte is wanted: time for `100 Continue`."""

    def __init__(
        self,
        stream: BufferedIOBase,
        length: str | None,
        encoding: str,
        on_start: Callable[[], None],
    ) -> None:
        self._stream = stream
        self._on_start = on_start
        self._is_chunked = encoding.lower() == "chunked"
        if encoding and not self._is_chunked:
            raise OssError(
                400, "NotImplemented", "Only chunked is implemented as Transfer-Encoding."
            )
        self.length = whole_number(length) if length is not None else None
        if length is not None and self.length is None:
            raise OssError(400, "InvalidArgument", "Content-Length is invalid.")
        if self._is_chunked:
            self.length = None
        self.is_announced = self._is_chunked or self.length is not None
        self.is_read = not self._is_chunked and not self.length

    def chunks(self) -> Iterator[bytes]:
        if self.is_read:
            return
        self._on_start()
        if self._is_chunked:
            yield from self._of_chunks()
        else:
            yield from self._exactly(self.length or 0)
        self.is_read = True

    def _exactly(self, length: int) -> Iterator[bytes]:
        while length > 0:
            data = self._stream.read(min(length, _CHUNK))
            if not data:
                raise BodyEnded(f"{length} bytes are missing")
            length -= len(data)
            yield data

    def _of_chunks(self) -> Iterator[bytes]:
        while size := self._chunk_size():
            yield from self._exactly(size)
            self._line()
        while self._line():  # trailers
            pass

    def _chunk_size(self) -> int:
        text = self._line().partition(b";")[0].strip()
        try:
            return int(text, 16)
        except ValueError:
            raise OssError(400, "InvalidArgument", "A chunk's size is invalid.") from None

    def _line(self) -> bytes:
        line = self._stream.readline(_MAX_LINE)
        if not line.endswith(b"\n"):
            raise BodyEnded("a chunk is cut off")
        return line.rstrip(b"\r\n")
