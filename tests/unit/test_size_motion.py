"""Motion from sizes: streams as encoders make them, told as rows of pictures of some size."""

import micropython

from harness import eq, raises
from size_motion import SizeMotion

SOON = 20  # P pictures until motion is seen, or seen to be over
QUALITY = {"key": 20000, "still": 500, "first": 900, "gop": 25}
BITRATE = {"key": 22000, "still": 2600, "first": 5000, "gop": 25, "noise": 15}
BOUNDED = {"key": 17000, "still": 5000, "first": 300, "gop": 30, "noise": 5}  # little after a key
GREEDY = {"key": 60000, "still": 30000, "first": 34000, "gop": 10, "noise": 2}


class Stream:
    """An encoder's output: key pictures in between, P pictures that get smaller behind them."""

    def __init__(self, key, still, first, gop, noise=8, sensitivity=50):
        self.motion = SizeMotion(sensitivity)
        self.key, self.still, self.first, self.gop, self.noise = key, still, first, gop, noise
        self.number = 0
        self._random = 1

    def play(self, pictures, percent=100):
        """So many pictures, the P pictures of so many percent; in how many motion is seen."""
        seen = 0
        for _ in range(pictures):
            place = self.number % self.gop
            if place == 0:
                self.motion.feed(self._stray(self.key), True)
            else:
                size = self.still + (self.first - self.still) // (place * place)
                self.motion.feed(self._stray(size * percent // 100), False)
            self.number += 1
            seen += self.motion.is_moving
        return seen

    def move(self, pictures, percent):
        """The same with something that moves: no two pictures cost as much."""
        seen = 0
        for number in range(pictures):
            seen += self.play(1, percent * (90, 105, 115, 110, 95, 85)[number // 3 % 6] // 100)
        return seen

    def _stray(self, size):
        self._random = (self._random * 1103515 + 12345) & 0xFFFFFF
        return size + size * (self._random % (2 * self.noise + 1) - self.noise) // 100


def test_a_still_picture_never_moves():
    for stream in (QUALITY, BITRATE, BOUNDED, GREEDY):
        for gop in (5, 25, 250, 100000):
            for noise in (0, 3, 20):
                settings = dict(stream)
                settings.update({"gop": gop, "noise": noise})
                eq(Stream(**settings).play(3 * 300), 0, "%r" % settings)


def test_motion_is_seen_soon_and_ends_soon():
    for stream, percent in ((QUALITY, 300), (BITRATE, 240), (BOUNDED, 150), (GREEDY, 150)):
        for gop in (12, 25, 250, 100000):
            settings = dict(stream)
            settings["gop"] = gop
            stream_now = Stream(**settings)
            eq(stream_now.play(500), 0)
            for length in (40, 100):
                seen = stream_now.move(length, percent)
                assert length - SOON <= seen < length, "gop %d: %d" % (gop, seen)
                seen = stream_now.play(200)
                assert 0 < seen <= SOON, "gop %d: %d after" % (gop, seen)


def test_how_much_more_is_motion_depends_on_the_sensitivity():
    for percent, lowest in ((104, None), (112, 80), (122, 50), (138, 20), (155, 1)):
        for sensitivity in (1, 20, 50, 80, 100):
            stream = Stream(20000, 4000, 4000, 25, 1, sensitivity)
            stream.play(300)
            is_seen = stream.play(50, percent) > 0
            note = "%d %% at %d" % (percent, sensitivity)
            eq(is_seen, lowest is not None and sensitivity >= lowest, note)


def test_a_few_bytes_are_no_motion():
    """Pictures of skipped blocks are 12 bytes long; three times that is still nothing."""
    stream = Stream(18000, 12, 12, 25, 0)
    eq(stream.play(300), 0)
    eq(stream.play(100, 300), 0)
    assert stream.play(100, 10000) > 0


def test_what_changes_slowly_is_no_motion():
    stream = Stream(**QUALITY)
    stream.play(300)
    for percent in tuple(range(100, 250)) + tuple(range(250, 60, -1)):
        eq(stream.play(25, percent), 0, "%d %%" % percent)


def test_a_light_that_is_switched_is_no_motion():
    for stream in (QUALITY, BITRATE):
        stream_now = Stream(**stream)
        stream_now.play(313)
        for _ in range(3):
            stream_now.motion.feed(stream["key"] * 8 // 10, False)
            seen = 0
            for percent in (300, 250, 220, 190, 170, 160, 150, 140, 130, 120, 115, 110, 105):
                seen += stream_now.play(1, percent)
            eq(seen + stream_now.play(100), 0)
        assert stream_now.play(50, 300) > 0


def test_large_pictures_that_go_on_are_motion_though():
    """All of the picture moves: the first one looks like a light."""
    stream = Stream(**QUALITY)
    stream.play(300)
    assert stream.move(100, 2500) >= 100 - 2 * SOON
    assert stream.play(100) <= SOON


def test_pictures_that_are_large_by_turns_are_no_motion():
    """As when the brightness goes up in steps: every fifth picture is a large one."""
    stream = Stream(**QUALITY)
    stream.play(300)
    for _ in range(60):
        eq(stream.play(1, 900) + stream.play(2, 140) + stream.play(2), 0)


def test_noise_becomes_usual_and_motion_is_seen_above_it():
    stream = Stream(20000, 1500, 1600, 25, 3)
    stream.play(300)
    assert 0 < stream.play(200, 240) <= 100
    eq(stream.play(200, 240), 0)
    seen = 0
    for percent in (300, 330, 360, 400, 360, 330, 300, 400, 340, 380):
        seen += stream.play(5, percent)
    assert seen >= 50 - SOON
    assert stream.play(300, 240) <= SOON
    assert stream.play(300) == 0, "it gets quiet again"
    assert stream.play(50, 240) > 0


def test_what_does_not_end_becomes_usual():
    stream = Stream(20000, 1000, 1000, 25, 8)
    stream.play(300)
    seen = 0
    for _ in range(300):  # never the same, so it is no noise
        seen += stream.play(5, 400) + stream.play(5, 700)
    assert 1400 <= seen <= 1700, seen
    stream.play(500)
    eq(stream.play(300), 0)
    assert stream.play(50, 500) >= 50 - SOON


def test_the_beginning_is_learned_and_so_is_another_stream():
    stream = Stream(**QUALITY)
    eq(stream.play(10) + stream.play(40, 500), 0, "while it learns")
    stream.play(500)
    assert stream.play(50, 500) > 0
    stream.motion.restart()
    eq(stream.motion.is_moving, False)
    eq(stream.play(300, 500), 0)
    assert stream.play(50, 2000) > 0


def test_nothing_is_allocated():
    stream = Stream(**BITRATE)
    stream.play(300)
    sizes = [(1 << 20, True), (3000, False), (9000, False), (900000, False), (0, False)]
    feed = stream.motion.feed
    micropython.heap_lock()
    try:
        for _ in range(3000):
            for size, is_key in sizes:
                feed(size, is_key)
    finally:
        micropython.heap_unlock()


def test_a_sensitivity_that_is_none_is_refused():
    for sensitivity in (0, 101, -5):
        assert "1..100" in str(raises(ValueError, SizeMotion, sensitivity))
