"""`machine.Pin`: levels in the memory shared with the host (ports/esp32/machine_pin.c).

An input reads what the host drives, else what the pull resistor gives. irq() is missing on
purpose: nothing can interrupt a program of the unix port, so a handler would never be called.
"""

import _wires
from micropython import const
from umachine import PinBase

_GPIOS = const(55)
_UNSET = object()
_known = {}


class Pin(PinBase):
    IN = 1
    OUT = 3
    OPEN_DRAIN = 7
    PULL_DOWN = 1
    PULL_UP = 2
    DRIVE_0 = 0
    DRIVE_1 = 1
    DRIVE_2 = 2
    DRIVE_3 = 3
    IRQ_RISING = 1
    IRQ_FALLING = 2

    def __new__(cls, _id, mode=None, pull=-1, *, value=_UNSET, drive=_UNSET, hold=_UNSET):
        if isinstance(_id, Pin):
            return _id
        if not (isinstance(_id, int) and 0 <= _id < _GPIOS):
            raise ValueError("invalid pin")
        if _id not in _known:
            pin = _known[_id] = super().__new__(cls)
            pin._gpio = _id
            pin._mode = pin._latch = pin._pull = 0
        return _known[_id]

    def __init__(self, _id, mode=None, pull=-1, *, value=_UNSET, drive=_UNSET, hold=_UNSET):
        self.init(mode, pull, value=value, drive=drive, hold=hold)

    def init(self, mode=None, pull=-1, *, value=_UNSET, drive=_UNSET, hold=_UNSET):
        """Set what is given and leave the rest; the value goes out before the mode changes."""
        if value is not _UNSET:
            self._latch = 1 if value else 0
        if mode is not None:
            self._mode = int(mode)
        if pull != -1:
            self._pull = pull or 0
        self._drive()

    def _drive(self):
        level = _wires.OPEN
        if self._mode == self.OUT or (self._mode == self.OPEN_DRAIN and not self._latch):
            level = self._latch
        _wires.write(_wires.GPIO_OUT + self._gpio, level)

    def value(self, *level):
        if level:
            self._latch = 1 if _wires.only(level) else 0
            self._drive()
            return None
        for side in (_wires.GPIO_OUT, _wires.GPIO_IN):
            driven = _wires.read(side + self._gpio)
            if driven != _wires.OPEN:
                return driven
        return 1 if self._pull & self.PULL_UP else 0

    __call__ = value

    def on(self):
        self.value(1)

    def off(self):
        self.value(0)

    def toggle(self):
        self.value(1 - self._latch)

    def __repr__(self):
        return "Pin(%d)" % self._gpio
