"""Cuts the units that come into clips: where one begins and ends, and what is said of it.

A recording begins with an IDR picture and is one clip or several: one that grows too
long or too large, or is to have another trigger, is followed by the next at an IDR
picture, and no frame is lost. Another picture begins another recording. A card that
fails ends the recording; while it is still wanted it is tried again after a pause.

What waits for the next IDR picture to have a clip of its own, and will not get it
there, raises the clip that shows it.

Invariant: `on_clip` or `on_error` is called once for each clip that `on_started` told
of; on_started before its file exists, on_clip when its last byte is flushed and its
file closed. The time of every recording begins at zero.
"""

from errno import EIO

from micropython import const

_PTS_MASK = const(0x1FFFFFFFF)
_PER_MS = const(90)
_SECOND_90K = const(90000)
_AGE_LIMIT_90K = const(1 << 32)  # beyond, a difference of times is a negative one
_PAUSE_AFTER_ERROR_90K = const(5 * 90000)
# FAT holds files below 4 GiB, and many a reader half of that.
_SPLIT_BYTES = const(0x3F000000)  # at the next IDR picture
_MOST_BYTES = const(0x7F000000)  # wherever it is


class ClipSeries:
    """The recorder tells `newest_90k`, the time of the unit that came last, and `picture`, (width,
    height) of what comes.
    """

    def __init__(
        self,
        clip,
        source,
        *,
        needs_key,
        unix_time,
        on_started,
        on_clip,
        on_error,
        may_record,
        max_clip_ms,
        new_path,
        on_raised=None,
        on_grown=None,
        split_bytes=_SPLIT_BYTES,
        most_bytes=_MOST_BYTES,
    ):
        """`clip` is the ClipWriter; of the source `fps` counts; new_path(trigger) names a clip;
        needs_key() when nothing can begin or be split before the next IDR picture.

        on_started(path, trigger, priority), on_raised() the same; on_clip(Clip);
        on_error(path, OSError); on_grown(bytes on the card for good). may_record(priority)
        is asked for each clip and each time it has grown.
        """
        self._clip, self._source = clip, source
        self._needs_key = needs_key
        self._unix_time = unix_time
        self._on_started, self._on_raised = on_started, on_raised
        self._on_clip, self._on_error = on_clip, on_error
        self._on_grown = on_grown
        self._may_record = may_record
        self._max_clip_90k = max_clip_ms * _PER_MS
        self._split_bytes, self._most_bytes = split_bytes, most_bytes
        self._new_path = new_path
        self.is_wanted = False
        self._trigger, self._priority = None, 0
        self._next = None  # (trigger, priority) from the next IDR picture on
        self._asked_90k = None
        self.newest_90k = 0
        self.picture = 0, 0
        self._has_changed = False
        self._failed_90k = None
        self._refused = -1  # the priority that may not record up to the next IDR picture

    @property
    def is_open(self):
        return self._clip.path is not None

    def start(self, trigger, priority, now_90k):
        """Record; of several calls the highest priority counts. `now_90k` is None before any unit."""
        if not (self.is_wanted or self.is_open):
            self._trigger, self._priority = trigger, priority
        elif self._next:
            if priority > self._next[1]:
                self._next = trigger, priority
        elif priority > self._priority:
            self._raise(trigger, priority)
        if not self.is_wanted:
            self._asked_90k = now_90k
        self.is_wanted = True

    def switch(self, trigger, priority, now_90k):
        """Record as this, in a clip of its own from the next IDR picture on."""
        if self.is_open:
            if self._next and self._next[1] > priority:
                self._raise_to_next()
            self._next = trigger, priority
        else:
            self._trigger, self._priority = trigger, priority
        self._asked_90k = now_90k
        self.is_wanted = True

    def stop(self):
        self.is_wanted = False
        self._raise_to_next()
        self._next = None

    def change(self, picture):
        """From the next IDR picture on this is what comes."""
        self.picture = picture
        self._has_changed = True

    def can_begin(self, is_key):
        """Whether a recording may begin now. A refusal holds until the next IDR picture."""
        if not self.is_wanted or (self._refused >= self._priority and not is_key):
            return False
        if self._failed_90k is not None:
            if (self.newest_90k - self._failed_90k) & _PTS_MASK < _PAUSE_AFTER_ERROR_90K:
                return False
        return self._is_allowed(self._priority)

    def feed(self, taken):
        """Take the unit that a ring's take() tells of; it stays there until write_block() is False."""
        if taken.is_key:
            self._at_key(taken.pts_90k)
        if self._clip.path is not None:
            self._clip.feed(taken)
        elif self.can_begin(False):
            self._needs_key()

    def write_block(self):
        """Write a block if one is full; False when the unit is all in. OSError: tell fail()."""
        return self._clip.path is not None and self._clip.write_block()

    def look_up(self):
        """A unit is in: see what is on the card for good, and whether there may be more."""
        clip = self._clip
        if clip.path is not None and clip.was_flushed():
            if self._on_grown:
                self._on_grown(clip.flushed_bytes)
            if not self._is_allowed(clip.priority) or clip.flushed_bytes >= self._most_bytes:
                self.finish()
            elif self._is_due(clip.last_90k):
                self._needs_key()

    def finish(self, end_90k=None):
        """Close the clip, if there is one; `end_90k` is when its last frame ended, if known."""
        if self.is_open:
            if end_90k is None:
                end_90k = self._clip.last_90k + _SECOND_90K // (self._source.fps or 25)
            self._raise_to_next()
            self._close(end_90k)

    def fail(self, error):
        """End the clip where the card failed; what is flushed stays on it."""
        self._failed_90k = self.newest_90k
        self._take_next()
        self._on_error(self._clip.abandon(), error)

    def _take_next(self):
        if self._next:
            self._trigger, self._priority = self._next
            self._next = None

    def _raise_to_next(self):
        if self._next and self._next[1] > self._priority:
            self._raise(*self._next)

    def _raise(self, trigger, priority):
        self._trigger, self._priority = trigger, priority
        if self.is_open:
            self._clip.trigger, self._clip.priority = trigger, priority
            if self._on_raised:
                self._on_raised(self._clip.path, trigger, priority)

    def _at_key(self, pts_90k):
        if not self.is_open:
            if self.can_begin(True):
                self._begin(pts_90k, False)
        elif self._has_changed or self._is_due(pts_90k):
            goes_on = not self._has_changed
            if goes_on:
                self._clip.lead_in(pts_90k)
            if self._close(pts_90k) and self._is_allowed(self._priority):
                self._begin(pts_90k, goes_on)

    def _is_due(self, pts_90k):
        """Whether the clip is to end at the next IDR picture."""
        clip = self._clip
        return (
            self._next is not None
            or clip.length_90k(pts_90k) >= self._max_clip_90k
            or clip.size_bytes >= self._split_bytes
        )

    def _is_allowed(self, priority):
        is_allowed = self._may_record(priority)
        self._refused = -1 if is_allowed else priority
        return is_allowed

    def _begin(self, pts_90k, goes_on):
        self._has_changed = False
        path = self._new_path(self._trigger)
        self._clip.begin(path, self._trigger, self._priority, pts_90k, goes_on)
        picture = self.picture + (self._source.fps,)
        self._clip.tell(self._unix_of(pts_90k), self._pre_roll_ms(pts_90k), picture)
        self._on_started(path, self._trigger, self._priority)
        try:
            self._clip.open()
        except OSError as error:
            return self.fail(error)
        self._failed_90k = None

    def _pre_roll_ms(self, pts_90k):
        """What came before the wish: never more than there is up to the newest unit."""
        asked_90k, self._asked_90k = self._asked_90k, None
        if asked_90k is None:
            return 0
        age_90k = (asked_90k - pts_90k) & _PTS_MASK
        if age_90k >= _AGE_LIMIT_90K:
            return 0
        return min(age_90k, (self.newest_90k - pts_90k) & _PTS_MASK) // _PER_MS

    def _unix_of(self, pts_90k):
        """When the unit was taken, counted back from the newest one; None while the clock is unknown."""
        now_unix = self._unix_time()
        if now_unix is None:
            return None
        return now_unix - ((self.newest_90k - pts_90k) & _PTS_MASK) // _SECOND_90K

    def _close(self, end_90k):
        """Whether a whole clip is on the card."""
        try:
            if not self._clip.frames:
                raise OSError(EIO, "nothing was recorded")
            clip = self._clip.close(end_90k)
        except OSError as error:
            self.fail(error)
            return False
        self._take_next()
        self._on_clip(clip)
        return True
