"""The states a power cut can leave behind, out of the record of a boot that was not cut.

    clean    the sector in flight keeps what it had
    between  no sector is in flight: the power goes before something happens outside the card
    lost     the sector in flight is lost, the next one was written already (a card's own cache)
    later    it is lost, all others until the next sync were written
    garbage  it has garbage

A cut is numbered by the write that was in flight, with `between` by the event that did not happen.
A sync orders the card to write its cache out, so what comes before one is not lost after it.
"""

import random

from history import STORE
from ramcard import SECTOR

CLEAN, BETWEEN, LOST, LATER, GARBAGE = "clean", "between", "lost", "later", "garbage"
MODES = (CLEAN, BETWEEN, LOST, LATER, GARBAGE)


class Cuts:
    """Of a boot that began in `world` and is recorded in `history`."""

    def __init__(self, world, history):
        self._world = world
        self._history = history
        self._landed, self._count = {}, 0

    def numbers(self, mode):
        """The cuts there are."""
        writes = range(len(self._history.writes))
        if mode == BETWEEN:
            events = self._history.events
            return [n for n in range(len(events)) if events[n][0] == STORE]
        if mode == LOST:
            return [n for n in writes if self._next_sync(n)[0] >= n + 2]
        if mode == LATER:
            return [n for n in writes if self._next_sync(n)[0] > n + 2]
        return list(writes)

    def world(self, mode, number):
        """The world that a cut leaves."""
        history = self._history
        if mode == BETWEEN:
            return self._world.after(history, self._until(history.at[number]), number)
        sectors, sector = self._until(number), history.writes[number][0]
        if mode == CLEAN:
            return self._world.after(history, sectors, history.events_until(number))
        sectors = sectors.copy()
        if mode == GARBAGE:
            random.seed(number)
            sectors[sector] = bytes([random.getrandbits(8) for _ in range(SECTOR)])
            return self._world.after(history, sectors, history.events_until(number))
        end, events = self._next_sync(number)
        if mode == LOST and number + 2 < end:
            end = number + 2
            events = history.events_until(end)
        for sector, data in history.writes[number + 1 : end]:
            sectors[sector] = data
        return self._world.after(history, sectors, events)

    def final(self):
        """The world when all was written."""
        writes, events = self._history.writes, self._history.events
        return self._world.after(self._history, self._until(len(writes)), len(events))

    def _next_sync(self, number):
        for writes, events in self._history.syncs:
            if writes > number:
                return writes, events
        return len(self._history.writes), len(self._history.events)

    def _until(self, count):
        """The first `count` writes as sectors; lent until the next call."""
        if count < self._count:
            self._landed, self._count = {}, 0
        for sector, data in self._history.writes[self._count : count]:
            self._landed[sector] = data
        self._count = count
        return self._landed
