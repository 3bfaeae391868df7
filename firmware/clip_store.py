"""The recordings directory: names for new clips, and what lies in it.

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
        """Make the directory if need be. Raises OSError when the card cannot be used."""
        if not is_there(self.directory):
            os.mkdir(self.directory)

    def entries(self):
        """The names in the directory, in the card's order; numbers go on behind the highest."""
        names = os.ilistdir(self.directory)
        while True:
            try:
                name = next(names)[0]
            except StopIteration:
                return
            except UnicodeError:  # a damaged name hides itself, not those after it
                self._log("damaged name in " + self.directory)
                continue
            parsed = parse_clip_name(name)
            if parsed:
                self._next_number = max(self._next_number, parsed[1] + 1)
            yield name

    def new_path(self, trigger):
        path = self.directory + "/" + clip_name(trigger, self._next_number)
        self._next_number += 1
        return path


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
