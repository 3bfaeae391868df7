"""The recordings directory: what lies in it, and names that never meet again."""

from firmware.clip_store import ClipStore
from harness import eq, exists, tmp_dir


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
