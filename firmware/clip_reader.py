"""A clip on the card, read from its beginning to its end as the body of one request.

The digest of what is read is kept, and the last piece is only handed out when
the file proves to be the one that was recorded: same length, same MD5.
"""

import asyncio
import hashlib
import os
from errno import ENOENT

from firmware.upload_error import UploadError
from turns import others_due


class ClipReader:
    """Reads `job.path` of `job.size_bytes`; `readinto` and `update` are the file's and the hash's own.

    A body has `offset` (in the file), `size_bytes`, `is_last` (whether the file ends with it).
    """

    offset = 0
    is_last = True
    digest = None

    def __init__(self, job):
        self.job = job
        self._file = None

    def check(self):
        """UploadError unless the file is there in its full length."""
        job = self.job
        try:
            size_bytes = os.stat(job.body_path or job.path)[6]
        except OSError as error:
            raise card_error(error)
        if size_bytes != job.size_bytes:
            may_be_longer = job.is_recovered or job.growth
            if size_bytes < job.size_bytes or not may_be_longer:
                raise changed()

    async def begin(self, view):
        """Make ready to read the body from its beginning; `view` may be overwritten."""
        self._open()
        self.size_bytes = self.job.size_bytes  # a recording may have gone on meanwhile
        self._md5 = hashlib.md5()
        self.update = self._md5.update

    def finish(self, view):
        """Fill the view with what is left, which must be all, and settle `digest`."""
        self._read(view)
        self.update(view)
        self._check_end()
        self.digest = self._md5.digest()
        self.close()
        self._judge()

    async def read_through(self, view):
        """The digest of the whole file, which need not be sent; `view` is overwritten."""
        await self.begin(view)
        await self._read_on(view, self.size_bytes)
        self.digest = self._md5.digest()
        return self.digest

    def close(self):
        file, self._file = self._file, None
        self._md5 = self.readinto = self.update = None
        if file:
            try:
                file.close()
            except OSError as error:  # nothing was written: a card gone now takes nothing with it
                print("clip_reader: close:", error)

    def _open(self):
        """Open the file anew, at the body: a handle does not see what is appended later."""
        self.close()
        try:
            self._file = open(self.job.body_path or self.job.path, "rb")
            if self.offset:
                self._file.seek(self.offset)
        except OSError as error:
            raise card_error(error)
        self.readinto = self._file.readinto

    def _read(self, view):
        """Fill the view."""
        try:
            n = self.readinto(view)
        except OSError as error:
            raise card_error(error)
        if n != len(view):
            raise changed()

    async def _read_on(self, view, size_bytes):
        """Read and hash so many bytes, letting others have their turns."""
        others = others_due()
        while size_bytes:
            piece = view if size_bytes >= len(view) else view[:size_bytes]
            self._read(piece)
            self.update(piece)
            size_bytes -= len(piece)
            if next(others):
                await asyncio.sleep_ms(0)

    def _check_end(self):
        """All has been read: is that the end of the file?"""
        if self.job.is_recovered:
            return  # cut to whole packets: what comes behind them does not count
        try:
            is_longer = self._file.read(1)
        except OSError as error:
            raise card_error(error)
        if is_longer:
            raise changed()

    def _judge(self):
        if self.job.md5 and self.job.md5 != self.digest:
            raise UploadError("LOCAL_CORRUPT", "file is not what was recorded")


def changed():
    """The error for a file that is no longer as long as its job says."""
    return UploadError("FILE_CHANGED", "file has another size than it had")


def card_error(error):
    """What an OSError of the card means for the upload."""
    if error.errno == ENOENT:
        return UploadError("FILE_MISSING", "file is not on the card")
    return UploadError("CARD_ERROR", "cannot read the file: %s" % error)
