"""A card between the file system and its driver: failures are errors, and what is cut stays cut."""

from harness import eq, raises
from removable_card import SECTOR_BYTES, RemovableCard

EIO = 5


class Driver:
    """Answers as machine.SDCard does: 0, a negative errno, False where initialising failed.

    Up to MicroPython 1.28 it is True for whatever went well, and False for the rest.
    """

    def __init__(self):
        self.answer = 0
        self.asked = []

    def readblocks(self, block, buf):
        self.asked.append(("read", block, len(buf)))
        return self.answer

    def writeblocks(self, block, buf):
        self.asked.append(("write", block, len(buf)))
        return self.answer

    def ioctl(self, op, argument):
        self.asked.append(("ioctl", op, argument))
        return 7


def test_every_answer_of_the_driver():
    answers = (0, 0), (None, 0), (True, 0), (-EIO, -EIO), (-19, -19), (False, -EIO), (1, 1)
    for answer, expected in answers:
        driver = Driver()
        card, driver.answer = RemovableCard(driver), answer
        eq(card.readblocks(3, bytearray(1024)), expected)
        eq(card.writeblocks(4, bytearray(512)), expected)
        eq(driver.asked, [("read", 3, 1024), ("write", 4, 512)])
        driver.answer = 0
        eq(card.probe(), expected != 0)
        eq(card.probe(), False, "told once")


def test_a_card_that_does_not_answer_is_gone():
    for answer in (-EIO, False):
        driver = Driver()
        card, driver.answer = RemovableCard(driver), answer
        eq(raises(OSError, card.probe).errno, EIO)
        eq(driver.asked, [("read", 0, SECTOR_BYTES)])


def test_what_is_cut_reaches_no_card():
    driver = Driver()
    card = RemovableCard(driver)
    eq(card.ioctl(4, 0), 7)
    card.cut()
    del driver.asked[:]
    eq((card.readblocks(0, bytearray(512)), card.writeblocks(0, bytearray(512))), (-EIO, -EIO))
    eq((card.ioctl(1, 0), driver.asked), (-1, []))
    raises(OSError, card.probe)
