"""What each sector of a FAT16 or FAT32 volume is for, found without the file system under test."""

import struct

from ramcard import SECTOR

_DIRECTORY = 0x10
_LABEL = 0x08
_ENTRY = 32
_MOST_CLUSTERS = 64  # of a directory here: a damaged chain must end


class Layout:
    """Of the volume that `read(sector)` gives the sectors of; it need not be in order."""

    def __init__(self, read):
        self._read = read
        boot = read(0)
        self._cluster_sectors = boot[13]
        reserved, fats, entries, _, _, fat_sectors = struct.unpack_from("<HBHHBH", boot, 14)
        self._is_fat32 = fat_sectors == 0
        if self._is_fat32:
            fat_sectors = struct.unpack_from("<I", boot, 36)[0]
        self._fat_at = reserved
        self._root_at = reserved + fats * fat_sectors
        self._data_at = self._root_at + (entries * _ENTRY + SECTOR - 1) // SECTOR
        self._directories = {}  # sector: path
        if self._is_fat32:
            self._walk("/", self._chain(struct.unpack_from("<I", boot, 44)[0]))
        else:
            self._walk("/", range(self._root_at, self._data_at))

    def kind(self, sector):
        """`boot`, `fat`, the path of a directory with a slash behind, or `data`."""
        if sector < self._fat_at:
            return "boot"
        if sector < self._root_at:
            return "fat"
        return self._directories.get(sector, "data")

    def _walk(self, path, sectors):
        for sector in sectors:
            self._directories[sector] = path
        for sector in sectors:
            data = self._read(sector)
            for at in range(0, SECTOR, _ENTRY):
                if data[at] == 0:
                    return
                flags = data[at + 11]
                if data[at] in (0xE5, 0x2E) or not flags & _DIRECTORY or flags & _LABEL:
                    continue
                name = data[at : at + 8].decode().strip().lower()
                high, low = struct.unpack_from("<H", data, at + 20)[0], data[at + 26 : at + 28]
                first = high << 16 | int.from_bytes(low, "little")
                self._walk(path + name + "/", self._chain(first))

    def _chain(self, cluster):
        sectors = []
        for _ in range(_MOST_CLUSTERS):
            if cluster < 2 or cluster >= (0x0FFFFFF8 if self._is_fat32 else 0xFFF8):
                break
            first = self._data_at + (cluster - 2) * self._cluster_sectors
            sectors += range(first, first + self._cluster_sectors)
            cluster = self._next(cluster)
        return sectors

    def _next(self, cluster):
        width = 4 if self._is_fat32 else 2
        at = cluster * width
        data = self._read(self._fat_at + at // SECTOR)
        value = int.from_bytes(data[at % SECTOR : at % SECTOR + width], "little")
        return value & 0x0FFFFFFF
