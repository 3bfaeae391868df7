"""The flash partition "vfs" of the virtual board: a file seen as 4 KiB erase blocks."""

import _wires
import vfs
from micropython import const

_BLOCK_BYTES = const(4096)


class Partition:
    """Block device with the extended protocol littlefs needs, as esp32.Partition has it."""

    def __init__(self, image):
        self._image = image
        self._blocks = image.seek(0, 2) // _BLOCK_BYTES

    def readblocks(self, block, buf, offset=0):
        self._image.seek(block * _BLOCK_BYTES + offset)
        self._image.readinto(buf)

    def writeblocks(self, block, buf, offset=0):
        self._image.seek(block * _BLOCK_BYTES + offset)
        self._image.write(buf)

    def ioctl(self, op, argument):
        if op == 4:
            return self._blocks
        if op == 5:
            return _BLOCK_BYTES
        return 0  # init, deinit, sync and erase: a file needs none of them

    def is_blank(self):
        first = bytearray(_BLOCK_BYTES)
        self.readblocks(0, first)
        return first == bytes(_BLOCK_BYTES)


def mount():
    """Mount the flash at "/", formatting a blank one; OSError when it holds something else."""
    partition = Partition(_wires.flash)
    if partition.is_blank():
        vfs.VfsLfs2.mkfs(partition)
    vfs.mount(partition, "/")
