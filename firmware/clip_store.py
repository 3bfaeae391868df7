"""The recordings directory: names for new clips, and what lies in it.

Names are numbered on from the highest number on the card, so that no clip ever
gets the name of one that is still there.
"""

import os
from errno import EIO, ENOENT, EPERM

from micropython import const

from firmware.messages import base_name
from firmware.trigger import clip_name, parse_clip_name
from mpegts import PACKET_BYTES

_DIRECTORY = const(0x4000)
_FLUSH_BYTES = const(65536)  # what a recording writes between two flushes
_PACKETS_READ = const(4)
_SYNC = const(0x47)
_SECTOR_BYTES = const(512)


class ClipStore:
    def __init__(self, directory, log):
        self.directory = directory
        self._log = log
        self._next_number = 1

    def open(self):
        """Make the directory if need be. Raises OSError when the card cannot be used.

        An empty one is made anew: a power cut may have left its name on the card
        without its cluster, which the first clip would then be written over.
        """
        if is_there(self.directory):
            for _ in self._names():
                return
            try:
                os.rmdir(self.directory)
            except OSError as error:
                return self._log("%s stays as it is (%s)" % (self.directory, error))
        try:
            os.mkdir(self.directory)
        except OSError:
            os.mkdir(self.directory)  # a card that fails once is none to give up

    def entries(self):
        """The names in the directory, in the card's order; numbers go on behind the highest."""
        for name in self._names():
            parsed = name and parse_clip_name(name)
            if parsed:
                self._next_number = max(self._next_number, parsed[1] + 1)
            if name:
                yield name
            else:
                self._log("damaged name in " + self.directory)

    def new_path(self, trigger):
        path = self.directory + "/" + clip_name(trigger, self._next_number)
        self._next_number += 1
        return path

    def files(self):
        """`(name, size_bytes)` of every file, in the card's order, but for those with damaged names."""
        entries = os.ilistdir(self.directory)
        while True:
            try:
                entry = next(entries)
            except StopIteration:
                return
            except UnicodeError:
                continue
            if entry[1] != _DIRECTORY:
                # FAT tells the size at once; other file systems have to be asked.
                yield entry[0], entry[3] if len(entry) > 3 else self._size(entry[0])

    def _size(self, name):
        try:
            return file_facts(self.directory + "/" + name)[0]
        except OSError as error:
            if error.errno != ENOENT:
                raise
            return 0  # it was deleted meanwhile

    def _names(self):
        """All names, None for a damaged one, which hides itself but not those after it."""
        names = os.ilistdir(self.directory)
        while True:
            try:
                yield next(names)[0]
            except StopIteration:
                return
            except UnicodeError:
                yield None


def is_there(path):
    """Whether there is such a file or directory; OSError when the card does not tell."""
    try:
        os.stat(path)
    except OSError as error:
        if error.errno != ENOENT:
            raise
        return False
    return True


def readable_bytes(path, size_bytes):
    """How much of a file can be read: a power cut may leave a length without all of its clusters.

    Whole sectors where it is less than all. OSError when nothing can be read.
    """
    if not size_bytes or _can_read(path, size_bytes - 1):
        return size_bytes
    good, bad = 0, size_bytes // _SECTOR_BYTES + 1
    while bad - good > 1:
        middle = (good + bad) // 2
        if _can_read(path, middle * _SECTOR_BYTES - 1):
            good = middle
        else:
            bad = middle
    if not good:
        raise OSError(EIO, "nothing of it can be read")
    return good * _SECTOR_BYTES


def sound_bytes(path, size_bytes):
    """How much of a recording that was broken off is good: whole packets up to the first hole.

    What was written between the last two flushes may have holes, of zeros or garbage: whole
    sectors, none of which is without the beginning of a packet. What the card does not give is
    a hole, too. OSError when nothing can be read.
    """
    good = readable_bytes(path, size_bytes)
    good -= good % PACKET_BYTES
    at = max(0, good - _FLUSH_BYTES)
    at -= at % PACKET_BYTES
    piece = memoryview(bytearray(_PACKETS_READ * PACKET_BYTES))
    with open(path, "rb") as file:
        file.seek(at)
        while at < good:
            try:
                n = file.readinto(piece[: min(len(piece), good - at)])
            except OSError:
                return at
            for start in range(0, n, PACKET_BYTES):
                if piece[start] != _SYNC:
                    hole = at + start - (at + start) % _SECTOR_BYTES
                    return hole - hole % PACKET_BYTES
            if not n:
                return at
            at += n
    return good


def _can_read(path, position):
    try:
        with open(path, "rb") as file:
            file.seek(position)
            return len(file.read(1)) == 1
    except OSError:
        return False


def file_facts(path):
    """`(size_bytes, changed)`, the latter in the file system's seconds; OSError if it is not there."""
    facts = os.stat(path)
    return facts[6], facts[8]


def remove_delivered(path, delivered_bytes):
    """Delete a file of which so much was delivered.

    OSError if it is gone, or if there is a packet in it that was not delivered, for
    a damaged card did not give it: such a file stays. What a power cut left behind a
    hole was never promised, and goes; but not if the file does not read to its end, for
    then the hole may be the card's.
    """
    size_bytes = file_facts(path)[0]
    more_bytes = size_bytes - delivered_bytes
    if more_bytes >= PACKET_BYTES:
        is_rest = parse_clip_name(base_name(path)) is not None and more_bytes <= _FLUSH_BYTES
        if not (is_rest and _can_read(path, size_bytes - 1) and _is_hole(path, delivered_bytes)):
            raise OSError(EPERM, "more is in it than was delivered")
    os.remove(path)


def _is_hole(path, position):
    """Whether the packet there, or the next one, has no beginning. OSError when it cannot be read."""
    with open(path, "rb") as file:
        for start in (position, position + PACKET_BYTES):
            file.seek(start)
            packet = file.read(PACKET_BYTES)
            if len(packet) == PACKET_BYTES and packet[0] != _SYNC:
                return True
    return False
