"""Looks at every access unit before it is kept: is it one, can it be played, when was it taken.

What is no access unit is dropped. So is what cannot be decoded: all before the first
IDR picture with SPS and PPS, and after an IDR picture that was dropped all up to the
next one. Behind any other lost unit a decoder shows some smear up to the next IDR
picture, which is more than nothing.

Time goes on evenly: where the source's clock goes back or leaps, ours goes on by a
frame.

Invariant: nothing is allocated per unit but, where a word has 32 bits, integers for
times that do not fit.

Pure: no IO.
"""

from micropython import const

from annexb import IDR_SLICE, START_CODE_BYTES, find_nal, is_slice, nal_type

# What a unit is good for:
DROPPED = const(0)
PICTURE = const(1)
KEY = const(2)  # an IDR picture that can be begun with
OTHER_KEY = const(3)  # the same with another SPS than before; adopt() it

_PTS_MASK = const(0x1FFFFFFFF)
_LONGEST_STEP_90K = const(5 * 90000)
_SHORTEST_BYTES = const(5)
_FORBIDDEN_BIT = const(0x80)


class UnitCheck:
    """`pts_90k` is the time of the unit that was taken last; `dropped` counts what was none."""

    def __init__(self, sets, log):
        """`sets` are the ParameterSets of the muxer, which are kept up to date."""
        self._sets = sets
        self._log = log
        self.dropped = 0
        self.pts_90k = -1
        self.restart(0)

    def restart(self, fps):
        """The source begins anew; our time goes on."""
        self._sets.forget()
        self.frame_90k = 90000 // (fps or 25)
        self.can_play = False  # whether there was an IDR picture to begin with
        self._needs_key = True
        self._is_burst = False
        self._source_90k = -1

    def take(self, unit, pts_90k, is_key):
        """Tell what the unit is good for; `is_key` counts only for one that is none."""
        kind = _slice_kind(unit)
        if not kind:
            return self._drop(is_key)
        self._note_time(pts_90k)
        if kind == IDR_SLICE:
            return self._take_key(unit)
        return DROPPED if self._needs_key else PICTURE

    def adopt(self, unit):
        """From this unit with another SPS on it is that which counts."""
        self._sets.find(unit, 0, len(unit))  # the muxer has looked at others since
        self._sets.keep(unit)

    def _drop(self, is_key):
        self.dropped += 1
        self._needs_key = self._needs_key or is_key
        if not self._is_burst:
            self._is_burst = True
            self._log("the source gives what is no access unit (%d so far)" % self.dropped)
        return DROPPED

    def _take_key(self, unit):
        sets = self._sets
        self._is_burst = False
        kind = KEY
        if sets.find(unit, 0, len(unit)):
            if sets.is_other(unit):
                kind = OTHER_KEY
            else:
                sets.keep(unit)
        elif not sets.size_bytes:
            kind = DROPPED
        self._needs_key = kind == DROPPED
        self.can_play = not self._needs_key
        return kind

    def _note_time(self, pts_90k):
        step_90k = self.frame_90k
        if self._source_90k >= 0:
            step_90k = (pts_90k - self._source_90k) & _PTS_MASK
            if step_90k > _LONGEST_STEP_90K:
                step_90k = self.frame_90k
            elif not step_90k:
                step_90k = 1
        self._source_90k = pts_90k
        self.pts_90k = (self.pts_90k + step_90k if self.pts_90k >= 0 else pts_90k) & _PTS_MASK


def _slice_kind(unit):
    """Type of the first slice; 0 for what does not begin as a NAL unit does, or has no slice."""
    end = len(unit)
    if end < _SHORTEST_BYTES or unit[0]:
        return 0
    at = find_nal(unit, 0, _SHORTEST_BYTES)
    while at >= 0:
        if unit[at + START_CODE_BYTES] & _FORBIDDEN_BIT:
            return 0
        kind = nal_type(unit, at)
        if is_slice(kind):
            return kind
        at = find_nal(unit, at + START_CODE_BYTES, end)
    return 0
