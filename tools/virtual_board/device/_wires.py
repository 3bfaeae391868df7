"""The wires between the virtual board and the host: file descriptors the host hands over.

`panel` is memory shared with the host, one byte per thing (tools/virtual_board/panel.py is the
other end and has the same layout):

      0..63   level the host puts on GPIO n: 0, 1, or 255 when it leaves the pin open
     64..127  level the board puts on GPIO n: 0, 1, or 255 when the pin is no output
    128       network link: 0 down, 1 up
    129       SD card slot: 0 empty, else the number of the insertion
    130       reset cause, as machine.reset_cause() returns it
    131       1 when the serial port was left in the raw REPL by a soft reset
    132..137  the chip's MAC address
    138..145  the board's clock less the host's, in seconds (int64, little-endian)
    146       1 while the SD card takes no writes

`tell` sends one line to the host; sent lines survive the death of the board.
"""

import struct
import sys

import utime
from micropython import const

GPIO_IN = const(0)
GPIO_OUT = const(64)
LINK = const(128)
CARD = const(129)
RESET_CAUSE = const(130)
RAW_REPL = const(131)
MAC = const(132)
_CLOCK = const(138)
PROTECTED = const(146)

OPEN = const(255)

# The unix port takes a file descriptor where a file name is expected.
_panel, _control, flash, card = (open(int(fd), "r+b") for fd in sys.argv[1:5])
_byte = bytearray(1)


def read(index):
    _panel.seek(index)
    _panel.readinto(_byte)
    return _byte[0]


def read_bytes(index, count):
    _panel.seek(index)
    return _panel.read(count)


def write(index, value):
    _byte[0] = value
    _panel.seek(index)
    _panel.write(_byte)


def clock_offset_sec():
    return struct.unpack("<q", read_bytes(_CLOCK, 8))[0]


def set_clock_offset(sec):
    _panel.seek(_CLOCK)
    _panel.write(struct.pack("<q", sec))


def tell(line):
    _control.write(line)


def only(arguments):
    """The one positional-only argument of a call; TypeError when there are others."""
    if len(arguments) != 1:
        raise TypeError("function takes 1 positional arguments but %d were given" % len(arguments))
    return arguments[0]


def wait_for_the_end():
    """The host has been told to end this process."""
    while True:
        utime.sleep(1)
