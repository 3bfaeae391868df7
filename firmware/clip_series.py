"""Cuts the units that come into clips: where one begins and ends, and what is said of it.

A recording begins with an IDR picture and is one clip or several: one that grows too
long, or is to have another trigger, or gets another picture, is followed by the next
at an IDR picture, and no frame is lost. A card that fails ends the recording; while
it is still wanted it is tried again after a pause.

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


class ClipSeries:
    """Recorder and source tell it `newest_90k`, the time of the unit that came last, and `picture`,
    (width, height) of what comes.
    """

    def __init__(
        self,
        clip,
        *,
        unix_time,
        on_started,
        on_clip,
        on_error,
        may_record,
        max_clip_ms,
        new_path,
        on_raised=None,
        on_grown=None,
    ):
        """`clip` is the ClipWriter; new_path(trigger) names a clip.

        on_started(path, trigger, priority), on_raised() the same; on_clip(Clip);
        on_error(path, OSError); on_grown(bytes on the card for good). may_record(priority)
        is asked for each clip and each time it has grown.
        """
        self._clip = clip
        self._unix_time = unix_time
        self._on_started, self._on_raised = on_started, on_raised
        self._on_clip, self._on_error = on_clip, on_error
        self._on_grown = on_grown
        self._may_record = may_record
        self._max_clip_90k = max_clip_ms * _PER_MS
        self._new_path = new_path
        self.is_wanted = False
        self._trigger, self._priority = None, 0
        self._next = None  # (trigger, priority) from the next IDR picture on
        self._asked_90k = None
        self.newest_90k = 0
        self.picture, self.fps = (0, 0), 0
        self._has_changed = False
        self._failed_90k = None
        self._is_refused = False

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
            self._next = trigger, priority
        else:
            self._trigger, self._priority = trigger, priority
        self._asked_90k = now_90k
        self.is_wanted = True

    def stop(self):
        self.is_wanted = False
        self._next = None

    def change(self, picture):
        """From the next IDR picture on this is what comes."""
        self.picture = picture
        self._has_changed = True

    def can_begin(self, is_key):
        """Whether a recording may begin now. A refusal holds until the next IDR picture."""
        if not self.is_wanted or (self._is_refused and not is_key):
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

    def write_block(self):
        """Write a block if one is full; False when the unit is all in. OSError: tell fail()."""
        return self._clip.path is not None and self._clip.write_block()

    def look_up(self):
        """A unit is in: see what is on the card for good, and whether there may be more."""
        clip = self._clip
        if clip.path is not None and clip.was_flushed():
            if self._on_grown:
                self._on_grown(clip.flushed_bytes)
            if not self._is_allowed(clip.priority):
                self.finish()

    def finish(self, end_90k=None):
        """Close the clip, if there is one; `end_90k` is when its last frame ended, if known."""
        if self.is_open:
            if end_90k is None:
                end_90k = self._clip.last_90k + _SECOND_90K // (self.fps or 25)
            self._close(end_90k)

    def fail(self, error):
        """End the clip where the card failed; what is flushed stays on it."""
        self._failed_90k = self.newest_90k
        self._on_error(self._clip.abandon(), error)

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
        elif (
            self._next or self._has_changed or self._clip.length_90k(pts_90k) >= self._max_clip_90k
        ):
            self._clip.lead_in(pts_90k)
            if self._close(pts_90k) and self._is_allowed((self._next or (0, self._priority))[1]):
                self._begin(pts_90k, True)

    def _is_allowed(self, priority):
        self._is_refused = not self._may_record(priority)
        return not self._is_refused

    def _begin(self, pts_90k, goes_on):
        if self._next:
            self._trigger, self._priority = self._next
            self._next = None
        self._has_changed = False
        path = self._new_path(self._trigger)
        self._clip.begin(path, self._trigger, self._priority, pts_90k, goes_on)
        self._clip.tell(
            self._unix_of(pts_90k), self._pre_roll_ms(pts_90k), self.picture + (self.fps,)
        )
        self._on_started(path, self._trigger, self._priority)
        try:
            self._clip.open()
        except OSError as error:
            return self.fail(error)
        self._failed_90k = None

    def _pre_roll_ms(self, pts_90k):
        if self._asked_90k is None:
            return 0
        age_90k = (self._asked_90k - pts_90k) & _PTS_MASK
        return age_90k // _PER_MS if age_90k < _AGE_LIMIT_90K else 0

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
        self._on_clip(clip)
        return True
