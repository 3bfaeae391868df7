"""Motion from the sizes of encoded pictures alone; no pixel is looked at.

What moves costs an encoder bytes: a P picture is larger than P pictures usually
are at its place behind the last key picture. What is usual is learned for each
place, as a logarithm, so that a threshold is a ratio and holds for any bitrate:

    key | 1st 2nd 3rd ...  30th | every later one
          usual[0] ..   usual[29]  usual[30]

How far sizes stray from that on their own, as by noise, is learned as well and
widens the threshold. Motion is when _SET of the last 16 are too large, by about
as much each, until at most _CLEARED are. What is no motion:

- one picture half as large as a key picture: a light was switched;
- sizes that rise and fall between usual and large: the light changes slowly;
- sizes that are larger but all alike: more noise, which then is usual;
- what does not end: that is usual from then on, too.

An encoder that always uses up its bitrate gives nothing away: its sizes no longer
follow the picture. Nothing is allocated once it runs; all numbers are small ones.

Pure: no IO.
"""

from array import array

from micropython import const

_PLACES = const(31)
_LAST = const(30)
_STEP = const(64)  # of the logarithm, in an octave
_FINE = const(4)  # bits of a step: the unit of what is learned
_UNKNOWN = const(-1)
_FIRST_STRAY = const(8 << _FINE)
_LEAST = const(1 << _FINE)
_MEAN = const(5)  # bits: means are kept as sums over so many powers of two pictures
_FLOOR = const(5)  # see feed()

_WARM_UP = const(64)  # P pictures
_WARM_UP_KEYS = const(3)  # and two whole groups, unless these are too long
_LONG_WARM_UP = const(250)
_STEADY = const(40)  # P pictures that are too large, but all alike
_LATE = const(3)
_STEADY_WOBBLE = const(5 << _FINE)
_LASTING = const(1500)  # P pictures of motion: a minute at 25 a second

_WINDOW = const(0xFFFF)
_SET = const(10)
_CLEARED = const(4)
_FEW = const(2)
_SWITCHED = const(16)  # P pictures until the encoder has got over a sudden light


class SizeMotion:
    """`sensitivity`: of a stream with little noise, motion is 45 % more at 1, 16 % at 50, 7 % at 100."""

    def __init__(self, sensitivity):
        if not 1 <= sensitivity <= 100:
            raise ValueError("sensitivity: allowed are 1..100")
        self._threshold = 2 + (100 - sensitivity) * (100 - sensitivity) // 400 << _FINE
        self._usual = array("h", (0 for _ in range(_PLACES)))
        self.restart()

    def restart(self):
        """Learn anew: another stream follows."""
        for place in range(_PLACES):
            self._usual[place] = _UNKNOWN
        self.is_moving = False
        self._strays = _FIRST_STRAY << _MEAN  # distances from what is usual
        self._levels = self._wobbles = 0  # in motion: how much too large, and distances from that
        self._place = self._key_bytes = self._recent = self._blind = 0
        self._seen = self._keys = self._moving_for = self._steady_for = 0

    def feed(self, size_bytes, is_key):
        """The next access unit."""
        if is_key:
            self._place = 0
            self._key_bytes = size_bytes
            if self._keys < _WARM_UP_KEYS:
                self._keys += 1
            return
        # Without the addition, a few bytes more in a picture of skipped blocks would be many times more.
        size = _logarithm(size_bytes + (self._key_bytes >> _FLOOR)) << _FINE
        place = min(self._place, _LAST)
        usual = self._usual[place]
        if usual == _UNKNOWN:
            self._usual[place] = usual = size
        if self._is_warming_up():
            self._usual[place] += (size - usual) >> 1
        elif not self._is_blinded(size_bytes, size - usual):
            self._weigh(size - usual)
        self._place += 1
        if self._place == _LAST + _PLACES:
            self._place = _LAST

    def _is_warming_up(self):
        is_between_keys = 0 < self._keys < _WARM_UP_KEYS
        if self._seen >= (_LONG_WARM_UP if is_between_keys else _WARM_UP):
            return False
        self._seen += 1
        return True

    def _is_blinded(self, size_bytes, excess):
        """After a light was switched; in the midst of motion it is not told from motion."""
        if self._blind:
            self._blind -= 1
        elif (
            0 < self._key_bytes < 2 * size_bytes
            and excess > _STEP << _FINE
            and _ones(self._recent) <= _FEW
        ):
            self._blind = 2 * _SWITCHED
        return self._blind >= _SWITCHED  # then seeing for as long, whatever comes

    def _weigh(self, excess):
        limit = self._threshold + 3 * (self._strays >> _MEAN)
        self._recent = (self._recent << 1 | (excess > limit)) & _WINDOW
        level = self._levels >> _LATE
        self._levels += excess - level
        self._wobbles += abs(excess - level) - (self._wobbles >> _LATE)
        large = _ones(self._recent)
        if large >= _SET and 2 * self._wobbles < self._levels:
            self.is_moving = True
        elif large <= _CLEARED:
            self.is_moving = False
        if self.is_moving:
            self._doubt()
        else:
            self._moving_for = self._steady_for = 0
        self._learn(excess, limit)

    def _doubt(self):
        """Whether this motion is one."""
        self._moving_for += 1
        is_steady = self._wobbles <= min(_STEADY_WOBBLE << _LATE, self._levels >> 3)
        self._steady_for = self._steady_for + 1 if is_steady else 0
        if self._steady_for >= _STEADY or self._moving_for >= _LASTING:
            for place in range(_PLACES):
                if self._usual[place] != _UNKNOWN:
                    self._usual[place] += self._levels >> _LATE
            self._recent = self._levels = 0

    def _learn(self, excess, limit):
        """Follow what is near, fall quickly to what is much less, rise slowly to what is too large."""
        if excess < -limit:
            excess >>= 1
        elif excess <= limit:
            stray = self._strays >> _MEAN
            self._strays += min(abs(excess), 2 * stray + _LEAST) - stray
            excess >>= 3
        elif self.is_moving:
            return
        else:
            excess >>= 5
        # The last place has many pictures in a long group; it learns no faster than the others.
        if self._place <= _LAST:
            self._usual[self._place] += excess


def _logarithm(number):
    """Of base two in steps of _STEP, straight between the powers."""
    octaves = 0
    while number >= 2 * _STEP:
        number >>= 1
        octaves += _STEP
    return octaves + number


def _ones(bits):
    count = 0
    while bits:
        bits &= bits - 1
        count += 1
    return count
