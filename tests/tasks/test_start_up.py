"""What keeps a camera from starting is said in words that name the file and the fault."""

import asyncio

from firmware import start_up
from firmware.dialer import Dialer
from firmware.start_up import StartUpError, load_config, read_small_file, require_file
from harness import eq, raises, raises_async, tmp_dir


class FolderBoard:
    def __init__(self, card_root, error=None):
        self.card_root = card_root
        self.error = error

    def mount_card(self):
        if self.error:
            raise self.error


def write(path, content):
    with open(path, "wb") as file:
        file.write(content)
    return path


def lines_of(function, *args):
    return raises(StartUpError, function, *args).lines


def test_a_card_that_cannot_be_mounted():
    lines = lines_of(load_config, FolderBoard(tmp_dir(), OSError(16, "EBUSY")))
    assert lines[0].startswith("the SD card cannot be mounted ("), lines
    assert "FAT16 or FAT32" in lines[1], lines


def test_a_missing_configuration():
    card = tmp_dir()
    eq(
        lines_of(load_config, FolderBoard(card)),
        (card + "/config.json is missing: copy it to the card and reset",),
    )


def test_a_configuration_that_is_no_text():
    card = tmp_dir()
    write(card + "/config.json", b"\xff\xfe{}")
    eq(lines_of(load_config, FolderBoard(card)), (card + "/config.json is not UTF-8 text",))


def test_every_fault_has_a_line():
    card = tmp_dir()
    write(card + "/config.json", b'{"device_id": "a/b", "mqtt": {"port": 0}}')
    lines = lines_of(load_config, FolderBoard(card))
    eq([line.split(": ")[1].split(" is ")[0] for line in lines][:2], ["device_id", "mqtt.host"])
    assert len(lines) == 5, lines


def test_files_of_bounded_size():
    path = write(tmp_dir() + "/x", b"12345")
    eq(read_small_file(path, 5), b"12345")
    eq(lines_of(read_small_file, path, 4), (path + " is larger than 4 bytes",))


def test_a_certificate_that_is_missing_or_none():
    card = tmp_dir()
    dialer = Dialer(lambda: ())
    assert "is missing" in lines_of(dialer.trust, card + "/ca.der")[0]
    write(card + "/ca.der", b"no certificate")
    assert "is no DER certificate" in lines_of(dialer.trust, card + "/ca.der")[0]


def test_a_file_that_must_be_there():
    card = tmp_dir()
    eq(
        lines_of(require_file, "source.path", card + "/x"),
        ("source.path: %s/x is not there" % card,),
    )
    write(card + "/x", b"")
    require_file("source.path", card + "/x")


class LateBoard(FolderBoard):
    """Its card comes after some tries; until then mounting fails as `errors` say, the last for ever."""

    def __init__(self, card_root, errors):
        super().__init__(card_root)
        self.errors, self.tries = list(errors), 0

    def mount_card(self):
        self.tries += 1
        if self.errors:
            raise self.errors.pop(0)


class Clock:
    """In place of start_up's asyncio: waits take no time and are noted."""

    def __init__(self):
        self.waits_ms = []

    def __enter__(self):
        start_up.asyncio = self
        return self

    def __exit__(self, *_):
        start_up.asyncio = asyncio

    async def sleep_ms(self, ms):
        self.waits_ms.append(ms)


CONFIG = b"""{"device_id": "CAM", "mqtt": {"host": "h"},
    "source": {"path": "/sdcard/x"}, "upload": {"allow_insecure_upload": true}}"""


async def test_a_card_that_comes_late_is_waited_for():
    card, said = tmp_dir(), []
    write(card + "/config.json", CONFIG)
    board = LateBoard(card, [OSError(19, "ENODEV")] * 6 + [OSError(16, "EBUSY")])
    with Clock() as clock:
        config = await start_up.wait_for_config(board, said.append)
    eq((config["device_id"], board.tries), ("CAM", 8))
    eq(clock.waits_ms, [1000, 2000, 4000, 8000, 10000, 10000, 10000])
    eq(len([line for line in said if "cannot be mounted" in line]), 2, "once for each reason")


async def test_a_configuration_is_read_once_more_and_then_with_the_card_mounted_anew():
    card, said, failures = tmp_dir(), [], [5, 5, 5]
    write(card + "/config.json", CONFIG)
    whole = start_up._read

    def read(path, most_bytes):
        if failures:
            raise OSError(failures.pop(), "EIO")
        return whole(path, most_bytes)

    board = LateBoard(card, [])
    start_up._read = read
    try:
        with Clock() as clock:
            config = await start_up.wait_for_config(board, said.append)
    finally:
        start_up._read = whole
    eq((config["device_id"], board.tries, clock.waits_ms), ("CAM", 2, [1000]))
    assert "config.json cannot be read" in said[0], said


async def test_a_wrong_configuration_is_not_waited_for():
    card = tmp_dir()
    for content in (None, b"\xff", b"{}"):
        if content is not None:
            write(card + "/config.json", content)
        with Clock() as clock:
            await raises_async(StartUpError, start_up.wait_for_config(LateBoard(card, []), print))
        eq(clock.waits_ms, [])
