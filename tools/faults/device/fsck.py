"""What `fsck.fat -n` finds on a card: an image of it is kept as a sparse file, and brought up to date.

Two files on one cluster are the fault: who deletes one of them destroys the other. What else it names
costs space at most, or is put right by the file system itself when it is next written to.
"""

import os

from ramcard import SECTOR

CROSS_LINKS = "cross_links"
# (what its line has in it, what that is)
_KNOWN = (
    ("share clusters", CROSS_LINKS),
    ("cross-linked", CROSS_LINKS),
    ("Dirty bit is set", "fsck_dirty"),
    ("Free cluster summary wrong", "fsck_free_count"),
    ("Reclaimed", "fsck_orphans"),
    ("cluster chain length is >", "fsck_long_chains"),
    ("FATs differ", "fsck_fats_differ"),
    # A card that keeps a directory's sector and loses that of the table before it does this.
    ("Contains a free cluster", "fsck_short_chains"),
    ("cluster chain length is ", "fsck_short_chains"),
    ("Expected a valid '.", "fsck_directories"),
)
# Lines that go with others, or that tell nothing.
_ALSO = (
    "fsck.fat ",
    "Truncating file to",
    "Leaving filesystem unchanged",
    "Using first FAT",
    "Auto-correcting",
    "Creating",
)
OTHER = "fsck_other"
# What costs nothing but space.
HARMLESS = (
    "fsck_dirty",
    "fsck_free_count",
    "fsck_orphans",
    "fsck_long_chains",
    "fsck_fats_differ",
)
_ZEROS = bytes(SECTOR)


class Fsck:
    """Of cards that are `image` beneath; `folder` is for its files."""

    def __init__(self, image, folder):
        self._image = image
        self._path = folder + "/card.img"
        self._said = folder + "/fsck.txt"
        self._shown = {}  # what the file has above the image
        self._file = open(self._path, "wb")
        self._write(image.count - 1, _ZEROS)
        for sector, data in image.sectors.items():
            self._write(sector, data)

    def findings(self, own):
        """`[(kind, line)]` of the card with the sectors `own` above the image."""
        self._bring_up_to_date(own)
        os.system("fsck.fat -n %s >%s 2>&1 </dev/null" % (self._path, self._said))
        found = []
        with open(self._said) as file:
            lines = [line.strip() for line in file]
        if not lines or "clusters" not in lines[-1]:  # N files, M/K clusters
            return [(OTHER, "no result: " + " / ".join(lines))]
        for line in lines[:-1]:
            kind = _kind(line)
            if kind:
                found.append((kind, line))
        return found

    def _bring_up_to_date(self, own):
        shown, below = self._shown, self._image.sectors
        for sector in [n for n in shown if n not in own]:
            shown.pop(sector)
            self._write(sector, below.get(sector, _ZEROS))
        for sector, data in own.items():
            if shown.get(sector) is not data:
                shown[sector] = data
                self._write(sector, data)

    def _write(self, sector, data):
        self._file.seek(sector * SECTOR)
        self._file.write(data)


def _kind(line):
    for part, kind in _KNOWN:
        if part in line:
            return kind
    if not line or line.startswith("/") or any(line.startswith(part) for part in _ALSO):
        return None
    return OTHER
