"""Writes a file in whole blocks from one fixed buffer, as a FAT card likes it.

Invariant: every write but the last one of a file is the whole block, so on a
card all writes are whole sectors at sector boundaries. A flush every
`flush_bytes`, or when asked for, makes what is written survive a power cut: an
unflushed FAT file has no length yet. Nothing is ever written over: a sector that
the power leaves half written holds only what was not promised.

An error is final: a FAT handle that had one takes further writes and flushes
without complaint and loses them, so the handle is closed and never used again.
"""

from errno import EBADF, EIO


class BlockWriter:
    """One file at a time. Its methods raise OSError, after which no file is open."""

    def __init__(self, block, *, flush_bytes=65536, new_digest=None):
        """`block`: memory that the caller fills; `new_digest`: hashlib.md5, for instance."""
        self._block = memoryview(block)
        self._flush_bytes = flush_bytes
        self._new_digest = new_digest
        self._file = _NO_FILE
        self.size_bytes = self.flushed_bytes = 0

    def open(self, path):
        """Begin a new file in place of any that has this name."""
        self.abandon()
        self.size_bytes = self.flushed_bytes = 0
        self._flush_at = self._flush_bytes
        self._digest = self._new_digest() if self._new_digest else None
        self._file = open(path, "wb")

    def write_block(self, data=None):
        """Append the whole block, or `data`, which must be the last of the file if it is shorter."""
        if data is None:
            data = self._block
        try:
            if self._file.write(data) != len(data):
                raise OSError(EIO, "short write")
            self.size_bytes += len(data)
            if self.size_bytes >= self._flush_at:
                self._flush()
        except OSError:
            self.abandon()
            raise
        if self._digest:
            self._digest.update(data)

    def flush(self):
        """Bring to the card for good what is written."""
        if self.flushed_bytes == self.size_bytes:
            return
        try:
            self._flush()
        except OSError:
            self.abandon()
            raise

    def _flush(self):
        self._file.flush()
        self.flushed_bytes = self.size_bytes
        self._flush_at = self.size_bytes + self._flush_bytes

    def close(self, tail_bytes=0):
        """Append the first `tail_bytes` of the block, close: `(size_bytes, digest or None)`."""
        try:
            if tail_bytes:
                self.write_block(self._block[:tail_bytes])
            self._file.flush()
        finally:
            self.abandon()
        return self.size_bytes, self._digest and self._digest.digest()

    def abandon(self):
        """Close the file as it is, if one is open."""
        file, self._file = self._file, _NO_FILE
        file.close()


class _NoFile:
    """Stands for the file when there is none."""

    def write(self, data):
        raise OSError(EBADF, "no file is open")

    def flush(self):
        raise OSError(EBADF, "no file is open")

    def close(self):
        """Nothing is open."""


_NO_FILE = _NoFile()
