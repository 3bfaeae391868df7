"""What must be right before a camera can start, and the plain words for when it is not."""

import os
from errno import ENOENT

from micropython import const

from firmware.config import ConfigError, parse

_CONFIG_BYTES = const(16384)


class StartUpError(Exception):
    """The camera cannot start; `lines` say why and what to do."""

    def __init__(self, *lines):
        super().__init__("; ".join(lines))
        self.lines = lines


def load_config(board):
    """Mount the card and read config.json from it; StartUpError if there is no usable one."""
    try:
        board.mount_card()
    except OSError as error:
        raise StartUpError(
            "the SD card cannot be mounted (%s)" % error,
            "insert a card formatted as FAT16 or FAT32 and reset",
        )
    path = board.card_root + "/config.json"
    text = read_small_file(path, _CONFIG_BYTES)
    try:
        return parse(str(text, "utf-8"))
    except UnicodeError:
        raise StartUpError(path + " is not UTF-8 text")
    except ConfigError as error:
        raise StartUpError(*["%s: %s" % (path, line) for line in error.errors])


def read_small_file(path, most_bytes):
    """The content of a file the camera needs; StartUpError if it is missing, unreadable or too big."""
    try:
        with open(path, "rb") as file:
            content = file.read(most_bytes + 1)
    except OSError as error:
        if error.errno == ENOENT:
            raise StartUpError(path + " is missing: copy it to the card and reset")
        raise StartUpError("%s cannot be read (%s)" % (path, error))
    if len(content) > most_bytes:
        raise StartUpError("%s is larger than %d bytes" % (path, most_bytes))
    return content


def require_file(name, path):
    """StartUpError unless the file is there."""
    try:
        os.stat(path)
    except OSError:
        raise StartUpError("%s: %s is not there" % (name, path))
