"""A card that can be taken out, as the block device of a file system.

Between the file system and the driver (machine.SDCard, for instance) it keeps three promises that
the driver alone does not: a request that failed is an error (the ESP32's answers False where
initialising again failed, which a file system reads as success; an older driver answers True when all
went well); failures are remembered until
somebody asks; and once `cut` nothing that still holds the old file system, such as a handle that
could not be closed, reaches whatever card is in the slot by then.
"""

from errno import EIO

from micropython import const

SECTOR_BYTES = const(512)


class RemovableCard:
    def __init__(self, card):
        """`card` has readblocks, writeblocks and ioctl."""
        self._card = card
        self._sector = bytearray(SECTOR_BYTES)
        self._has_failed = False

    def readblocks(self, block, buf):
        card = self._card
        return self._judge(card.readblocks(block, buf) if card else -EIO)

    def writeblocks(self, block, buf):
        card = self._card
        return self._judge(card.writeblocks(block, buf) if card else -EIO)

    def ioctl(self, op, argument):
        return self._card.ioctl(op, argument) if self._card else -1

    def probe(self):
        """Ask the card itself, past the file system and what that remembers: OSError if it is gone.

        Whether any request failed since this was asked last.
        """
        had_failed, self._has_failed = self._has_failed, False
        if self.readblocks(0, self._sector):
            raise OSError(EIO, "the card does not answer")
        return had_failed

    def cut(self):
        """Nothing reaches the card from here on."""
        self._card = None

    def _judge(self, answer):
        if answer is None or answer is True or answer is not False and answer == 0:
            return 0
        self._has_failed = True
        return -EIO if answer is False else answer
