"""CPython's stand-in for MicroPython's `deflate` as most firmwares have it: it reads, and writes not."""

import zlib
from errno import EINVAL

AUTO, RAW, ZLIB, GZIP = range(4)

_READ_BYTES = 64


class DeflateIO:
    def __init__(self, stream, format=AUTO, wbits=0, close=False):
        if format != GZIP:
            raise ValueError("the shim reads gzip alone")
        self._stream = stream
        self._window_bits = wbits or 15
        # zlib takes 31 for "gzip, and a window of 15 bits"; what a file needs it does not tell.
        self._zlib = zlib.decompressobj(16 + self._window_bits)

    def readinto(self, buf):
        view = memoryview(buf)
        done = 0
        while done < len(view) and not self._zlib.eof:
            compressed = self._zlib.unconsumed_tail or self._stream.read(_READ_BYTES)
            if not compressed:
                raise EOFError
            try:
                plain = self._zlib.decompress(compressed, len(view) - done)
            except zlib.error as error:
                raise OSError(EINVAL, str(error)) from error
            view[done : done + len(plain)] = plain
            done += len(plain)
        return done

    def read(self, size=-1):
        found = bytearray()
        piece = bytearray(1024)
        while size < 0 or len(found) < size:
            n = self.readinto(memoryview(piece)[: len(piece) if size < 0 else size - len(found)])
            if not n:
                break
            found += piece[:n]
        return bytes(found)

    def close(self):
        """The stream stays open."""
