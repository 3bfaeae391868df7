"""A finished clip on the card, read once from its beginning to its end.

The digest of what is read is kept, and the last piece is only handed out when
the file proves to be the one that was recorded: same length, same MD5.
"""

import hashlib
import os
from errno import ENOENT

from firmware.upload_error import UploadError


class ClipReader:
    """Reads `job.path` of `job.size_bytes`; `readinto` and `update` are the file's and the hash's own."""

    def __init__(self, job):
        self._job = job
        self._file = None
        self.digest = None

    def check(self):
        """UploadError unless the file is there in its full length."""
        try:
            size_bytes = os.stat(self._job.path)[6]
        except OSError as error:
            raise card_error(error)
        if size_bytes != self._job.size_bytes:
            raise changed()

    def open(self):
        try:
            self._file = open(self._job.path, "rb")
        except OSError as error:
            raise card_error(error)
        self._md5 = hashlib.md5()
        self.readinto = self._file.readinto
        self.update = self._md5.update

    def read_last(self, view):
        """Fill the view with what is left, which must be all, and settle `digest`."""
        try:
            is_whole = self.readinto(view) == len(view) and not self._file.read(1)
        except OSError as error:
            raise card_error(error)
        if not is_whole:
            raise changed()
        self.update(view)
        self.digest = self._md5.digest()
        self.close()
        if self._job.md5 and self._job.md5 != self.digest:
            raise UploadError("LOCAL_CORRUPT", "file is not what was recorded")

    def close(self):
        file, self._file = self._file, None
        self._md5 = self.readinto = self.update = None
        if file:
            try:
                file.close()
            except OSError as error:  # nothing was written: a card gone now takes nothing with it
                print("clip_reader: close:", error)


def changed():
    """The error for a file that is no longer as long as its job says."""
    return UploadError("FILE_CHANGED", "file has another size than it had")


def card_error(error):
    """What an OSError of the card means for the upload."""
    if error.errno == ENOENT:
        return UploadError("FILE_MISSING", "file is not on the card")
    return UploadError("CARD_ERROR", "cannot read the file: %s" % error)
