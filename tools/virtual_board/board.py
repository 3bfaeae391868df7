"""The virtual board as its user holds it: power, pins, card, network, serial port and log."""

import contextlib
import hashlib
import re
import tempfile
import time
from pathlib import Path

from tools.virtual_board.engine import Engine
from tools.virtual_board.panel import Panel
from tools.virtual_board.process import Chip
from tools.virtual_board.serial_log import SerialLog
from tools.virtual_board.serial_port import SerialPort

FROZEN = Path(__file__).resolve().parents[2] / "build" / "micropython-lib"
FLASH_BYTES = 4 * 1024 * 1024
_FLASH_BLOCK_BYTES = 4096
_BOOT_SEC = 30


class VirtualBoard:
    """A board that is on from `with` to the end of its block.

    card: image of the SD card (tools.virtual_board.card makes one).
    flash: image of the flash file system, made when missing; by default flash.img in `workdir`.
    heap: MicroPython's, as `-X heapsize=` takes it. workdir: by default a temporary folder.
    log: file for everything the board prints; by default serial.log in `workdir`.
    Raises FileNotFoundError, ValueError, BoardFailure, tools.interpreters.InterpreterMissing.
    """

    def __init__(
        self,
        card: Path,
        flash: Path | None = None,
        heap: str = "2M",
        workdir: Path | None = None,
        log: Path | None = None,
    ) -> None:
        if not re.fullmatch(r"[0-9]+[kKmM]?", heap):
            raise ValueError(f"heap {heap!r} is no size such as 512k or 2M")
        if not card.is_file():
            raise FileNotFoundError(f"no card image {card}; tools.virtual_board.card makes one")
        self.card, self.heap = card.resolve(), heap
        self._flash, self._workdir, self._log_path = flash, workdir, log
        self._resources = contextlib.ExitStack()

    def __enter__(self) -> "VirtualBoard":
        with contextlib.ExitStack() as opened:
            folder = self._workdir or Path(opened.enter_context(tempfile.TemporaryDirectory()))
            folder.mkdir(parents=True, exist_ok=True)
            self.flash = (self._flash or folder / "flash.img").resolve()
            _prepare_flash(self.flash)
            self._log = SerialLog(self._log_path or folder / "serial.log")
            opened.callback(self._log.close)
            self._panel = Panel(_mac_address(self.flash))
            opened.callback(self._panel.close)
            self._serial = SerialPort()
            opened.callback(self._serial.close)
            self._engine = Engine(self._start_chip, self._panel, self._serial, self._log)
            opened.callback(self._engine.stop)
            self.power_on()
            self._resources = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    def _start_chip(self) -> Chip:
        return Chip(
            heap=self.heap,
            panel_fd=self._panel.fd,
            flash=self.flash,
            card=self.card,
            frozen=FROZEN,
        )

    @property
    def port(self) -> str:
        """Path of the serial port, for `mpremote connect`."""
        return self._serial.path

    @property
    def serial_log(self) -> Path:
        """The file with everything the board printed."""
        return self._log.path

    @property
    def pid(self) -> int | None:
        """The process that stands for the chip; None while the power is off."""
        return self._engine.pid

    def wait_for(self, text: str, timeout_sec: float = 10) -> str:
        """What the board printed since the previous match, up to `text`; TimeoutError."""
        return self._log.wait_for(text, timeout_sec)

    def set_pin(self, gpio: int, level: int | None) -> None:
        """Put a level on a GPIO from outside; None leaves it open, to its pull resistor."""
        self._panel.set_pin(gpio, level)

    def get_pin(self, gpio: int) -> int | None:
        """The level of a GPIO; None when neither the board nor anybody outside drives it."""
        return self._panel.get_pin(gpio)

    def set_network(self, up: bool) -> None:
        """Plug or unplug the link, as network.LAN and WLAN report it. Sockets are not cut."""
        self._panel.set_link(up)

    def set_clock(self, unix_sec: int) -> None:
        """Set the board's clock, on or off; a board out of the box says 946684800, 2000-01-01."""
        self._panel.set_clock_offset(unix_sec - int(time.time()))

    def eject_card(self) -> None:
        self._panel.set_card(False)

    def insert_card(self) -> None:
        self._panel.set_card(True)

    def protect_card(self, protected: bool) -> None:
        """Let the card refuse writes, as a worn-out one does, or take them again."""
        self._panel.set_protected(protected)

    def power_cut(self) -> None:
        """Take the power away, in the middle of whatever the board does."""
        self._engine.power_cut()

    def power_on(self) -> None:
        """Give power; returns when boot.py starts. RuntimeError when the board has it already."""
        self._engine.power_on(_BOOT_SEC)


def _prepare_flash(image: Path) -> None:
    """A blank image where there is none: the board formats it at its first start."""
    if not image.exists():
        with image.open("wb") as file:
            file.truncate(FLASH_BYTES)
    elif image.stat().st_size % _FLASH_BLOCK_BYTES or not image.stat().st_size:
        raise ValueError(f"{image} is no flash image: not a whole number of 4 KiB blocks")


def _mac_address(flash: Path) -> bytes:
    """A locally administered address that stays with the flash image."""
    return b"\x02" + hashlib.sha256(str(flash).encode()).digest()[:5]
