"""Motion from brightness: small drawn scenes in every pixel format, and both sets of kernels."""

import sys
from array import array

import micropython

import luma_motion
import luma_plain
from harness import eq, raises
from luma_motion import LumaMotion, parse_zones

WIDTH, HEIGHT = 64, 36  # two pixels a cell, so that every pixel is looked at

try:
    import luma_viper
except AttributeError:  # CPython has no viper
    luma_viper = None


class Scene:
    """Bars of grey with noise in them, a light over them, and a block that may be somewhere."""

    def __init__(self, noise=2, bars=1, **settings):
        self.motion = LumaMotion(**dict({"sensitivity": 50}, **settings))
        self.noise, self.bars, self.light = noise, bars, 128
        self.frame = bytearray(WIDTH * HEIGHT)
        self._random = 1

    def show(self, x=None, y=10, width=8, height=12, grey=210):
        """One picture, with the block at x, y if there is an x; whether motion is seen then."""
        spread = 2 * self.noise + 1
        for at in range(WIDTH * HEIGHT):
            self._random = (self._random * 69069 + 1) & 0xFFFFFF
            self.frame[at] = 60 + at % WIDTH * self.bars + (self._random >> 8) % spread
        if x is not None:
            for line in range(y, y + height):
                for at in range(line * WIDTH + x, line * WIDTH + x + width):
                    self.frame[at] = grey
        if self.light != 128:
            for at in range(WIDTH * HEIGHT):
                self.frame[at] = min(self.frame[at] * self.light >> 7, 255)
        self.motion.take(self.frame, WIDTH, HEIGHT, "grey")
        return self.motion.is_moving

    def walk(self, steps=8, **block):
        """The block comes in from the left; in how many pictures motion is seen."""
        return sum(self.show(4 + 5 * step, **block) for step in range(steps))

    def rest(self, pictures=8):
        return sum(self.show() for _ in range(pictures))


def test_the_board_runs_machine_code():
    has_viper = sys.implementation.name == "micropython"
    eq(luma_motion.kernels.__name__, "luma_viper" if has_viper else "luma_plain")


def test_what_moves_is_seen_and_what_rests_is_not():
    for noise in (0, 2, 12, 40):
        scene = Scene(noise)
        eq(scene.rest(10), 0, "noise %d" % noise)
        assert scene.walk() >= 6, "noise %d" % noise
        assert scene.rest() <= 5, "noise %d" % noise
        eq(scene.rest(), 0, "noise %d" % noise)


def test_what_comes_to_stay_becomes_usual():
    scene = Scene()
    scene.rest(4)
    scene.walk(6)
    eq([scene.show(29) for _ in range(12)][-4:], [False] * 4)
    assert scene.show(32) + scene.show(36) + scene.show(40) > 0, "it goes on"


def test_one_picture_that_is_different_is_no_motion():
    scene = Scene()
    scene.rest(4)
    eq(scene.show(20, width=2, height=2), False)
    eq(scene.rest(), 0)


def test_light_is_no_motion():
    slowly = tuple(range(128, 200)) + tuple(range(200, 60, -1))
    for name, lights in (
        ("a lamp", (128, 190, 190, 190, 190, 128, 128, 128)),
        ("lights out", (128, 40, 40, 40, 40, 128, 128, 128)),
        ("an exposure that settles", (128, 180, 165, 150, 140, 134, 130, 128)),
        ("a lamp that flickers", (128, 180, 128, 180, 128, 180, 128)),
        ("a cloud", slowly),
    ):
        scene = Scene()
        scene.rest(4)
        for light in lights:
            scene.light = light
            eq(scene.show(), False, "%s, light %d" % (name, light))
        eq(scene.rest(), 0, name)
        assert scene.walk() >= 6, name


def test_motion_is_seen_while_the_light_changes_slowly():
    scene = Scene()
    scene.rest(4)
    seen = 0
    for step in range(8):
        scene.light -= 4
        seen += scene.show(4 + 5 * step)
    assert seen >= 6, seen


def test_a_camera_that_is_turned_is_no_motion():
    scene = Scene()
    scene.rest(4)
    eq([scene.show(0, 0, 50, 36, 20) for _ in range(4)], [False] * 4)


def test_zones_choose_what_is_watched():
    scene = Scene(zones=["##..", "##.."])
    scene.rest(4)
    eq(sum(scene.show(x) for x in (34, 38, 42, 46, 50)), 0, "on the right")
    scene.rest()
    assert scene.walk(5) >= 3, "on the left"


def test_a_small_zone_may_be_covered():
    scene = Scene(zones=["." * 16, "." * 6 + "#" + "." * 9, "." * 16])
    scene.rest(4)
    assert sum(scene.show(16 + 4 * step) for step in range(4)) > 0


def test_sensitivity_is_how_faint_and_how_small():
    """On a wall of grey 60 without noise."""
    for block, lowest in (
        ({"grey": 90, "width": 16, "height": 16}, 1),
        ({"grey": 76, "width": 16, "height": 16}, 50),
        ({"grey": 68, "width": 16, "height": 16}, 100),
        ({"grey": 62, "width": 16, "height": 16}, None),
        ({"grey": 200, "width": 4, "height": 6}, 1),
        ({"grey": 200, "width": 2, "height": 4}, 50),
        ({"grey": 200, "width": 2, "height": 2}, 100),
    ):
        for sensitivity in (1, 50, 100):
            scene = Scene(0, bars=0, sensitivity=sensitivity)
            scene.rest(4)
            is_seen = scene.walk(**block) > 0
            eq(
                is_seen,
                lowest is not None and sensitivity >= lowest,
                "%r" % ((block, sensitivity),),
            )


def test_every_pixel_format_gives_the_same_picture():
    grey = bytearray((x * 4 + y) & 0xF8 for y in range(HEIGHT) for x in range(WIDTH))
    rgb565 = bytearray()
    yuv422 = bytearray()
    for value in grey:
        pixel = value >> 3 << 11 | value >> 2 << 5 | value >> 3
        rgb565 += bytes((pixel & 255, pixel >> 8))
        yuv422 += bytes((128, value))
    expected = None
    for name, frame in (("grey", grey), ("rgb565", rgb565), ("yuv422", yuv422)):
        motion = LumaMotion(50)
        motion.take(memoryview(frame), WIDTH, HEIGHT, name)
        expected = expected or bytes(motion._cells)
        off = max(abs(a - b) for a, b in zip(motion._cells, expected))
        assert off <= (4 if name == "rgb565" else 0), "%s: %d" % (name, off)


def test_another_size_begins_anew():
    scene = Scene()
    scene.rest(4)
    scene.walk(6)
    eq(scene.motion.is_moving, True)
    scene.motion.take(bytes(80 * 60), 80, 60, "grey")
    eq(scene.motion.is_moving, False)


def test_frames_that_are_too_short_or_strange_are_refused():
    motion = LumaMotion(50)
    for frame, width, height, name, told in (
        (bytes(99), 10, 10, "grey", "10x10"),
        (bytes(100), 10, 10, "rgb565", "10x10"),
        (bytes(100), 10, 10, "yuv422", "10x10"),
        (bytes(100), 0, 10, "grey", "0x10"),
        (bytes(100), 10, 10, "jpeg", "grey, rgb565, yuv422"),
    ):
        assert told in str(raises(ValueError, motion.take, frame, width, height, name))
    for sensitivity in (0, 101):
        assert "1..100" in str(raises(ValueError, LumaMotion, sensitivity))


def test_zones_are_checked_and_stretched():
    for zones in (None, (), []):
        eq(sum(parse_zones(zones)), 576)
    eq(sum(parse_zones(["#."])), 288)
    eq(bytes(parse_zones(["#.", ".."])[:32]), b"\x01" * 16 + bytes(16))
    eq(sum(parse_zones(["." * 31 + "#"] * 18)), 18)
    eq(
        [at for at, watched in enumerate(parse_zones(["...", ".#.", "..."])) if watched][0],
        6 * 32 + 11,
    )
    for zones in (
        ["#" * 33],
        ["#"] * 19,
        ["##", "#"],
        ["..", ".."],
        ["#x"],
        ["#", ""],
        [""],
        "##",
        [1],
        {"a": 1},
        7,
    ):
        error = raises(ValueError, parse_zones, zones)
        assert "1..18 rows" in str(error) and "1..32" in str(error), zones


def test_both_sets_of_kernels_agree_to_the_byte():
    if luma_viper is None:
        return  # CPython has but one; the run on MicroPython judges
    frame = bytearray(90 * 50 * 2)
    mask = parse_zones(["##.", ".#."])
    states = []
    for kernels in (luma_viper, luma_plain):
        number = 7
        cells, tally = bytearray(576), array("H", (0 for _ in range(256)))
        usual = array("H", (0 for _ in range(576)))
        told = []
        for look in range(12):
            for at in range(len(frame)):
                number = (number * 69069 + 1) & 0xFFFFFF
                frame[at] = (number >> 10) & (255 if look % 4 else 127) | (128 if look == 9 else 0)
            if look % 3 == 0:
                kernels.shrink_rgb565(cells, frame, 90, 50)
            elif look % 3 == 1:
                kernels.shrink(cells, frame, 90, 50, 2, 1)
            else:
                kernels.shrink(cells, frame, 83, 61, 1, 0)
            if not look:
                kernels.adopt(usual, cells)
            gain = kernels.gain(usual, cells, tally)
            noise = kernels.noise(usual, cells, tally, gain)
            changed = kernels.follow(usual, cells, mask, gain, 3 + look)
            told.append((gain, noise, changed, bytes(cells), bytes(usual), bytes(tally)))
        states.append(told)
    for look in range(12):
        eq(states[0][look], states[1][look], "look %d" % look)


def test_nothing_is_allocated():
    scene = Scene()
    scene.rest(2)
    take, frame = scene.motion.take, scene.frame
    rgb565 = bytearray(2 * len(frame))
    micropython.heap_lock()
    try:
        for _ in range(10):
            take(frame, WIDTH, HEIGHT, "grey")
            take(rgb565, WIDTH, HEIGHT, "rgb565")
    finally:
        micropython.heap_unlock()
