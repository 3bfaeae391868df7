"""Turns access units into clips on the card.

    source ──access unit──▶ muxer ──8 KiB block──▶ file

A clip begins with the first IDR picture after `start` and ends with the last
unit before `stop`; one that grows too long is split at an IDR, no frame lost.
A card that fails ends the clip, is reported, and is tried again after a pause
while recording is still wanted.

Invariant: `on_clip` is called once for each clip, when its last byte is flushed
and its file closed, and for nothing else. Every clip's time begins at zero.
"""

import asyncio
import os
from hashlib import md5

from micropython import const

from block_writer import BlockWriter
from firmware.clip import Clip
from mpegts import TsMuxer

_PTS_MASK = (1 << 33) - 1
_PER_MS = const(90)
_PAUSE_AFTER_ERROR_90K = const(5 * 90000)


class SdRecorder:
    def __init__(
        self,
        source,
        *,
        buffer,
        unix_time,
        on_started,
        on_clip,
        on_error,
        max_clip_ms,
        new_path,
        on_grown=None,
    ):
        """`buffer` has mpegts.BUFFER_BYTES; `new_path(trigger)` names a clip.

        on_started(path, trigger, priority), on_clip(Clip), on_error(path, OSError);
        on_grown(bytes that are on the card for good), after every unit.
        """
        self._source = source
        self._muxer = TsMuxer(buffer)
        self._writer = BlockWriter(self._muxer.block, new_digest=md5)
        self._unix_time = unix_time
        self._on_started = on_started
        self._on_clip = on_clip
        self._on_error = on_error
        self._on_grown = on_grown
        self._max_clip_90k = max_clip_ms * _PER_MS
        self._new_path = new_path
        self._is_wanted = False
        self._trigger, self._priority = None, 0
        self._path = None
        self._failed_90k = None

    @property
    def is_recording(self):
        return self._path is not None

    @property
    def path(self):
        """The file that is being written, or None."""
        return self._path

    def start(self, trigger, priority):
        """Record from the next IDR picture on; of several calls the highest priority counts."""
        if not (self._is_wanted or self.is_recording) or priority > self._priority:
            self._trigger, self._priority = trigger, priority
        self._is_wanted = True

    def stop(self):
        """End the clip with the unit that came last."""
        self._is_wanted = False

    async def run(self):
        """Serve the source until it ends; OSError and ProtocolError of the source end it, too."""
        source = self._source
        try:
            await source.start()
            while True:
                unit = await source.next()
                if unit is None:
                    return
                await self._take(*unit)
        finally:
            try:
                self._finish()
            finally:
                source.stop()

    async def _take(self, unit, pts_90k, is_key):
        if self.is_recording:
            length_90k = (pts_90k - self._first_90k) & _PTS_MASK
            if not self._is_wanted or (is_key and length_90k >= self._max_clip_90k):
                self._finish(pts_90k)
        if is_key and self._is_wanted and not self.is_recording and self._may_begin(pts_90k):
            self._begin(pts_90k)
        if self.is_recording:
            await self._append(unit, pts_90k, is_key)

    def _may_begin(self, pts_90k):
        if self._failed_90k is None:
            return True
        return (pts_90k - self._failed_90k) & _PTS_MASK >= _PAUSE_AFTER_ERROR_90K

    def _begin(self, pts_90k):
        self._path = self._new_path(self._trigger)
        self._first_90k = self._last_90k = pts_90k
        self._frames = 0
        self._started_unix = self._unix_time()
        self._muxer.restart()
        try:
            self._writer.open(self._path)
        except OSError as error:
            return self._fail(error)
        self._failed_90k = None
        self._on_started(self._path, self._trigger, self._priority)

    async def _append(self, unit, pts_90k, is_key):
        self._muxer.feed(unit, (pts_90k - self._first_90k) & _PTS_MASK, is_key)
        self._last_90k = pts_90k
        self._frames += 1
        try:
            while self._muxer.fill():
                self._writer.write_block()
                await asyncio.sleep_ms(0)  # an IDR picture may be many blocks
        except OSError as error:
            return self._fail(error)
        if self._on_grown:
            self._on_grown(self._writer.flushed_bytes)

    def _finish(self, end_90k=None):
        """Close the clip, if there is one; `end_90k` is when its last frame ended, if known."""
        if not self.is_recording:
            return
        if end_90k is None:
            end_90k = self._last_90k + 90000 // self._source.fps
        try:
            while self._muxer.fill():  # if the task was cancelled within a unit
                self._writer.write_block()
            size_bytes, digest = self._writer.close(self._muxer.tail_bytes)
            if self._frames == 0:
                os.remove(self._path)
        except OSError as error:
            return self._fail(error)
        duration_90k = (end_90k - self._first_90k) & _PTS_MASK
        clip = Clip(
            self._path,
            size_bytes,
            digest,
            self._trigger,
            self._priority,
            self._started_unix,
            duration_90k // _PER_MS,
            self._frames,
            self._source.width,
            self._source.height,
            self._source.fps,
        )
        self._path = None
        if clip.frames:
            self._on_clip(clip)

    def _fail(self, error):
        """What is flushed stays on the card and is found at the next start of the camera."""
        path, self._path = self._path, None
        self._failed_90k = self._last_90k
        self._on_error(path, error)
