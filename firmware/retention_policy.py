"""What goes first when the card fills up, and what may still be recorded then.

Every clip has a rank: 0 was delivered, 1..4 were not, by priority. Lower ranks go
first, older clips of a rank before younger ones. For a recording of priority p
those may go that were delivered, or are of no higher priority than it: a LOW one
costs nothing HIGH, an URGENT one may cost anything, other URGENT ones last.

A clip is a number of 30 bits (rank, number of its name, trigger), so that thousands
can be looked at without memory, and sizes are in KiB, which fit 31 bits on any card.

Pure: no IO.
"""

from collections import namedtuple

from micropython import const

from firmware.job import DELIVERED, RECORDING, RUNNING
from firmware.trigger import LOW, NAMES, URGENT

# Why a clip went, or why no recording is made.
RESERVE, QUOTA, AGE, CARD_FULL = "reserve", "quota", "age", "card_full"
JOURNAL_FULL = "journal_full"

IN_USE = const(5)  # the rank of what never goes: being recorded, being uploaded

_RANKS = const(5)
_TRIGGER_BITS = const(3)
_NAME_BITS = const(27)
_NAME = const((1 << 27) - 1)
_LEAST_KIB = const(1024)
_MOST_SLACK_KIB = const(65536)

Evicted = namedtuple("Evicted", "path size_bytes priority trigger is_uploaded reason")


def rank_of(state, priority, is_in_part=False):
    """The rank of a clip that has a job; what was delivered in part is worth what it was before."""
    if state in (RECORDING, RUNNING):
        return IN_USE
    return 0 if state == DELIVERED and not is_in_part else priority + 1


def pack(rank, trigger, number):
    return (rank << _NAME_BITS) | (number << _TRIGGER_BITS) | NAMES.index(trigger)


def with_rank(packed, rank):
    return (rank << _NAME_BITS) | (packed & _NAME)


def unpack(packed):
    """`(rank, trigger, number)`."""
    name = packed & _NAME
    return packed >> _NAME_BITS, NAMES[name % (1 << _TRIGGER_BITS)], name >> _TRIGGER_BITS


def kib_of(count, unit_bytes):
    """So many clusters or blocks, in KiB, without a number of bytes in between."""
    if unit_bytes % 1024 == 0:
        return count * (unit_bytes // 1024)
    return (count * (unit_bytes // 512) + 1) // 2


class Tally:
    """One look at all clips: the few that are to go first, and how much there is of each rank."""

    def __init__(self, most):
        self._most = most
        self.restart()

    def restart(self, above=-1):
        """Begin anew, with clips behind `above` only."""
        self._above = above
        self.first = []  # packed, what goes first at the front
        self.kib = [0] * _RANKS

    def take(self, packed, kib):
        if packed <= self._above:
            return
        self.kib[packed >> _NAME_BITS] += kib
        first = self.first
        if len(first) == self._most:
            if packed > first[-1]:
                return
            first.pop()
        first.append(packed)
        first.sort()


class RetentionPolicy:
    """How much must be free. `quota_kib` is the most that recordings may take, 0 for any amount.

    A file system may claim more than is free, always by as much: a write that finds no room shows
    the amount. But a write may fail so for other reasons, too. More than reserve and slack together
    is believed to be missing only when seen twice, with as much claimed; the first time room is made
    for the slack, and when that is written and nothing fails, there was nothing in it.
    """

    def __init__(self, reserve_kib, quota_kib):
        self._wanted_kib = max(reserve_kib, _LEAST_KIB)
        self._quota_kib = quota_kib
        self.fit(self._wanted_kib * 4)
        self.restart()

    def restart(self):
        """Nothing is known of what this file system claims."""
        self._lie_kib = self._doubt_kib = 0  # so much of it is not there; at present, to make room
        self._full_at_kib = -1  # as much was claimed when a write found no room, once

    def fit(self, card_kib):
        """The reserve is a quarter of the card at most.

        Room is made for some slack more, and recording that was stopped begins again with it:
        else a full card would be looked through for every block, and recording would flap.
        """
        self._reserve_kib = min(self._wanted_kib, card_kib // 4)
        slack_kib = max(self._reserve_kib // 8, self._quota_kib // 64, _LEAST_KIB)
        self.slack_kib = min(slack_kib, self._reserve_kib, _MOST_SLACK_KIB)
        if self._quota_kib:
            self.slack_kib = min(self.slack_kib, self._quota_kib // 4)

    def card_is_full(self, claimed_kib):
        """A write found no room, though so much is claimed."""
        more_kib = claimed_kib - self._lie_kib - self._reserve_kib
        since_kib = claimed_kib - self._full_at_kib
        is_second = self._full_at_kib >= 0 and since_kib >= -self.slack_kib
        if more_kib <= self.slack_kib or is_second and since_kib <= self.slack_kib:
            self._lie_kib = claimed_kib
        elif not is_second:
            self._full_at_kib, self._doubt_kib = claimed_kib, more_kib + 1
        # else room was made since, and that was no help

    def free_kib(self, claimed_kib):
        """How much of what the file system claims to be free is believed to be."""
        self._lie_kib = min(self._lie_kib, claimed_kib)
        if claimed_kib < self._full_at_kib - self.slack_kib:
            self._full_at_kib = -1
        return claimed_kib - self._lie_kib - self._doubt_kib

    def end_doubt(self):
        """Room was made for it, once."""
        self._doubt_kib = 0

    def missing_kib(self, free_kib, used_kib):
        """How much must go; with nothing or less there is room."""
        return max(self._reserve_kib - free_kib, self._over_kib(used_kib))

    def reason(self, free_kib, used_kib):
        """What wants the more to go, reserve or quota."""
        return QUOTA if self._over_kib(used_kib) > self._reserve_kib - free_kib else RESERVE

    def bar(self, missing_kib, kib_by_rank, bar):
        """The lowest priority that may be recorded, URGENT + 1 for none; `bar`: what it was so far.

        `kib_by_rank`: what there is that may go.
        """
        spare_kib = kib_by_rank[0]
        for priority in range(LOW, URGENT + 1):
            spare_kib += kib_by_rank[priority + 1]
            if priority < bar:
                if missing_kib + self.slack_kib <= spare_kib:
                    return priority
            elif missing_kib <= 0 or spare_kib > 0:
                return priority
        return URGENT + 1

    def _over_kib(self, used_kib):
        return used_kib - self._quota_kib if self._quota_kib else -self._reserve_kib
