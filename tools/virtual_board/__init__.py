"""A virtual ESP32-P4 on the desk: real MicroPython, a flash, an SD card, pins and a serial port.

    with VirtualBoard(Path("card.img"), workdir=Path("build/board")) as board:
        subprocess.run(["mpremote", "connect", board.port, "fs", "ls"])
        board.set_pin(4, 1)
        board.wait_for("motion")

`boot.py`, `main.py` and what they import run unchanged. The host keeps the process that stands for
the chip, ends and restarts it as resets, the watchdog and the power do, and bridges its serial
port to a pty. Linux only: it leans on ptys, epoll and /proc.

The device/ folder is the board's side: it runs on MicroPython and is no part of this package.
"""

from tools.virtual_board.board import VirtualBoard
from tools.virtual_board.engine import BoardFailure, ResetCause

__all__ = ["BoardFailure", "ResetCause", "VirtualBoard"]
