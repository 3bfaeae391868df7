"""The recordings directory: what lies in it, and names that never meet again."""

import os

from firmware import clip_store
from firmware.clip_store import ClipStore
from harness import eq, exists, raises, tmp_dir

PACKET = b"\x47" + bytes(187)


def touch(path):
    open(path, "wb").close()


def test_an_empty_card_gets_its_directory():
    directory = tmp_dir() + "/recordings"
    store = ClipStore(directory, print)
    store.open()
    eq(list(store.entries()), [])
    assert exists(directory)
    eq(store.new_path("motion_detection"), directory + "/m0000001.ts")
    eq(store.new_path("security_alert"), directory + "/s0000002.ts")


def test_numbers_go_on_behind_the_highest():
    directory = tmp_dir()
    names = ["OLD-CA~4.TS", "holiday.jpg", "m0000007.ts", "s0000003.ts"]
    for name in names:
        touch(directory + "/" + name)
    store = ClipStore(directory, print)
    store.open()
    eq(sorted(store.entries()), names)
    eq(store.new_path("motion_detection"), directory + "/m0000008.ts")


def test_files_with_their_sizes():
    directory = tmp_dir()
    for name, size_bytes in (("m0000001.ts", 0), ("holiday.jpg", 1000), ("M2.TS", 70000)):
        with open(directory + "/" + name, "wb") as file:
            file.write(bytes(size_bytes))
    os.mkdir(directory + "/m0000002.ts")
    found = sorted(ClipStore(directory, print).files())
    eq(found, [("M2.TS", 70000), ("holiday.jpg", 1000), ("m0000001.ts", 0)])


def test_a_damaged_name_hides_no_other_file():
    entries = [("m0000001.ts", 0x8000, 0, 5), UnicodeError(), ("m0000002.ts", 0x8000, 0, 6)]

    class Damaged:
        def ilistdir(self, path):
            return self

        def __next__(self):
            if not entries:
                raise StopIteration
            entry = entries.pop(0)
            if isinstance(entry, UnicodeError):
                raise entry
            return entry

    whole = clip_store.os
    clip_store.os = Damaged()
    try:
        found = list(ClipStore("/card", print).files())
    finally:
        clip_store.os = whole
    eq(found, [("m0000001.ts", 5), ("m0000002.ts", 6)])


class Chain:
    """Stands for a file of which only the first bytes have clusters."""

    def __init__(self, there_bytes):
        self._there_bytes = there_bytes

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return False

    def seek(self, position):
        if position >= self._there_bytes:
            raise OSError(5, "no cluster")

    def read(self, n):
        return bytes(n)


def test_as_much_of_a_file_as_can_be_read():
    try:
        for there, size_bytes, found in (
            (70000, 70000, 70000),
            (65536, 131072, 65536),
            (65536, 65537, 65536),
            (4096, 1000000, 4096),
            (0, 0, 0),
        ):
            clip_store.open = lambda path, mode, there=there: Chain(there)
            eq(clip_store.readable_bytes("x", size_bytes), found, (there, size_bytes))
        clip_store.open = lambda path, mode: Chain(0)
        raises(OSError, clip_store.readable_bytes, "x", 10000)
    finally:
        del clip_store.open


def test_an_empty_directory_is_made_anew_a_full_one_kept():
    directory = tmp_dir() + "/recordings"
    ClipStore(directory, print).open()
    ClipStore(directory, print).open()
    touch(directory + "/m0000001.ts")
    ClipStore(directory, print).open()
    assert exists(directory + "/m0000001.ts")


def test_only_what_was_delivered_whole_is_deleted():
    path = tmp_dir() + "/m0000001.ts"
    with open(path, "wb") as file:
        file.write(PACKET * 3 + bytes(100))
    raises(OSError, clip_store.remove_delivered, path, 188 * 2)
    assert exists(path)
    clip_store.remove_delivered(path, 188 * 3)
    eq(raises(OSError, clip_store.remove_delivered, path, 188 * 3).errno, 2)


def test_what_lies_behind_a_hole_goes_with_the_file():
    for name, behind, goes in (
        ("m0000001.ts", bytes(188), True),
        ("m0000001.ts", PACKET + bytes(188), True),  # a hole begins at a sector
        ("m0000001.ts", bytes(188) + PACKET * 300, True),
        (
            "m0000001.ts",
            bytes(188) + PACKET * 350,
            False,
        ),  # more than is written between two flushes
        ("m0000001.ts", PACKET, False),
        ("camera.log", bytes(188), False),
    ):
        path = tmp_dir() + "/" + name
        with open(path, "wb") as file:
            file.write(PACKET * 3 + behind)
        if goes:
            clip_store.remove_delivered(path, 188 * 3)
        else:
            eq(raises(OSError, clip_store.remove_delivered, path, 188 * 3).errno, 1)
        eq(exists(path), not goes, "%s, %d bytes" % (name, len(behind)))


def test_a_file_that_does_not_read_to_its_end_stays():
    """Behind a hole that the card itself made, there may be what was not delivered."""
    path = tmp_dir() + "/m0000001.ts"
    with open(path, "wb") as file:
        file.write(PACKET * 3 + bytes(188) * 4)
    try:
        clip_store.open = lambda path, mode: Chain(188 * 5)
        eq(raises(OSError, clip_store.remove_delivered, path, 188 * 3).errno, 1)
    finally:
        del clip_store.open
    assert exists(path)
    clip_store.remove_delivered(path, 188 * 3)


def test_a_card_that_does_not_tell_is_not_an_empty_one():
    class Failing:
        def stat(self, path):
            raise OSError(5, "card")

    whole = clip_store.os
    clip_store.os = Failing()
    try:
        eq(raises(OSError, clip_store.is_there, "x").errno, 5)
    finally:
        clip_store.os = whole
    assert not clip_store.is_there(tmp_dir() + "/x")
