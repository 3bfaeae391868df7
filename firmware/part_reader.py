"""A clip on the card, read part by part, with the MD5 of each part, of all, and of the parts' MD5s.

    parts:   | 1 | 2 | 3 |  4 ..... | 5 ...
              covered     `_is_torn`: begun, not ended

What the store gets is what was hashed: a part's first reading goes into all
digests; when it is sent again, it must be read as it was the first time.
"""

import hashlib
from binascii import hexlify

from firmware.clip_reader import ClipReader
from firmware.upload_error import UploadError


class PartReader(ClipReader):
    """The body is the part that was selected; `covered` leading parts are in the digests."""

    def __init__(self, job, part_size):
        super().__init__(job)
        self._part_size = part_size
        self._restart()

    def select(self, number):
        """Make this part the body."""
        growth, left = self.job.growth, self.job.size_bytes - (number - 1) * self._part_size
        self.number = number
        self.offset = (number - 1) * self._part_size
        self.size_bytes = min(self._part_size, left)
        self.is_last = left <= self._part_size and (growth is None or growth.is_done)

    async def cover(self, parts, view):
        """Read what is missing of so many leading parts; one more may be covered already."""
        if self.covered > parts + 1:
            self._restart()
        while self.covered < parts:
            self.select(self.covered + 1)
            await self._read_first(view)

    async def begin(self, view):
        """Make ready to read the selected part, the first one that is not covered or the last that is."""
        if self._is_torn:
            await self._read_first(view)
        self._open()
        if self.covered < self.number:
            self._begin_first()
        else:
            self._again = hashlib.md5()
            self.update = self._again.update

    def finish(self, view):
        self._read(view)
        self.update(view)
        if self._is_torn:
            self._settle()
        elif self._again.digest() != self.part_digest:
            raise UploadError("CARD_ERROR", "the card gives other bytes than before")

    def end(self):
        """All parts are covered: settle `digest`, the MD5 of all, if that is not done."""
        if self.digest is None:
            self.digest = self._whole.digest()
            self._judge()

    def parts_digest(self):
        """What S3 calls the ETag of an object in parts; once only."""
        return "%s-%d" % (hexlify(self._over_parts.digest()).decode(), self.covered)

    def _restart(self):
        self.covered, self._is_torn = 0, False
        self.part_digest = self.digest = None
        self._whole, self._over_parts = hashlib.md5(), hashlib.md5()

    def _begin_first(self):
        self._is_torn = True
        self._part = hashlib.md5()
        self._update_whole, self._update_part = self._whole.update, self._part.update
        self.update = self._update_both

    def _update_both(self, view):
        self._update_whole(view)
        self._update_part(view)

    async def _read_first(self, view):
        """Read the selected part without sending it, or what is left of it."""
        if self._is_torn:
            left = self.offset + self.size_bytes - self._file.tell()
        else:
            left = self.size_bytes
            self._open()
            self._begin_first()
        await self._read_on(view, left)
        self._settle()

    def _settle(self):
        self._is_torn = False
        self.part_digest = self._part.digest()
        self._over_parts.update(self.part_digest)
        self.covered += 1
        if self.is_last:
            self._check_end()
            self.end()
