"""The file system under test, VfsFat, with somebody looking at what goes through it.

Recordings are followed byte by byte as they are written. Before a recording is removed or written
over, the card is asked through a file system of its own what it holds of it, and the store whether
it holds the same: that is the moment the product's promise is about.
"""

import hashlib
from errno import ENOENT

import vfs
from history import CLIP, FLUSHED, Clip
from ramcard import SECTOR, Reader

ROOT = "/sd"
_RECORDINGS = "/recordings/"
_MOST_UNFLUSHED_BYTES = 65536


class WatchedFat:
    """Face of a VFS. `boot` has `card`, `store`, `note(*event)`, `clips` by path and `blame(kind, text)`."""

    def __init__(self, fat, boot):
        self._fat = fat
        self._boot = boot
        for name in ("umount", "stat", "ilistdir", "mkdir", "rmdir", "statvfs", "chdir", "getcwd"):
            setattr(self, name, getattr(fat, name))

    def mount(self, readonly, mkfs):
        self._fat.mount(readonly, mkfs)

    def open(self, path, mode):
        is_recording = path.startswith(_RECORDINGS)
        if is_recording and "w" in mode:
            self._about_to_lose(path)
        file = self._fat.open(path, mode)
        if not is_recording or mode in ("r", "rb"):
            return file
        if "w" not in mode:
            self._boot.blame("rewritten", "%s opened as %s" % (path, mode))
            return file
        clip = self._boot.clips[path] = Clip(path, bytearray())
        self._boot.note(CLIP, clip)
        return WatchedFile(file, clip, self._boot)

    def remove(self, path):
        if path.startswith(_RECORDINGS):
            self._about_to_lose(path)
        self._fat.remove(path)

    def rename(self, old, new):
        if old.startswith(_RECORDINGS) or new.startswith(_RECORDINGS):
            self._boot.blame("renamed", "%s to %s" % (old, new))
        self._fat.rename(old, new)

    def _about_to_lose(self, path):
        """Blame the camera unless the store holds what the card does."""
        boot, content = self._boot, self._held(path)
        if not content or boot.store.holds(_sha(content)):
            return
        clip = boot.clips.get(path)
        if clip and not clip.is_promised and boot.store.holds_part(content, clip.flushed_bytes):
            return  # it was cut to whole packets, to what can be read
        if clip and clip.is_promised and boot.store.holds(clip.sha):
            boot.deleted_damaged += 1  # the card has it no more as it was delivered
            return
        boot.blame("unverified_deletes", "%s, %d bytes" % (path, len(content)))

    def _held(self, path):
        """What can be read of a file, from its beginning; None for no file."""
        fat = vfs.VfsFat(Reader(self._boot.card))
        try:
            size_bytes = fat.stat(path)[6]
            file = fat.open(path, "rb")
        except OSError as error:
            if error.errno == ENOENT:
                return None
            raise
        content, piece = bytearray(), bytearray(SECTOR)
        try:
            while len(content) < size_bytes:
                content.extend(piece[: file.readinto(piece)])
        except OSError:
            return content  # its clusters end before it does
        finally:
            file.close()
        return content

    def names(self):
        """The recordings that are on the card with at least one byte."""
        fat = vfs.VfsFat(Reader(self._boot.card))
        try:
            return [e[0] for e in fat.ilistdir(_RECORDINGS[:-1]) if e[1] != 0x4000 and e[3]]
        except (OSError, UnicodeError):
            return None


class WatchedFile:
    """A recording in the making, of which no more than a flush's worth may be at stake.

    What is in it may be written over with the same bytes only.
    """

    def __init__(self, file, clip, boot):
        self._file = file
        self._clip = clip
        self._boot = boot
        self._flushed_bytes = self._at = 0

    def write(self, data):
        known, at = self._clip.data, self._at
        if len(known) - self._flushed_bytes >= _MOST_UNFLUSHED_BYTES:
            self._boot.blame("unflushed", self._clip.path)
        again = min(len(known) - at, len(data))
        if known[at : at + again] != bytes(data[:again]):
            self._boot.blame("rewritten", "%s, with other bytes at %d" % (self._clip.path, at))
        known[at : at + len(data)] = data
        self._at += len(data)
        return self._file.write(data)

    def seek(self, position):
        self._at = self._file.seek(position)
        return self._at

    def flush(self):
        self._file.flush()
        self.note_flush()

    def note_flush(self):
        self._flushed_bytes = len(self._clip.data)
        self._clip.flushes += 1
        self._boot.note(FLUSHED, self._clip, self._flushed_bytes)

    def close(self):
        self._file.close()


def _sha(content):
    return hashlib.sha256(content).digest()
