"""The clip that is being written: access units go in, blocks come out, and the facts are kept.

    access unit ──▶ muxer ──8 KiB block──▶ file

Invariant: whole blocks are on the card for good after 64 KiB or two seconds of
footage, whichever comes first. All methods that write raise OSError, after which
there is no clip; what was flushed stays on the card.
"""

from micropython import const

from firmware.clip import Clip

_PTS_MASK = const(0x1FFFFFFFF)
_PER_MS = const(90)
_FLUSH_90K = const(2 * 90000)


class Direct:
    """Tells of a unit that is in no ring as a ring tells of one in it."""

    begin = 0

    def take(self, unit, pts_90k, is_key):
        self.buffer, self.end = unit, len(unit)
        self.pts_90k, self.is_key = pts_90k, is_key
        return self


class ClipWriter:
    def __init__(self, muxer, writer):
        """A TsMuxer, and the BlockWriter of its block."""
        self._muxer = muxer
        self._writer = writer
        self.path = None
        self.trigger, self.priority = None, 0
        self.frames = self._part = self.flushed_bytes = 0

    def begin(self, path, trigger, priority, pts_90k, goes_on):
        """The first frame is there; a recording that `goes_on` keeps its clock and its counters."""
        self.path, self.trigger, self.priority = path, trigger, priority
        self.frames = self._poster_bytes = self.flushed_bytes = 0
        self._first_90k = self.last_90k = self._flushed_90k = pts_90k
        if goes_on:
            self._part += 1
            self._muxer.empty()
        else:
            self._part = 0
            self._base_90k = pts_90k
            self._muxer.restart()

    @property
    def size_bytes(self):
        """Of the blocks that are written."""
        return self._writer.size_bytes

    def tell(self, started_unix, pre_roll_ms, picture):
        """What else is known; `picture`: (width, height, fps)."""
        self._started_unix, self._pre_roll_ms, self._picture = started_unix, pre_roll_ms, picture

    def open(self):
        """Begin the file."""
        self._writer.open(self.path)

    def feed(self, taken):
        """Take the unit that a ring's take() tells of; it stays there until write_block() is False."""
        pts_90k = self.last_90k = taken.pts_90k
        pts_90k = (pts_90k - self._base_90k) & _PTS_MASK
        self._muxer.feed(taken.buffer, taken.begin, taken.end, pts_90k, taken.is_key)
        self.frames += 1

    def write_block(self):
        """Write a block if one is full; False when the unit is all in."""
        if self._muxer.fill():
            self._writer.write_block()
            return True
        if not self._poster_bytes:
            self._poster_bytes = self._writer.size_bytes + self._muxer.tail_bytes
        if (self.last_90k - self._flushed_90k) & _PTS_MASK >= _FLUSH_90K:
            self._writer.flush()
        return False

    def was_flushed(self):
        """Whether more is on the card for good than when this was asked last."""
        flushed_bytes = self._writer.flushed_bytes
        if flushed_bytes == self.flushed_bytes:
            return False
        self.flushed_bytes = flushed_bytes
        self._flushed_90k = self.last_90k
        return True

    def length_90k(self, pts_90k):
        return (pts_90k - self._first_90k) & _PTS_MASK

    def lead_in(self, pts_90k):
        """The next clip of this recording begins at that time: let the clock come close to it."""
        self._muxer.show_time(pts_90k - self._base_90k)

    def close(self, end_90k):
        """End the clip, whose last frame is shown until `end_90k`; returns the Clip."""
        while self._muxer.fill():
            self._writer.write_block()
        size_bytes, digest = self._writer.close(self._muxer.tail_bytes)
        path, self.path = self.path, None
        width, height, fps = self._picture
        return Clip(
            path,
            size_bytes,
            digest,
            self.trigger,
            self.priority,
            self._started_unix,
            self.length_90k(end_90k) // _PER_MS,
            self.frames,
            width,
            height,
            fps,
            self._pre_roll_ms,
            self._poster_bytes,
            self._part,
        )

    def abandon(self):
        """Leave the file as it is; returns its path."""
        self._writer.abandon()
        path, self.path = self.path, None
        return path
