"""What must be right before a camera can start, and the plain words for when it is not."""

import os
import sys
from errno import ENOENT

from micropython import const

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
    try:
        text = str(read_small_file(path, _CONFIG_BYTES), "utf-8")
    except UnicodeError:
        raise StartUpError(path + " is not UTF-8 text")
    return _parse(path, text)


def _parse(path, text):
    """What the text configures. The schema serves once, so the 20 KB that it takes are given back."""
    import firmware
    from firmware.config import ConfigError, parse

    try:
        return parse(text)
    except ConfigError as error:
        raise StartUpError(*["%s: %s" % (path, line) for line in error.errors])
    finally:
        del sys.modules["firmware.config"], firmware.config


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
