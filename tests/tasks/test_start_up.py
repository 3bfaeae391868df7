"""What keeps a camera from starting is said in words that name the file and the fault."""

from firmware.dialer import Dialer
from firmware.start_up import StartUpError, load_config, read_small_file, require_file
from harness import eq, raises, tmp_dir


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
    assert len(lines) == 4, lines


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
