"""Keeps a source of frames going: whatever ends it but its own end, it is started again.

    start ──▶ next, next, next ... ──error, or nothing for stall_ms──▶ stop, wait ──▶ start

A failure is told once, and so is that frames come again. Waits grow with the
failures in a row and are drawn at random, as everywhere. A start has a limit of its
own: a camera on the network may let the first IDR picture wait for a minute.

Invariant: between stop and start the taker has finished what it had in hand.
"""

import asyncio

from micropython import const

from backoff import full_jitter
from protocol_error import ProtocolError

# What sources may raise. Others are faults of ours, which the supervisor logs with the traceback.
_ERRORS = (OSError, EOFError, asyncio.TimeoutError, ProtocolError, MemoryError)
_RETRY_MS = (500, 30000)
_LOOKS = const(4)  # so often without a frame in a row: it stalls


class SourceKeeper:
    def __init__(
        self,
        source,
        *,
        started,
        take,
        failed,
        can_play,
        on_source,
        stall_ms,
        randbits,
        start_ms=75000,
    ):
        """`started()`; `await take(unit, pts_90k, is_key)`, which tells whether it was good for
        anything; `await failed()`; `can_play()`. on_source(error), and None when all is well again.
        """
        self._source = source
        self._started = started
        self._take = take
        self._failed = failed
        self._can_play = can_play
        self._on_source = on_source
        self._look_ms = max(1, stall_ms // _LOOKS)
        self._start_looks = max(1, start_ms // self._look_ms)
        self._randbits = randbits
        self._told = None  # of the failure that lasts

    async def run(self):
        """Serve the source until it ends by itself; whoever runs this stops it."""
        self._failures = 0
        while True:
            error = await self._serve_once()
            if error is None:
                return
            self._source.stop()
            await self._failed()
            self._tell(error)
            base_ms, cap_ms = _RETRY_MS
            await asyncio.sleep_ms(full_jitter(base_ms, cap_ms, self._failures, self._randbits))
            self._failures += 1

    async def _serve_once(self):
        """What ended it: an error, or None for its own end."""
        self._stalled = None
        self._is_started = False
        self._is_waiting = True
        self._limit = self._start_looks
        self._quiet = 0  # looks without a frame
        self._over = asyncio.Event()
        pump = asyncio.create_task(self._pump())
        watch = asyncio.create_task(self._watch(pump))
        try:
            # Who awaits a task hands a cancel on to it, and there that of the watch would hide it.
            await self._over.wait()
        finally:
            watch.cancel()
            if pump.cancel():
                await asyncio.gather(pump, return_exceptions=True)
        return self._stalled or await pump

    async def _pump(self):
        try:
            return await self._serve()
        finally:
            self._over.set()

    async def _serve(self):
        source = self._source
        try:
            await source.start()
        except _ERRORS as error:
            return error
        self._started()
        self._limit, self._quiet = _LOOKS, 0
        self._is_started = True
        while True:
            self._is_waiting = True
            try:
                got = await source.next()
            except _ERRORS as error:
                return error
            self._is_waiting = False
            self._quiet = 0
            if got is None:
                return None
            if await self._take(got[0], got[1], got[2]) and self._told:
                self._tell(None)

    async def _watch(self, pump):
        """Look now and then: this costs less than a deadline for each frame.

        Looks are counted, not time: a loop that was held up is no stalled source.
        """
        unplayable = 0
        while True:
            await asyncio.sleep_ms(self._look_ms)
            if self._is_waiting:
                self._quiet += 1
            if self._quiet > self._limit:
                if pump.cancel():  # or it has just ended
                    waited_ms = self._limit * self._look_ms
                    self._stalled = asyncio.TimeoutError("no frame for %d ms" % waited_ms)
                return
            if not self._is_started or self._quiet > 1:
                continue
            if self._can_play():
                self._failures = 0
            else:
                unplayable += 1
                if unplayable == _LOOKS:
                    self._tell(ProtocolError("no SPS/PPS"))

    def _tell(self, error):
        """The same failure again is no other."""
        told = error and "%s %s" % (type(error).__name__, error)
        if told != self._told:
            self._told = told
            self._on_source(error)
