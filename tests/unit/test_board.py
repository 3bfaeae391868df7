"""The board's card, on a driver that knows how the slot is powered, and on one that does not."""

import sys

from harness import eq, raises

LDO = 4


class Machine:
    """In place of `machine`, `network`, `uctypes` and `vfs`, as far as a card needs them."""

    WLAN = reset = None

    def __init__(self, keywords, answer):
        self.keywords, self.answer = keywords, answer
        self.asked, self.mounted = [], {}

    def SDCard(self, **wiring):
        self.asked.append(sorted(wiring))
        for name in wiring:
            if name not in self.keywords:
                raise TypeError("extra keyword arguments given")
        self.ldo = wiring.get("ldo")
        return self

    def readblocks(self, block, buf):
        return self.answer

    def deinit(self):
        self.asked.append("deinit")

    def mount(self, device, root):
        if device.readblocks(0, bytearray(512)):
            raise OSError(19, "no file system")
        self.mounted[root] = device


def board_on(machine):
    before = {}
    for name in ("machine", "network", "uctypes", "vfs"):
        before[name] = sys.modules.get(name)
        sys.modules[name] = machine
    try:
        from firmware.board import Board
    finally:
        del sys.modules["firmware.board"]
        for name, module in before.items():
            if module:
                sys.modules[name] = module
            else:
                del sys.modules[name]
    return Board()


def test_a_card_is_mounted_with_whatever_driver_there_is():
    now, older = ["ldo", "slot", "width"], ["slot", "width"]
    for keywords, answer, asked, ldo in (
        (now, 0, [now], LDO),
        (older, True, [now, older], None),
    ):
        machine = Machine(keywords, answer)
        board = board_on(machine)
        board.mount_card()
        eq((machine.asked, machine.ldo, list(machine.mounted)), (asked, ldo, ["/sdcard"]))
        eq(board.probe_card(), False)


def test_a_slot_without_a_card_is_let_go():
    for keywords, answer in ((["ldo", "slot", "width"], -116), (["slot", "width"], False)):
        machine = Machine(keywords, answer)
        board = board_on(machine)
        raises(OSError, board.mount_card)
        eq((machine.asked[-1], machine.mounted), ("deinit", {}))
        eq(raises(OSError, board.probe_card).errno, 19)
