"""A card of a few MiB that gets full: real FAT on MicroPython, a folder with a limit on CPython."""

import os

from harness import tmp_dir

try:
    import vfs
except ImportError:
    vfs = None

ENOSPC = 28
SECTOR = 512
_ZEROS = bytes(SECTOR)
_CLUSTER = 2048
_PIECE = 65536


def small_card(mib):
    return FatCard(mib) if vfs else FolderCard(mib)


class Sectors:
    """A block device in memory that keeps what is not zero."""

    def __init__(self, count):
        self._count = count
        self._sectors = {}

    def readblocks(self, first, buf):
        for at in range(0, len(buf), SECTOR):
            buf[at : at + SECTOR] = self._sectors.get(first) or _ZEROS
            first += 1

    def writeblocks(self, first, buf):
        for at in range(0, len(buf), SECTOR):
            data = bytes(buf[at : at + SECTOR])
            if data != _ZEROS:
                self._sectors[first] = data
            elif first in self._sectors:
                del self._sectors[first]
            first += 1

    def ioctl(self, op, arg):
        return {4: self._count, 5: SECTOR}.get(op, 0)


class FatCard:
    _mounted = []
    _piece = memoryview(bytes(_PIECE))  # of all: mounted cards stay

    def __init__(self, mib):
        self.root = "/small_card%d" % len(self._mounted)
        self._mounted.append(self.root)
        sectors = Sectors(mib * 2048)
        vfs.VfsFat.mkfs(sectors)
        vfs.mount(vfs.VfsFat(sectors), self.root)

    def statvfs(self):
        return os.statvfs(self.root)

    def write(self, path, size_bytes, grown=None):
        """A file of so many bytes; grown(bytes) after each flush. OSError when the card is full."""
        with open(path, "wb") as file:
            for at in range(0, size_bytes, _PIECE):
                size = min(_PIECE, size_bytes - at)
                if file.write(self._piece[:size]) != size:
                    raise OSError(ENOSPC, "full")
                file.flush()
                if grown:
                    grown(at + size)


class FolderCard:
    def __init__(self, mib):
        self.root = tmp_dir()
        self._clusters = mib * 1024 * 1024 // _CLUSTER

    def statvfs(self):
        used = 0
        for folder, _, names in os.walk(self.root):
            for name in names:
                used += -(-os.stat(folder + "/" + name).st_size // _CLUSTER)
        free = self._clusters - used
        return (_CLUSTER, _CLUSTER, self._clusters, free, free, 0, 0, 0, 0, 255)

    def write(self, path, size_bytes, grown=None):
        free = self.statvfs()[3] * _CLUSTER
        with open(path, "wb") as file:
            for at in range(0, size_bytes, _PIECE):
                size = min(_PIECE, size_bytes - at)
                if at + size > free:
                    raise OSError(ENOSPC, "full")
                file.write(bytes(size))
                file.flush()
                if grown:
                    grown(at + size)
