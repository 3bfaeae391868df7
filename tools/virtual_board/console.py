"""What a UART and its interrupt character do for one life of the chip.

Ctrl-C is no character while a program runs: it interrupts. It is one at the prompt. Ctrl-C that
comes before boot.py waits for it. A soft reset out of the raw REPL comes back to the raw REPL;
the unix port always starts with the friendly one, so it is sent Ctrl-A first of all.
"""

import time

from tools.virtual_board.process import Chip

_RAW_PROMPT = b"raw REPL; CTRL-B to exit\r\n"
_FRIENDLY_PROMPT = b'Type "help()" for more information.\r\n'
_CTRL_A, _CTRL_C = b"\x01", b"\x03"
_HELD_BYTES = 65536
# A second Ctrl-C before the first was noticed makes the unix port exit.
_INTERRUPT_GAP_SEC = 0.1


class Console:
    def __init__(self, chip: Chip, raw_repl: bool) -> None:
        self.raw_repl = raw_repl
        self.is_booting = True
        self._chip = chip
        self._held: bytearray | None = bytearray() if raw_repl else None
        self._interrupt_waits = False
        self._unnoticed_since = 0.0
        self._tail = b""

    def typed(self, data: bytes) -> None:
        """Take what came in over the serial port."""
        first, *others = data.split(_CTRL_C)
        self._put(first)
        for part in others:
            self._interrupt()
            self._put(part)

    def _put(self, data: bytes) -> None:
        if self._held is None:
            self._chip.type(data)
        elif len(self._held) + len(data) <= _HELD_BYTES:
            self._held += data

    def _interrupt(self) -> None:
        now = time.monotonic()
        if self.is_booting:
            self._interrupt_waits = True
        elif now - self._unnoticed_since > _INTERRUPT_GAP_SEC:
            if self._chip.interrupt():
                self._unnoticed_since = now
            else:
                self._put(_CTRL_C)

    def printed(self, data: bytes) -> None:
        """Follow the prompt's mode through what the interpreter prints when it changes."""
        if not data:
            return
        self._unnoticed_since = 0.0
        seen = self._tail + data
        raw, friendly = seen.rfind(_RAW_PROMPT), seen.rfind(_FRIENDLY_PROMPT)
        if raw != friendly:
            self.raw_repl = raw > friendly
        self._tail = seen[1 - len(_FRIENDLY_PROMPT) :]

    def booted(self) -> None:
        """boot.py is about to run: from here on Ctrl-C can interrupt."""
        self.is_booting = False
        if self._interrupt_waits:
            self._interrupt()

    def prompted(self) -> None:
        """The prompt comes next."""
        if self._held is not None:
            self._chip.type(_CTRL_A + self._held)
            self._held = None
