"""Keeps the card from filling up: what matters least goes first (retention_policy.py tells what).

Free space is asked of the file system every few seconds; the recordings are looked
through (eviction.py) only when something must go, a few entries in a turn of the loop.

A clip that was uploaded and stays keeps its place in the journal. When few are left the
oldest such clips go, or nothing more would be queued. None that was not uploaded goes
for a place: those without one are adopted later.

A FAT32 card may claim to have more free than it has; what is made of a write that finds it
full is the policy's, too.
"""

import asyncio

from micropython import const

from firmware.eviction import Eviction
from firmware.retention_policy import CARD_FULL, RetentionPolicy, Tally, kib_of, unpack

_CHECK_MS = const(2000)
_FIRST = const(8)  # clips that are kept of one look
# In checks:
_REST = const(15)  # until a look that found too little is repeated
_ASKED = const(15)  # for so long it counts what was recorded last
_CALM = const(30)  # for so long there is room before an alarm is over


class Retention:
    def __init__(
        self,
        store,
        journal,
        *,
        statvfs,
        reserve_bytes,
        quota_bytes,
        max_age_sec,
        unix_time,
        to_unix,
        is_busy,
        on_evicted,
        on_stopped,
        on_resumed,
        log,
        is_ready=lambda: True,
        check_ms=_CHECK_MS,
    ):
        """`store` is the ClipStore, `journal` the UploadJournal; `statvfs()` is that of the card.

        `quota_bytes` and `max_age_sec` may be 0 for none. is_busy(path): whether the file is
        being recorded. on_evicted(Evicted), on_stopped(priority, reason) when recordings up to
        that priority are made no more, on_resumed() when all are again. is_ready(): whether
        there is a card whose jobs the journal knows.
        """
        self._eviction = Eviction(
            store,
            journal,
            is_ready=is_ready,
            to_unix=to_unix,
            is_busy=is_busy,
            on_evicted=on_evicted,
            log=log,
        )
        self._is_ready = is_ready
        self._statvfs = statvfs
        self._policy = RetentionPolicy(reserve_bytes // 1024, quota_bytes // 1024)
        self._age_limit = None
        if max_age_sec:
            from firmware.age_limit import AgeLimit  # memory for who wants it

            self._age_limit = AgeLimit(self._eviction, max_age_sec, unix_time)
        self._on_stopped = on_stopped
        self._on_resumed = on_resumed
        self._log = log
        self._check_ms = check_ms
        self._wake = asyncio.Event()
        self._tally = Tally(_FIRST)
        self._block_bytes = 512
        self._grown_kib = self._clip_kib = 0  # since the last look; the clip being recorded
        self._has_quota = quota_bytes > 0
        self._asked, self._asked_ago = -1, 0  # the priority that is recorded, checks since
        self._refused = self._least_refused = self._told = -1
        self._cause = self._reason = None  # of what is missing now; of the bar
        self._has_failed = False
        self._calm = 0
        self.is_looking = False  # then the directory is open
        self.restart()

    def restart(self):
        """Another card may be in the slot: what was known of the last one counts no more."""
        self._bar = 0  # the lowest priority that may be recorded
        self._policy.restart()
        self._eviction.forget()
        self._must_look = self._has_quota
        self._is_full = False
        self.wake()

    def may_record(self, priority):
        """Whether there is room, or something that may go, for such a recording."""
        if priority != self._asked:
            self._asked = priority
            self.wake()
        self._asked_ago = 0
        if priority >= self._bar:
            return True
        if self._refused < 0 or priority < self._least_refused:
            self._least_refused = priority
        if priority > self._refused:
            self._refused = priority
            self._wake.set()
        return False

    def grew(self, size_bytes):
        """So much of the clip that is being recorded is on the card."""
        kib = size_bytes >> 10
        self._grown_kib += kib - self._clip_kib if kib >= self._clip_kib else kib
        self._clip_kib = kib
        if self._grown_kib >= self._policy.slack_kib:
            self._wake.set()

    def card_is_full(self):
        """A write found no room, whatever the file system says."""
        self._is_full = True
        self.wake()

    def wake(self):
        """Look at once: something changed."""
        self._rest = 0
        self._wake.set()

    async def run(self):
        """Keep room on the card, for ever."""
        while True:
            self._wake.clear()
            if self._is_ready():
                await self._try_to_check()
            try:
                await asyncio.wait_for_ms(self._wake.wait(), self._check_ms)
            except asyncio.TimeoutError:
                continue

    async def _try_to_check(self):
        self.is_looking = True
        try:
            await self.check()
            self._has_failed = False
        except OSError as error:
            if not self._has_failed:
                self._log("no room can be made: the card fails", error)
            self._has_failed = True
        finally:
            self.is_looking = False

    async def check(self):
        """One look at the card, and what follows from it. OSError when that fails."""
        self._eviction.used_kib += self._grown_kib
        self._grown_kib = 0
        self._asked_ago += 1
        if self._asked_ago > _ASKED:
            self._asked = -1
        self._eviction.tick()
        self._policy.end_doubt()
        is_full = self._is_full
        missing_kib = self._missing_kib(is_full)
        self._is_full = False
        if self._rest and not is_full:
            self._rest -= 1
        elif is_full or missing_kib > 0 or self._bar or self._must_look:
            await self._make_room(is_full)
        if self._age_limit:
            await self._age_limit.check(self._block_bytes)
        await self._eviction.make_places(self._block_bytes)
        self._tell()

    def _missing_kib(self, is_full=False):
        facts = self._statvfs()
        self._block_bytes = facts[1]
        self._policy.fit(kib_of(facts[2], facts[1]))
        free_kib = kib_of(facts[4], facts[1])
        if is_full:
            self._policy.card_is_full(free_kib)
        free_kib = self._policy.free_kib(free_kib)
        used_kib = self._eviction.used_kib + self._grown_kib
        self._cause = self._policy.reason(free_kib, used_kib)
        return self._policy.missing_kib(free_kib, used_kib)

    async def _make_room(self, is_full):
        """Let go what may go for the recording that is wanted, until there is room; set the bar."""
        tried_before = -1
        while tried_before != self._eviction.tried:
            is_first, tried_before = tried_before < 0, self._eviction.tried
            self._grown_kib = 0
            await self._eviction.look_through(self._tally, self._block_bytes)
            missing_kib = self._missing_kib()
            if is_first and missing_kib <= 0 and not self._bar:
                break  # for what was uploaded and deleted since the last look
            missing_kib = await self._evict(missing_kib, is_full)
            if missing_kib + self._policy.slack_kib <= 0:
                break
        self._must_look = False
        self._reason = CARD_FULL if is_full else self._cause
        self._bar = self._policy.bar(missing_kib, self._tally.kib, self._bar)
        if self._bar or missing_kib > 0:
            self._rest = _REST

    async def _evict(self, missing_kib, is_full):
        """Let those go that were found, as long as room is wanted; how much is missing still."""
        for packed in self._tally.first:
            most_rank = self._asked + 1
            if missing_kib + self._policy.slack_kib <= 0 or unpack(packed)[0] > most_rank:
                break
            if await self._eviction.let_go(
                packed, CARD_FULL if is_full else self._cause, most_rank
            ):
                missing_kib = self._missing_kib()
        return missing_kib

    def _tell(self):
        """Report that recordings are not made, once, and once that all are made again."""
        if self._refused > self._told:
            self._told, self._calm = self._refused, 0
            self._on_stopped(self._told, self._reason)
        elif self._told >= 0:
            self._calm = self._calm + 1 if self._bar <= self._least_refused else 0
            if self._calm > _CALM:
                self._refused = self._least_refused = self._told = -1
                self._on_resumed()
