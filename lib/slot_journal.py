"""A journal on a FAT card: numbered places, each with the record last written to it.

Two files of the same records lie in two directories. Both have their full length
from the beginning, so a write touches one data sector and one directory sector;
a record is written to the first file, flushed, then to the second. At any
instant at most one of the two is in the making, and the other is whole: a torn or
damaged record, or a file lost with its directory sector, is found in its twin.
Opening the journal takes the newest of each pair and makes both alike again.

Invariant: when write() returns, the record survives a power cut; until then the
place has its old record or the new one.
"""

import os
from errno import EACCES, EEXIST, EIO, ENOENT

from micropython import const

from journal_codec import SLOT_BYTES, encode, payload_of, sequence_of

_NEW_FILE_PIECE = const(4096)
# What rmdir says of a directory with something in it: POSIX, and FAT (EACCES).
_ENOTEMPTY = const(39)


class SlotJournal:
    """`directories`: two, which are made if need be; `buffer`: memory to read both files through."""

    def __init__(self, directories, *, slots, buffer, log):
        self.slots = slots
        self._copies = [_Copy(path, slots) for path in directories]
        self._buffer = memoryview(buffer)
        self._slot = memoryview(bytearray(SLOT_BYTES))
        self._log = log
        self._sequence = 0

    def open(self):
        """Iterate over `(number, sequence, payload)` of all places that hold a record.

        Mends what a power cut left; OSError if neither file can be read or made.
        """
        return (record for record in self.opening() if record)

    def opening(self):
        """As open(), with a None wherever others may have their turn; the buffer is not theirs."""
        self.close()  # it may be another card by now
        there = [self._open_copy(copy) for copy in self._copies]
        # Two that cannot be read say that the card fails, and are left alone. One is made anew; if
        # there is no other, it was in the making when the power went.
        if there != [None, None]:
            for copy, is_there in zip(self._copies, there):
                if not is_there:
                    yield from self._create(copy)
        if not any(copy.is_open for copy in self._copies):
            raise OSError(EIO, "no journal can be opened")
        half = len(self._buffer) // 2 // SLOT_BYTES * SLOT_BYTES
        for first in range(0, self.slots, half // SLOT_BYTES):
            yield from self._read_piece(first, half)
            yield None

    def write(self, number, payload):
        """Put a record into a place; returns its sequence number. OSError if no file took it."""
        self._sequence += 1
        encode(self._slot, self._sequence, payload)
        taken = 0
        for copy in self._copies:
            try:
                copy.write(number, self._slot)
                taken += 1
            except OSError as error:
                self._log("journal %s: %s" % (copy.path, error))
        if not taken:
            raise OSError(EIO, "journal cannot be written")
        return self._sequence

    def read(self, number):
        """The payload in a place, None if there is no record; OSError if no file can be read."""
        best, payload, failure = -1, None, None
        for copy in self._copies:
            try:
                copy.read(number, self._slot)
            except OSError as error:
                failure = error
                continue
            sequence = sequence_of(self._slot)
            if sequence is not None and sequence > best:
                best, payload = sequence, payload_of(self._slot)
        if payload is None and failure:
            raise failure
        return payload

    def close(self):
        for copy in self._copies:
            copy.close()

    def _open_copy(self, copy):
        """True for a file of the right length, False for none, None for one that cannot be read."""
        try:
            return copy.open()
        except OSError as error:
            if error.errno == ENOENT:
                return False
            self._log("journal %s: %s" % (copy.path, error))
            return None

    def _create(self, copy):
        try:
            yield from copy.create(self._buffer[:_NEW_FILE_PIECE])
        except OSError as error:  # the other one serves alone
            self._log("journal %s cannot be made: %s" % (copy.path, error))

    def _read_piece(self, first, size):
        """Read one stretch of both files and give its records."""
        views = [self._buffer[:size], self._buffer[size : 2 * size]]
        for copy, view in zip(self._copies, views):
            try:
                copy.read(first, view)
            except OSError as error:
                self._log("journal %s: %s" % (copy.path, error))
                view[:] = bytes(len(view))  # no records
        for number in range(first, min(first + size // SLOT_BYTES, self.slots)):
            start = (number - first) * SLOT_BYTES
            pair = [view[start : start + SLOT_BYTES] for view in views]
            record = self._newest(number, pair)
            if record:
                yield record

    def _newest(self, number, pair):
        """The newer of two records; its twin is mended."""
        sequences = [sequence_of(slot) for slot in pair]
        if sequences[0] is None and sequences[1] is None:
            return None
        best = 0 if sequences[1] is None or (sequences[0] or -1) >= sequences[1] else 1
        newest = sequences[best]
        self._sequence = max(self._sequence, newest)
        if sequences[1 - best] != newest:
            try:
                self._copies[1 - best].write(number, pair[best])
            except OSError as error:
                self._log("journal %s: %s" % (self._copies[1 - best].path, error))
        return number, newest, payload_of(pair[best])


class _Copy:
    """One of the two files. A handle that saw an error is never used again: FAT would feign success."""

    def __init__(self, directory, slots):
        self._directory = directory
        self.path = directory + "/jobs.jnl"
        self._size_bytes = slots * SLOT_BYTES
        self._file = None

    @property
    def is_open(self):
        return self._file is not None

    def open(self):
        """Whether the file is there in its full length, and now open. Raises OSError."""
        self.close()
        if os.stat(self.path)[6] != self._size_bytes:
            return False
        self._file = open(self.path, "r+b")
        try:
            self._file.seek(self._size_bytes - 1)
            if len(self._file.read(1)) == 1:
                return True
        except OSError:
            self.close()
            raise
        self.close()
        return False

    def create(self, piece):
        """Make the file, empty, and its directory, of which a power cut may have left less.

        Gives a None after every piece.
        """
        self.close()
        for remove, path in ((os.remove, self.path), (os.rmdir, self._directory)):
            try:
                remove(path)
            except OSError as error:
                if error.errno not in (ENOENT, _ENOTEMPTY, EACCES):
                    raise
        try:
            os.mkdir(self._directory)
        except OSError as error:
            if error.errno != EEXIST:
                raise
        piece[:] = bytes(len(piece))
        file = open(self.path, "wb")
        try:
            left = self._size_bytes
            while left:
                size = min(left, len(piece))
                if file.write(piece[:size]) != size:
                    raise OSError(EIO, "short write")
                left -= size
                yield None
            file.flush()
        finally:
            file.close()
        self.open()

    def read(self, number, view):
        """Fill the view from a place on."""
        try:
            file = self._opened()
            file.seek(number * SLOT_BYTES)
            size = min(len(view), self._size_bytes - number * SLOT_BYTES)
            if file.readinto(view[:size]) != size:
                raise OSError(EIO, "short read")
        except OSError:
            self.close()
            raise

    def write(self, number, slot):
        """Write a record and make it durable; after an error once more, and read it back."""
        try:
            self._put(number, slot)
        except OSError:
            self.close()
            self._put(number, slot)
            self.close()
            found = bytearray(SLOT_BYTES)
            self.read(number, memoryview(found))
            if found != slot:
                self.close()
                raise OSError(EIO, "record does not read back")

    def close(self):
        file, self._file = self._file, None
        if file:
            try:
                file.close()
            except OSError as error:  # every record was flushed when it was written
                print("slot_journal: close:", error)

    def _put(self, number, slot):
        try:
            file = self._opened()
            file.seek(number * SLOT_BYTES)
            if file.write(slot) != SLOT_BYTES:
                raise OSError(EIO, "short write")
            file.flush()
        except OSError:
            self.close()
            raise

    def _opened(self):
        if self._file is None and not self.open():
            raise OSError(EIO, "journal has a wrong length")
        return self._file
