"""What the host and the board share: pin levels, link, card slot, reset cause, MAC address, clock.

One byte per thing in anonymous shared memory, which the board reaches through a file descriptor.
The layout is drawn in device/_wires.py. Bytes are written whole, so nobody needs a lock.
"""

import mmap
import os
import struct

GPIOS = 55
_GPIO_IN = 0
_GPIO_OUT = 64
_LINK = 128
_CARD = 129
_RESET_CAUSE = 130
_RAW_REPL = 131
_MAC = 132
_CLOCK = 138
_PROTECTED = 146
_BYTES = 256
_OPEN = 255


class Panel:
    def __init__(self, mac: bytes) -> None:
        self.fd = os.memfd_create("virtual-board")
        os.truncate(self.fd, _BYTES)
        self._bytes = mmap.mmap(self.fd, _BYTES)
        self._bytes[_GPIO_IN:_LINK] = bytes([_OPEN]) * (_LINK - _GPIO_IN)
        self._bytes[_MAC : _MAC + 6] = mac
        self._insertions = 0
        self.set_link(True)
        self.set_card(True)

    def close(self) -> None:
        self._bytes.close()
        os.close(self.fd)

    def reset(self, cause: int, raw_repl: bool) -> None:
        """What a reset does to the chip: no pin is driven any more."""
        self._bytes[_GPIO_OUT:_LINK] = bytes([_OPEN]) * (_LINK - _GPIO_OUT)
        self._bytes[_RESET_CAUSE] = cause
        self._bytes[_RAW_REPL] = raw_repl

    def set_pin(self, gpio: int, level: int | None) -> None:
        self._check(gpio)
        self._bytes[_GPIO_IN + gpio] = _OPEN if level is None else int(bool(level))

    def get_pin(self, gpio: int) -> int | None:
        """The level on the wire: the board's, else the host's; None when nobody drives it."""
        self._check(gpio)
        for level in (self._bytes[_GPIO_OUT + gpio], self._bytes[_GPIO_IN + gpio]):
            if level != _OPEN:
                return level
        return None

    def set_link(self, up: bool) -> None:
        self._bytes[_LINK] = up

    def set_card(self, present: bool) -> None:
        """A card put in again has to be initialised again: each insertion has its number."""
        if present:
            self._insertions = self._insertions % 255 + 1
        self._bytes[_CARD] = self._insertions if present else 0

    def set_protected(self, protected: bool) -> None:
        self._bytes[_PROTECTED] = protected

    def set_clock_offset(self, sec: int) -> None:
        self._bytes[_CLOCK : _CLOCK + 8] = struct.pack("<q", sec)

    @staticmethod
    def _check(gpio: int) -> None:
        if not 0 <= gpio < GPIOS:
            raise ValueError(f"an ESP32-P4 has GPIO 0 to {GPIOS - 1}, not {gpio}")
