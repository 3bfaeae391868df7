"""A memory card in memory: a block device for VfsFat, whose every sector written can be followed.

Beneath lies an image that is never written to, a dict of sectors; what a boot writes lies above it
in a dict of its own. A card that is off answers everything with success and does nothing: handles
that outlive their boot may still be flushed by the garbage collector.
"""

from errno import EIO

SECTOR = 512

_SYNC, _COUNT, _SIZE = 3, 4, 5
_ZEROS = bytes(SECTOR)

WRITE, READ = "write", "read"


class Card:
    """`own` is written to; `history` (or None) is told of every sector; `trouble` (or None) may refuse."""

    def __init__(self, image, own, history=None, trouble=None):
        self._image = image
        self._own = own
        self._history = history
        self._trouble = trouble
        self.is_on = True
        self.reads = self.writes = 0

    def readblocks(self, first, buf):
        if not self.is_on:
            return 0
        self.reads += 1
        if self._trouble and self._trouble.strikes(READ):
            return -EIO
        own, below = self._own.get, self._image.sectors.get
        if len(buf) == SECTOR:
            buf[:] = own(first) or below(first) or _ZEROS
            return 0
        for at in range(0, len(buf), SECTOR):
            buf[at : at + SECTOR] = own(first) or below(first) or _ZEROS
            first += 1
        return 0

    def writeblocks(self, first, buf):
        if not self.is_on:
            return 0
        self.writes += 1
        if self._trouble and self._trouble.strikes(WRITE):
            return -EIO
        own, history = self._own, self._history
        for at in range(0, len(buf), SECTOR):
            data = bytes(buf[at : at + SECTOR])
            if data == _ZEROS:
                data = _ZEROS  # a journal is made of thousands of them
            own[first] = data
            if history:
                history.wrote(first, data)
            first += 1
        return 0

    def ioctl(self, op, arg):
        if op == _SYNC and self._history and self.is_on:
            self._history.synced()
        if op == _COUNT:
            return self._image.count
        if op == _SIZE:
            return SECTOR
        return 0


class Reader:
    """The same card for a second file system, which sees what is on it and changes nothing."""

    def __init__(self, card):
        self._card = card
        self.ioctl = card.ioctl

    def readblocks(self, first, buf):
        trouble, self._card._trouble = self._card._trouble, None
        try:
            return self._card.readblocks(first, buf)
        finally:
            self._card._trouble = trouble


class Trouble:
    """Refuses requests of one kind from number `first` on: `count` of them, None for ever.

    With `takes_all` the card is gone from then on, whatever is asked of it.
    """

    def __init__(self, kind, first, count=None, takes_all=False):
        self._kind, self._first, self._count = kind, first, count
        self._takes_all = takes_all
        self.seen = 0
        self.struck = 0

    def strikes(self, kind):
        if kind != self._kind:
            return self._takes_all and self.struck > 0
        number = self.seen
        self.seen += 1
        if number < self._first or (self._count is not None and self.struck >= self._count):
            return False
        self.struck += 1
        return True


class Image:
    """A card as mkfs.fat made it, out of a file: the count of sectors, then number and bytes of each."""

    def __init__(self, path):
        self.sectors = {}
        with open(path, "rb") as file:
            self.count = int.from_bytes(file.read(4), "little")
            while True:
                number = file.read(4)
                if not number:
                    break
                self.sectors[int.from_bytes(number, "little")] = file.read(SECTOR)
