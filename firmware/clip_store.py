"""The recordings directory: names for new clips, and the clips an earlier run left.

Names are numbered on from the highest number on the card, so that no clip ever
gets the name of one that is still there.
"""

import os

from firmware.trigger import clip_name, parse_clip_name


class ClipStore:
    def __init__(self, directory, log):
        self.directory = directory
        self._log = log
        self._next_number = 1

    def open(self):
        """Make the directory if need be and list the clips in it: `(path, trigger)`, oldest first.

        Names that are not ours are left alone. Raises OSError when the card cannot be read.
        """
        if not is_there(self.directory):
            os.mkdir(self.directory)
        found = []
        for entry in self._entries():
            parsed = parse_clip_name(entry)
            if parsed is None:
                self._log("not a clip, left alone: %s/%s" % (self.directory, entry))
                continue
            found.append((parsed[1], parsed[0], self.directory + "/" + entry))
            self._next_number = max(self._next_number, parsed[1] + 1)
        return [(path, trigger) for _, trigger, path in sorted(found)]

    def new_path(self, trigger):
        path = self.directory + "/" + clip_name(trigger, self._next_number)
        self._next_number += 1
        return path

    def _entries(self):
        entries = os.ilistdir(self.directory)
        while True:
            try:
                yield next(entries)[0]
            except StopIteration:
                return
            except UnicodeError:  # a damaged name hides itself, not those after it
                self._log("damaged name in " + self.directory)


def is_there(path):
    try:
        os.stat(path)
    except OSError:
        return False
    return True


def file_facts(path):
    """`(size_bytes, changed)`, the latter in the file system's seconds; OSError if it is not there."""
    facts = os.stat(path)
    return facts[6], facts[8]
