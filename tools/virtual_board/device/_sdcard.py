"""`machine.SDCard`: the card image, through the block protocol of ports/esp32/machine_sdcard.c.

The slot of the common ESP32-P4 boards: SDMMC slot 0, four data lines, powered by the chip's LDO
channel 4. Every other slot is empty. A card must be initialised after it was put in; VfsFat does
so when it mounts. Answers are the driver's: 0, -EIO from a card that went away, False where
initialising again failed. Blocks reach the image file before writeblocks() returns. deinit() gives
back the host controller, its lock included (esp-idf, sdmmc_transaction.c): whoever uses the card
after that, a file system's handle for instance, brings the chip down.
"""

import _wires
from micropython import const

_BLOCK_BYTES = const(512)
_EIO = const(5)
_ESP_ERR_INVALID_STATE = const(0x103)
_LDO = const(4)
_CLK = const(43)
_CMD = const(44)
_DATA = 39, 40, 41, 42

_block_count = _wires.card.seek(0, 2) // _BLOCK_BYTES
_in_use = set()


class SDCard:
    def __init__(
        self,
        *,
        slot=0,
        width=4,
        cd=None,
        wp=None,
        miso=None,
        mosi=None,
        sck=None,
        cs=None,
        cmd=None,
        data=None,
        ldo=None,
        freq=20_000_000,
    ):
        _check(slot, width, miso, mosi, sck, cs, cmd, data)
        if slot in _in_use:  # the host controller has one owner until deinit()
            raise OSError(-_ESP_ERR_INVALID_STATE, "ESP_ERR_INVALID_STATE")
        _in_use.add(slot)
        self._slot = slot
        self._wired = (
            (slot, ldo) == (0, _LDO)
            and width <= 4
            and sck in (None, _CLK)
            and cmd in (None, _CMD)
            and (data is None or tuple(data) == _DATA[:width])
        )
        self._open = True
        self._insertion = 0

    def _ready(self):
        """Initialise the card unless that was done; False when it does not answer."""
        if not self._open:
            _panic()
        if not self._insertion and self._wired:
            self._insertion = _wires.read(_wires.CARD)
        return self._insertion != 0

    def _transfer(self, block, buf, move):
        """Move whole blocks; the driver ignores what is left over of `buf`."""
        if not self._ready():
            return False
        count = len(buf) // _BLOCK_BYTES
        present = self._insertion == _wires.read(_wires.CARD)
        if not present or block + count > _block_count:
            return -_EIO
        _wires.card.seek(block * _BLOCK_BYTES)
        move(memoryview(buf)[: count * _BLOCK_BYTES])
        return 0

    def readblocks(self, block_num, buf):
        return self._transfer(block_num, buf, _wires.card.readinto)

    def writeblocks(self, block_num, buf):
        if _wires.read(_wires.PROTECTED):
            return -_EIO
        return self._transfer(block_num, buf, _wires.card.write)

    def ioctl(self, op, arg):
        if op == 1:  # init
            return 0 if self._ready() else -1
        if op == 2:  # deinit: the next use initialises the card again
            self._insertion = 0
            return 0
        if op == 3:  # sync: writeblocks() already did
            return 0
        if op in (4, 5) and self._ready():
            return _block_count if op == 4 else _BLOCK_BYTES
        return -1

    def info(self):
        if not self._ready():
            raise OSError(-0x107, "ESP_ERR_TIMEOUT")
        return _block_count * _BLOCK_BYTES, _BLOCK_BYTES

    def deinit(self):
        """Give the slot back; this object is of no more use."""
        if self._open:
            self._open = False
            _in_use.remove(self._slot)


def _panic():
    print("Guru Meditation Error: Core  0 panic'ed (LoadProhibited). Exception was unhandled.")
    _wires.tell(b"reset\n")
    _wires.wait_for_the_end()


def _check(slot, width, miso, mosi, sck, cs, cmd, data):
    """Refuse what the driver refuses, with its words."""
    if not 0 <= slot <= 3:
        raise ValueError("invalid slot number")
    if slot >= 2:
        if cmd is not None or data is not None:
            raise ValueError("invalid config: SPI slot with SDMMC pin arguments")
        if None in (miso, mosi, sck, cs):
            raise ValueError("SPI pin values required")
        return
    if not (miso is None and mosi is None and cs is None):
        raise ValueError("invalid config: SDMMC slot with SPI pin arguments")
    if width not in (1, 4) and (slot, width) != (0, 8):
        raise ValueError("width must be 1 or 4 (or 8 on slot 0)")
    if data is not None and len(data) != width:
        raise ValueError("data argument length must match width %d" % width)
