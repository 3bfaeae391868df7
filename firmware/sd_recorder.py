"""Turns access units into clips on the card.

    source ──▶ check ──▶ ring ──▶ muxer ──8 KiB block──▶ file

The ring is the pre-roll and the cushion for a slow card. A recording begins with the
newest IDR picture in it that is as old as the pre-roll, or with the oldest, and ends with
the last unit before `stop`. With each unit that comes a few are written, so that a
pre-roll does not hold up the source. Without a ring, or when the IDR picture is larger
than it, units are written as they come.

Invariant: a unit that came while recording is written before its place is used again.
"""

import asyncio
from hashlib import md5
from time import ticks_diff

from micropython import const

from annexb import picture_size
from block_writer import BlockWriter
from firmware.clip_series import ClipSeries
from firmware.clip_writer import ClipWriter, Direct
from firmware.source_keeper import SourceKeeper
from firmware.unit_check import DROPPED, KEY, OTHER_KEY, UnitCheck
from mpegts import TsMuxer
from protocol_error import ProtocolError

_PTS_MASK = const(0x1FFFFFFFF)
_PER_MS = const(90)
_ASK_AGAIN_90K = const(5 * 90000)
_CATCH_UP = const(4)  # units that are written for one that comes


class SdRecorder:
    def __init__(
        self,
        source,
        *,
        ring,
        buffer,
        on_source,
        pre_roll_ms,
        stall_ms,
        ticks_ms,
        randbits,
        on_unit=None,
        log=print,
        **clips,
    ):
        """`ring`: a GopRing or None; `buffer` has mpegts.BUFFER_BYTES; `clips` is for ClipSeries.

        on_source(error) when the source fails, or gives nothing for `stall_ms`, and None when all
        is well again; on_unit(size_bytes, is_key, pts_90k) of every unit that can be played.
        """
        self._source = source
        self._ring = ring
        self._direct = Direct()
        muxer = TsMuxer(buffer)
        self._clip = ClipWriter(muxer, BlockWriter(muxer.block, new_digest=md5))
        self._clips = ClipSeries(self._clip, source, needs_key=self._ask_for_key, **clips)
        self._check = UnitCheck(muxer.sets, log)
        self._keeper = SourceKeeper(
            source,
            started=self._source_started,
            take=self._take,
            failed=self._source_failed,
            can_play=lambda: self._check.can_play,
            on_source=on_source,
            stall_ms=stall_ms,
            randbits=randbits,
        )
        self._on_unit, self._log = on_unit, log
        self._ask, self._asked_90k = getattr(source, "request_key", None), -_ASK_AGAIN_90K
        self._has_told = False  # that the ring is too small
        self._pre_roll_90k = pre_roll_ms * _PER_MS
        self._ticks_ms = ticks_ms
        self._newest_ms = ticks_ms()

    @property
    def is_recording(self):
        return self._clip.path is not None

    @property
    def path(self):
        """The file that is being written, or None."""
        return self._clip.path

    @property
    def dropped_units(self):
        """How much came from the source that was no access unit."""
        return self._check.dropped

    def start(self, trigger, priority):
        """Record, with what the pre-roll has; of several calls the highest priority counts."""
        self._clips.start(trigger, priority, self._now_90k())

    def switch(self, trigger, priority):
        """Record as this from the next IDR picture on, in a clip of its own; no frame is lost."""
        self._clips.switch(trigger, priority, self._now_90k())

    def stop(self):
        """End the clip with the unit that came last."""
        self._clips.stop()

    async def run(self):
        """Serve the source until it ends by itself; one that fails is started again."""
        try:
            await self._keeper.run()
        finally:
            try:
                self._finish_at_once()
            finally:
                self._source.stop()

    def _now_90k(self):
        """In the time of the units that come; None before the first."""
        if self._check.pts_90k < 0:
            return None
        return self._clips.newest_90k + ticks_diff(self._ticks_ms(), self._newest_ms) * _PER_MS

    def _source_started(self):
        self._check.restart(self._source.fps)
        self._clips.picture = self._source.width, self._source.height
        if self._ring:
            self._ring.clear()

    async def _source_failed(self):
        await self._drain()
        self._clips.finish()
        self._settle()

    async def _take(self, unit, pts_90k, is_key):
        """Take what the source gives; whether it was good for anything."""
        kind = self._check.take(unit, pts_90k, is_key)
        if kind == DROPPED:
            return False
        is_key, pts_90k = kind >= KEY, self._check.pts_90k
        if self._on_unit:
            self._on_unit(len(unit), is_key, pts_90k)
        if self.is_recording and not self._clips.is_wanted:
            await self._drain()
            if not self._clips.is_wanted:  # nor was it wanted again meanwhile
                self._clips.finish(pts_90k)
                self._settle()
        if kind == OTHER_KEY:
            await self._change(unit)
        self._clips.newest_90k, self._newest_ms = pts_90k, self._ticks_ms()
        ring = self._ring
        if ring is None or not (
            ring.push(unit, pts_90k, is_key) or await self._make_room(unit, pts_90k, is_key)
        ):
            await self._write(self._direct.take(unit, pts_90k, is_key))
            return True
        if not ring.is_read:
            if not self._clips.can_begin(is_key):
                ring.trim(self._pre_roll_90k)
            elif not ring.begin_reading():
                await self._begin_without_past(unit, pts_90k, is_key)
        for _ in range(_CATCH_UP):
            if not ring.take():
                break
            await self._write(ring)
        return True

    async def _make_room(self, unit, pts_90k, is_key):
        """Write until the ring takes the unit; False if it is larger than the ring."""
        ring = self._ring
        while ring.take():
            await self._write(ring)
            if ring.push(unit, pts_90k, is_key):
                return True
        ring.pass_by()
        return False

    async def _begin_without_past(self, unit, pts_90k, is_key):
        """Nothing in the ring can be begun with: an IDR picture must come, or has no place in it."""
        if not is_key:
            return self._ask_for_key()
        if not self._has_told:
            self._has_told = True
            self._log("a key frame of %d bytes is larger than the pre-roll's ring" % len(unit))
        self._ring.follow()
        await self._write(self._direct.take(unit, pts_90k, is_key))

    def _ask_for_key(self):
        """Ask the source for an IDR picture if it can be asked, but not without end."""
        now_90k = self._clips.newest_90k
        if self._ask is None or (now_90k - self._asked_90k) & _PTS_MASK < _ASK_AGAIN_90K:
            return
        self._asked_90k = now_90k
        try:
            self._ask()
        except OSError as error:
            self._log("the source was asked for a key frame: %s" % error)

    async def _drain(self):
        ring = self._ring
        while ring and ring.take():
            await self._write(ring)

    async def _change(self, unit):
        """Another picture begins: what is kept of the old one is no pre-roll of it."""
        await self._drain()
        self._check.adopt(unit)
        try:
            self._clips.change(picture_size(unit))
        except ProtocolError:
            self._clips.change((self._source.width, self._source.height))
        if self._ring:
            self._ring.pass_by()

    async def _write(self, taken):
        self._clips.feed(taken)
        try:
            while self._clips.write_block():
                await asyncio.sleep_ms(0)  # an IDR picture may be many blocks
        except OSError as error:
            self._clips.fail(error)
        self._settle()

    def _settle(self):
        self._clips.look_up()
        ring = self._ring
        if ring and ring.is_read and not self.is_recording:
            ring.end_reading()  # nobody reads when nothing is recorded
            ring.trim(self._pre_roll_90k)

    def _finish_at_once(self):
        """Write all there is without giving way, and what was being written first."""
        ring = self._ring
        self._write_at_once()
        while ring and self.is_recording and ring.take():
            self._clips.feed(ring)
            self._write_at_once()
        self._clips.finish()
        self._settle()

    def _write_at_once(self):
        try:
            while self._clips.write_block():
                pass
        except OSError as error:
            self._clips.fail(error)
        self._settle()
