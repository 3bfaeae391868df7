"""The recordings directory: adopted clips, and names that never meet again."""

import os

from firmware.clip_store import ClipStore
from harness import eq, exists, tmp_dir


def touch(path):
    open(path, "wb").close()


def test_an_empty_card_gets_its_directory():
    directory = tmp_dir() + "/recordings"
    store = ClipStore(directory, print)
    eq(store.open(), [])
    assert exists(directory)
    eq(store.new_path("motion_detection"), directory + "/m0000001.ts")
    eq(store.new_path("security_alert"), directory + "/s0000002.ts")


def test_old_clips_are_listed_by_age_and_numbers_go_on():
    directory, lines = tmp_dir(), []
    for name in ("m0000007.ts", "s0000003.ts", "OLD-CA~4.TS", "holiday.jpg"):
        touch(directory + "/" + name)
    store = ClipStore(directory, lines.append)
    eq(
        store.open(),
        [
            (directory + "/s0000003.ts", "security_alert"),
            (directory + "/m0000007.ts", "motion_detection"),
        ],
    )
    eq(len(lines), 2, "foreign names are reported")
    eq(store.new_path("motion_detection"), directory + "/m0000008.ts")
    assert "holiday.jpg" in os.listdir(directory)
