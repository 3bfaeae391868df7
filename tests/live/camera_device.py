"""The whole camera as a program for either interpreter, with a folder for its card.

    CARD_ROOT=DIR INTERPRETER tests/run_device.py tests/live/camera_device.py serve

Runs what main.py runs, on a board without hardware: the network is the host's, the PIR sees
motion while the card's folder holds a file named `motion`.
"""

import gc
import os
import random
import time

gc.threshold(16384)  # as boot.py does, before anything big is imported

from firmware.app import main  # noqa: E402


class FolderBoard:
    randbits = staticmethod(random.getrandbits)

    def __init__(self, card_root):
        self.card_root = card_root

    def mount_card(self):
        os.stat(self.card_root)

    def start_network(self, *, interface, ssid, password):
        """The host's network is up."""

    def is_network_up(self):
        return True

    def dns_servers(self):
        return ()

    def motion_sensor(self, gpio, active_level):
        def sees_motion():
            try:
                os.stat(self.card_root + "/motion")
            except OSError:
                return False
            return True

        return sees_motion

    def unix_time(self):
        return int(time.time())

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


async def serve():
    await main(FolderBoard(os.getenv("CARD_ROOT")))
