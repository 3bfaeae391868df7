"""What happens to a virtual board, in the one thread that owns its process and serial port.

    off --power_on--> booting --boot.py starts--> running --process ends--> soft reset
                        ^                          |--reset(), WDT bite, crash--> reset
                        '----------- a new process takes over -----------------------'
    power_cut: SIGKILL in any state --> off

The watchdog goes on through soft resets; only it and the power can end a hung board.
"""

import enum
import os
import select
import signal
from collections.abc import Callable
from concurrent.futures import Future

from tools.virtual_board.console import Console
from tools.virtual_board.loop import Loop
from tools.virtual_board.panel import Panel
from tools.virtual_board.process import Chip
from tools.virtual_board.serial_log import SerialLog
from tools.virtual_board.serial_port import SerialPort
from tools.virtual_board.watchdog import Watchdog

_CHUNK_BYTES = 4096
_CLOGGED_POLL_SEC = 0.1


class ResetCause(enum.IntEnum):
    """What machine.reset_cause() returns (ports/esp32/modmachine.c)."""

    POWER_ON = 1
    HARD = 2
    WATCHDOG = 3
    SOFT = 5


class BoardFailure(RuntimeError):
    """The board cannot start; the message says why."""


class Engine:
    def __init__(
        self,
        start_chip: Callable[[], Chip],
        panel: Panel,
        serial: SerialPort,
        log: SerialLog,
    ) -> None:
        self._start_chip, self._panel, self._serial, self._log = start_chip, panel, serial, log
        self._chip: Chip | None = None
        self._console: Console | None = None
        self._line, self._silent = b"", False
        self._boot: Future[None] = Future()
        self._watchdog = Watchdog()
        self._loop = Loop(self._tend, self._end)
        # Edge-triggered: a port that nobody has open would report its hang-up for ever.
        edges = select.EPOLLIN | select.EPOLLOUT | select.EPOLLET
        self._loop.watch(serial.fd, self._on_serial, edges)
        self._loop.start()

    @property
    def pid(self) -> int | None:
        chip = self._chip
        return chip.pid if chip else None

    def power_on(self, timeout_sec: float) -> None:
        """Returns when boot.py starts; BoardFailure, or RuntimeError when it is on already."""
        self._loop.call(self._give_power)
        self._boot.result(timeout_sec)

    def power_cut(self) -> None:
        self._loop.call(self._cut_power)

    def stop(self) -> None:
        """Power off, for good."""
        self._loop.stop()

    # From here on: only in the loop's thread.

    def _tend(self) -> float | None:
        """What is due in every turn; how long the next one may wait for something to happen."""
        if self._serial.is_clogged:
            self._serial.flush()
        self._bite_if_due()
        self._attach_output()
        waits = [_CLOGGED_POLL_SEC] if self._serial.is_clogged else []
        bite_sec = self._watchdog.remaining_sec()
        return min(waits + ([] if bite_sec is None else [bite_sec]), default=None)

    def _end(self) -> None:
        if self._loop.failure:
            self._log.end(self._loop.failure)
        self._cut_power()

    def _give_power(self) -> None:
        if self._chip:
            raise RuntimeError("the board is on already")
        self._live(ResetCause.POWER_ON)

    def _cut_power(self) -> None:
        self._die()
        self._watchdog = Watchdog()

    def _reset(self, cause: ResetCause) -> None:
        raw_repl = self._console is not None and self._console.raw_repl
        self._die()
        if cause is ResetCause.SOFT:
            self._say(b"MPY: soft reboot\r\n")
            self._live(cause, raw_repl)
        else:
            self._watchdog = Watchdog()
            self._live(cause)

    def _live(self, cause: ResetCause, raw_repl: bool = False) -> None:
        """Start a process. A soft reset keeps the mode of the prompt, as pyexec.c does."""
        if cause is not ResetCause.SOFT:
            self._say(b"\r\nrst:%s\r\n" % cause.name.encode())
            self._boot = Future()
        self._log.ended = None
        self._panel.reset(cause, raw_repl)
        self._chip = chip = self._start_chip()
        self._console = Console(chip, raw_repl)
        self._line, self._silent = b"", False
        self._loop.watch(chip.told, self._on_told)
        self._loop.watch(chip.ended, self._on_end)

    def _die(self) -> int:
        """End the process; what it said and told before that counts. Its exit status."""
        chip = self._chip
        if not chip:
            return 0
        status = chip.kill()
        self._obey_all()
        while self._listen():
            pass
        for fd in (chip.told, chip.ended, chip.output):
            self._loop.ignore(fd)
        chip.close()
        self._chip = None
        return status

    def _fail(self, reason: str) -> None:
        self._die()
        self._watchdog = Watchdog()
        failure = BoardFailure(f"the virtual board cannot start: {reason}, see {self._log.path}")
        if not self._boot.done():
            self._boot.set_exception(failure)
        self._log.end(failure)

    def _bite_if_due(self) -> None:
        if self._watchdog.remaining_sec() == 0:
            self._on_told()  # the food may be on the way
            if self._watchdog.remaining_sec() == 0:
                self._reset(ResetCause.WATCHDOG)

    # What the process does

    def _on_end(self) -> None:
        assert self._chip and self._console
        was_booting = self._console.is_booting
        status = self._die()
        if was_booting and self._console.is_booting:
            self._fail(f"its process ended with status {status}")
        elif status == -signal.SIGINT:  # Ctrl-C came just when the program had ended
            self._reset(ResetCause.SOFT)
            self._console.typed(b"\x03")
        else:
            self._reset(ResetCause.HARD if status < 0 else ResetCause.SOFT)

    def _on_told(self) -> None:
        for cause in self._obey_all():
            self._reset(cause)

    def _obey_all(self) -> list[ResetCause]:
        """Do what the process told, line by line; the resets it asks for are the caller's."""
        assert self._chip and self._console
        chip, resets = self._chip, []
        told = b"".join(iter(lambda: _read(chip.told), b""))
        *lines, self._line = (self._line + told).split(b"\n")
        for line in lines:
            word, *arguments = line.split()
            if word == b"feed":
                self._watchdog.feed()
            elif word == b"wdt":
                self._watchdog.configure(int(arguments[0]))
            elif word == b"boot":
                self._console.booted()
                if not self._boot.done():
                    self._boot.set_result(None)
            elif word == b"prompt":
                self._console.prompted()
            elif word == b"fail":
                chip.kill()
            else:
                resets.append({b"reset": ResetCause.HARD, b"exit": ResetCause.SOFT}[word])
        return resets

    def _attach_output(self) -> None:
        """Read what the process prints, but not while a listener cannot keep up."""
        if not self._chip:
            return
        wanted = not (self._serial.is_clogged or self._silent)
        attached = self._loop.watches(self._chip.output)
        if wanted and not attached:
            self._loop.watch(self._chip.output, self._on_output)
        elif attached and not wanted:
            self._loop.ignore(self._chip.output)

    def _on_output(self) -> None:
        self._silent = not self._listen()

    def _listen(self) -> bool:
        """Pass on what the process printed; False when there is nothing (more)."""
        assert self._chip and self._console
        printed = _read(self._chip.output)
        self._console.printed(printed)
        self._say(self._log.cook(printed))
        return bool(printed)

    def _say(self, data: bytes) -> None:
        self._log.write(data)
        self._serial.write(data)

    def _on_serial(self) -> None:
        while typed := self._serial.read():
            if self._chip and self._console:
                self._console.typed(typed)
        if not self._serial.is_open():
            self._serial.forget_unread()


def _read(fd: int) -> bytes:
    """What is there to read, b"" when nothing is or ever will be."""
    try:
        return os.read(fd, _CHUNK_BYTES)
    except BlockingIOError:
        return b""
