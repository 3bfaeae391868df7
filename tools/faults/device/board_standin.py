"""The board as the camera sees it: its card is the boot's, everything else is there and in order."""

import random
import time
from errno import ENODEV

from watched import ROOT


class Board:
    card_root = ROOT
    remounts_card = True
    randbits = staticmethod(random.getrandbits)

    def __init__(self, boot):
        self._boot = boot

    def mount_card(self):
        self._boot.mount_card()

    def probe_card(self):
        if self._boot.fat is None:
            raise OSError(ENODEV, "no card is mounted")
        return self._boot.device.probe()

    def start_network(self, **_):
        """It is there."""

    def is_network_up(self):
        return True

    def dns_servers(self):
        return ()

    def motion_sensor(self, gpio, active_level):
        return lambda: self._boot.sees_motion

    def unix_time(self):
        return time.time()

    def set_unix_time(self, unix_sec):
        """It is right."""

    def to_unix(self, file_time):
        return int(file_time)

    def date(self, unix_sec):
        return time.gmtime(unix_sec)

    def buffer(self, size_bytes):
        return memoryview(bytearray(size_bytes))

    def random_bytes(self, n):
        return bytes([random.getrandbits(8) for _ in range(n)])

    def reset(self):
        self._boot.blame("resets", "the camera asked for a reset")

    def feed_watchdog(self, timeout_ms):
        """Nobody watches."""
