"""The whole camera as a program for either interpreter, with a folder for its card.

    CARD_ROOT=DIR INTERPRETER tests/run_device.py tests/live/camera_device.py serve

Runs what main.py runs, on a board without hardware: the network is the host's, the PIR sees
motion while the card's folder holds a file named `motion`.

While the folder holds a file named `heap`, the heap is looked at in every turn of the loop,
garbage not counted, and the most that was in use is told once the file is gone.

FREEZE_AT names a point where the program stands still for good, to be killed there: the first
`remove` of a file, or the first line on the console that has the text behind `log:`.
"""

import asyncio
import gc
import os
import random
import time

gc.threshold(16384)  # as boot.py does, before anything big is imported

from firmware import app, clip_store  # noqa: E402

HEAP_CHECK_MS = 50


class FolderBoard:
    randbits = staticmethod(random.getrandbits)

    def __init__(self, card_root):
        self.card_root = card_root

    remounts_card = True

    def mount_card(self):
        os.stat(self.card_root)

    def probe_card(self):
        os.stat(self.card_root)
        return False

    def start_network(self, *, interface, ssid, password):
        """The host's network is up."""

    def is_network_up(self):
        return True

    def dns_servers(self):
        return ()

    def motion_sensor(self, gpio, active_level):
        return lambda: is_there(self.card_root + "/motion")

    def unix_time(self):
        return int(time.time())

    def set_unix_time(self, unix_sec):
        """The host keeps its own."""

    def to_unix(self, file_time):
        return int(file_time)

    def date(self, unix_sec):
        return time.gmtime(unix_sec)

    def buffer(self, size_bytes):
        return memoryview(bytearray(size_bytes))

    def random_bytes(self, n):
        return os.urandom(n)

    def reset(self):
        raise SystemExit("the camera asked for a reset")

    def feed_watchdog(self, timeout_ms):
        """Nobody watches."""


class FreezingOs:
    """The module `os`, but the first `remove` never comes back."""

    def __getattr__(self, name):
        return getattr(os, name)

    def remove(self, path):
        freeze("remove " + path)


def is_there(path):
    try:
        os.stat(path)
    except OSError:
        return False
    return True


def freeze(point):
    print("frozen at", point)
    while True:
        time.sleep(1)


def prepare_freeze(point):
    """Stand still where FREEZE_AT says."""
    if point == "remove":
        clip_store.os = FreezingOs()
    elif point.startswith("log:"):
        plain, text = app.log, point[4:]

        def log(line, error=None):
            plain(line, error)
            if text in line:
                freeze(line)

        app.log = log


async def watch_heap(marker):
    """Tell the most heap in use while the marker file is there. CPython knows no such figure."""
    in_use = getattr(gc, "mem_alloc", lambda: 0)
    while True:
        while not is_there(marker):
            await asyncio.sleep_ms(HEAP_CHECK_MS)
        print("heap is watched")
        peak = 0
        while is_there(marker):
            gc.collect()
            peak = max(peak, in_use())
            await asyncio.sleep_ms(0)
        gc.collect()
        print(f"heap peak {peak} rest {in_use()}")


async def serve():
    card_root = os.getenv("CARD_ROOT")
    prepare_freeze(os.getenv("FREEZE_AT") or "")
    watching = asyncio.create_task(watch_heap(card_root + "/heap"))
    try:
        await app.main(FolderBoard(card_root))
    finally:
        watching.cancel()
