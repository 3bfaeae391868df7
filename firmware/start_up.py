"""What must be right before a camera can start, and the plain words for when it is not.

A card may come later, or work when it is tried again: that is waited for. What is written on
it is not: a wrong configuration stays wrong.
"""

import asyncio
import os
import sys
from errno import ENOENT

from micropython import const

from backoff import ceiling_ms

_CONFIG_BYTES = const(16384)
_PAUSE_MS = const(1000)
_LONGEST_PAUSE_MS = const(10000)


class StartUpError(Exception):
    """The camera cannot start; `lines` say why and what to do."""

    def __init__(self, *lines):
        super().__init__("; ".join(lines))
        self.lines = lines


class NoCardError(StartUpError):
    """There is no card that can be read, as yet."""


async def wait_for_config(board, log):
    """As load_config, but once there is a card: `log` tells what is missing until then."""
    return await wait_for_card(board, lambda: _read_config(board), log)


async def wait_for_card(board, begin, log, is_mounted=False):
    """What `begin()` gives once it raises no NoCardError; the card is mounted before each try."""
    said, tries = None, 0
    while True:
        try:
            if tries or not is_mounted:
                _mount(board)
            return begin()
        except NoCardError as error:
            if error.lines != said:
                said = error.lines
                for line in said:
                    log("camera not started: " + line)
        await asyncio.sleep_ms(ceiling_ms(_PAUSE_MS, _LONGEST_PAUSE_MS, tries))
        tries += 1


def load_config(board):
    """Mount the card and read config.json from it; StartUpError if there is no usable one."""
    _mount(board)
    return _read_config(board)


def _mount(board):
    try:
        board.mount_card()
    except OSError as error:
        raise NoCardError(
            "the SD card cannot be mounted (%s)" % error,
            "insert a card formatted as FAT16 or FAT32: it is waited for",
        )


def _read_config(board):
    path = board.card_root + "/config.json"
    try:
        text = str(read_small_file(path, _CONFIG_BYTES), "utf-8")
    except UnicodeError:
        raise StartUpError(path + " is not UTF-8 text")
    return _parse(path, text)


def _parse(path, text):
    """What the text configures. The schema serves once, so the 30 KB that it takes are given back."""
    import firmware
    from firmware.config import ConfigError, parse

    try:
        return parse(text)
    except ConfigError as error:
        raise StartUpError(*["%s: %s" % (path, line) for line in error.errors])
    finally:
        del sys.modules["firmware.config"], sys.modules["firmware.config_kinds"]
        del firmware.config, firmware.config_kinds


def read_small_file(path, most_bytes):
    """The content of a file the camera needs; StartUpError if it is missing, unreadable or too big."""
    try:
        content = twice(_read, path, most_bytes + 1)
    except OSError as error:
        if error.errno == ENOENT:
            raise StartUpError(path + " is missing: copy it to the card and reset")
        raise NoCardError("%s cannot be read (%s)" % (path, error))
    if len(content) > most_bytes:
        raise StartUpError("%s is larger than %d bytes" % (path, most_bytes))
    return content


def _read(path, most_bytes):
    with open(path, "rb") as file:
        return file.read(most_bytes)


def twice(ask, *arguments):
    """What the card answers; one that fails once is none to give up."""
    try:
        return ask(*arguments)
    except OSError as error:
        if error.errno == ENOENT:
            raise
    return ask(*arguments)


def require_file(name, path):
    """StartUpError unless the file is there."""
    try:
        twice(os.stat, path)
    except OSError as error:
        if error.errno == ENOENT:
            raise StartUpError("%s: %s is not there" % (name, path))
        raise NoCardError("%s: %s cannot be looked at (%s)" % (name, path, error))
