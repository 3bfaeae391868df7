"""Looks through the recordings for retention.py, and lets clips go.

Nothing is kept of a look but the sum of all sizes and what a Tally keeps.

Invariant: a clip that was not uploaded loses its record before its file, so that
whatever a power cut leaves is a file that is adopted again, never a record alone.
One that was uploaded loses its file first, as anywhere else. One with more in it than
was delivered was not uploaded; that is found out when it is to go, and remembered.
"""

import asyncio
import os
from errno import ENODEV

from micropython import const

from firmware.clip_store import file_facts, remove_delivered
from firmware.job import DELIVERED
from firmware.retention_policy import (
    IN_USE,
    JOURNAL_FULL,
    Evicted,
    Tally,
    kib_of,
    pack,
    rank_of,
    unpack,
    with_rank,
)
from firmware.trigger import clip_name, default_priority, parse_clip_name
from mpegts import PACKET_BYTES

_TURN = const(16)  # entries that are looked at in one turn of the loop
_MOST_STUCK = const(16)  # a card that deletes none of so many deletes nothing
_PATIENCE = const(15)  # ticks until those are tried again, or places looked for in vain
_MOST_IN_PART = const(128)  # that are remembered
_PLACES = const(32)  # that are made in the journal at once
_PAUSE_MS = const(100)  # between clips that go: each is reported


class Eviction:
    """`used_kib` is what the recordings took at the last look, less what went since.

    `is_ready()`: whether there is a card, and the journal knows what is on it.
    """

    def __init__(self, store, journal, *, is_ready, to_unix, is_busy, on_evicted, log):
        self._store = store
        self._journal = journal
        self._is_ready = is_ready
        self._to_unix = to_unix
        self._is_busy = is_busy
        self._on_evicted = on_evicted
        self._log = log
        self._stuck, self._patience = [], 0  # names, packed, of clips that could not be deleted
        self._in_part = []  # names, packed, of clips with more in them than was delivered
        self._rest = 0  # ticks until places in the journal are looked for again
        self._cluster_bytes = 512
        self.used_kib = 0
        self.tried = 0  # clips that went, could not be deleted, or are more than they seemed

    def forget(self):
        """Another card may be in the slot."""
        self._in_part.clear()

    def tick(self):
        """Some time went by: what could not be deleted may be tried again one day."""
        self._patience -= 1
        self._rest -= 1
        if self._patience <= 0:
            self._stuck.clear()

    async def look_through(self, tally, cluster_bytes, *, by_value=True, above=-1):
        """Tell the tally of all clips that may go, by value or by age alone, behind `above`.

        OSError when the card cannot be read, or is gone.
        """
        tally.restart(above)
        self._cluster_bytes = cluster_bytes
        prefix = self._store.directory + "/"
        used_kib = seen = 0
        for name, size_bytes in self._store.files():
            seen += 1
            if seen % _TURN == 0:
                await asyncio.sleep_ms(0)
                if not self._is_ready():
                    raise OSError(ENODEV, "the card is gone")
            kib = self._kib(size_bytes)
            used_kib += kib
            parsed = parse_clip_name(name)
            if parsed is None or len(self._stuck) >= _MOST_STUCK:
                continue
            packed = pack(0, *parsed)
            rank = self._rank(packed, prefix + name, parsed[0])
            if rank < IN_USE and packed not in self._stuck:
                tally.take(with_rank(packed, rank) if by_value else packed, kib)
        self.used_kib = used_kib

    def since(self, packed):
        """When a clip began, or when it was written if that is not known: Unix time or None."""
        path = self._path(packed)
        try:
            job = self._journal.job_of(path)
            if job and job.started_unix is not None:
                return job.started_unix
            return self._to_unix(file_facts(path)[1])
        except OSError as error:
            self._leave(packed, path, error)
            return None

    def evict(self, packed, reason, most_rank):
        """Let a clip go, if its rank is still no higher than that; whether it went."""
        path, trigger = self._path(packed), unpack(packed)[1]
        try:
            if not self._is_ready() or self._rank(packed, path, trigger) > most_rank:
                return False
            job, size_bytes = self._journal.job_of(path), file_facts(path)[0]
            is_uploaded = self._remove_uploaded(packed, path, job, size_bytes)
            if not is_uploaded:
                if self._rank(packed, path, trigger) > most_rank:
                    return False
                self._remove(packed, path, job)
        except OSError as error:
            return self._leave(packed, path, error)
        self.tried += 1
        self.used_kib -= self._kib(size_bytes)
        priority = default_priority(trigger)
        if job:
            priority, trigger = job.priority, job.trigger
        self._on_evicted(Evicted(path, size_bytes, priority, trigger, is_uploaded, reason))
        return True

    async def let_go(self, packed, reason, most_rank):
        """As evict(), and then a pause."""
        is_gone = self.evict(packed, reason, most_rank)
        if is_gone:
            await asyncio.sleep_ms(_PAUSE_MS)
        return is_gone

    async def make_places(self, cluster_bytes):
        """Let the oldest go that were uploaded, if the journal has few places left.

        OSError when the card cannot be read.
        """
        queue = self._journal.queue
        if self._rest > 0 or queue.has_room() or not queue.has(DELIVERED):
            return
        tally, gone = Tally(_PLACES), 0
        await self.look_through(tally, cluster_bytes)
        for packed in tally.first:
            gone += await self.let_go(packed, JOURNAL_FULL, 0)
        if gone < _PLACES:
            self._rest = _PATIENCE

    def _remove_uploaded(self, packed, path, job, size_bytes):
        """Whether it was delivered, all of it, and went. OSError when it cannot go."""
        name = with_rank(packed, 0)
        if job is None or job.state != DELIVERED or name in self._in_part:
            return False
        if size_bytes - job.size_bytes < PACKET_BYTES:
            os.remove(path)
        else:
            try:
                remove_delivered(path, job.size_bytes)
            except OSError:
                if len(self._in_part) == _MOST_IN_PART:
                    raise
                self._in_part.append(name)
                self.tried += 1  # others go before it now
                return False
        self._journal.remove(job)
        return True

    def _remove(self, packed, path, job):
        if job:
            self._journal.evict(job, os.remove)
        else:
            os.remove(path)
        if with_rank(packed, 0) in self._in_part:
            self._in_part.remove(with_rank(packed, 0))

    def _rank(self, packed, path, trigger):
        if self._is_busy(path):
            return IN_USE
        rank, queue = -1, self._journal.queue
        is_in_part = with_rank(packed, 0) in self._in_part
        for row in self._journal.rows_of(path):
            rank = max(rank, rank_of(queue.state(row), queue.priority(row), is_in_part))
        return default_priority(trigger) + 1 if rank < 0 else rank

    def _leave(self, packed, path, error):
        """What cannot be deleted is left alone for a while, so that others go."""
        self._stuck.append(with_rank(packed, 0))
        self._patience = _PATIENCE
        self.tried += 1
        self._log("cannot be deleted: " + path, error)
        return False

    def _path(self, packed):
        _, trigger, number = unpack(packed)
        return self._store.directory + "/" + clip_name(trigger, number)

    def _kib(self, size_bytes):
        return kib_of(-(-size_bytes // self._cluster_bytes), self._cluster_bytes)
