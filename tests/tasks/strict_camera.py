"""Camera firmware without a camera: stand-ins for its modules that forgive nothing.

They take what the real modules take and fail as those do, and an AssertionError meets a caller who
gets away with it there: a call out of order, two things open, a thing closed twice, a frame that
was given back. Time passes only by sleeping on the Clock and by waiting for a frame.
"""

import asyncio
import sys
import time

from annexb import AccessUnits

_FRESH, _STALE = 0x5A, 0xDD
_LARGEST_UNIT_BYTES = 256 * 1024


class Clock:
    """Ticks; `naps` are the lengths of the sleeps, `longest_block_ms` the longest wait without one."""

    def __init__(self, now_ms=0):
        self.now_ms = now_ms
        self.naps = []
        self.longest_block_ms = self._blocked_ms = 0

    def ticks_ms(self):
        return self.now_ms

    def advance(self, by_ms):
        self.now_ms = time.ticks_add(self.now_ms, by_ms)

    def block(self, for_ms):
        self.advance(for_ms)
        self._blocked_ms += for_ms
        self.longest_block_ms = max(self.longest_block_ms, self._blocked_ms)

    async def sleep_ms(self, duration_ms):
        self.naps.append(duration_ms)
        self._blocked_ms = 0
        self.advance(duration_ms)
        await asyncio.sleep_ms(0)


def film_of(path):
    """The access units of a file of Annex-B H.264: [(bytes, is_key)]."""
    units, found = AccessUnits(bytearray(_LARGEST_UNIT_BYTES)), []
    with open(path, "rb") as file:
        while not units.at_end:
            units.fed(file.readinto(units.free()))
            unit = units.next_unit()
            while unit is not None:
                found.append((bytes(unit[0]), unit[1]))
                unit = units.next_unit()
    return found


class Faults:
    """Lets the calls with these names fail: `fail("encode", error, after=3)`."""

    def __init__(self):
        self._planned = {}

    def fail(self, name, error, after=0):
        self._planned[name] = [after, error]

    def pass_by(self, name):
        plan = self._planned.get(name)
        if plan is None:
            return
        plan[0] -= 1
        if plan[0] < 0:
            del self._planned[name]
            raise plan[1]


class Sensor:
    """The light: a frame every 1000 / `fps` ms of the clock, while it is not dark."""

    def __init__(self, clock, fps):
        self._clock = clock
        self._period_ms = 1000 // fps
        self.is_silent = False
        self.begin()

    def begin(self):
        self._begin_ms = self._clock.now_ms
        self._taken = 0

    def wait(self, at_most_ms):
        """Whether there is a frame that was not taken yet, or one comes within this time."""
        passed_ms = time.ticks_diff(self._clock.now_ms, self._begin_ms)
        wait_ms = max(0, (self._taken + 1) * self._period_ms - passed_ms)
        if self.is_silent or wait_ms > at_most_ms:
            assert at_most_ms < 1000, "a silent camera holds the loop"
            self._clock.block(at_most_ms)
            return False
        self._clock.block(wait_ms)
        self._taken = (passed_ms + wait_ms) // self._period_ms
        return True


class Hardware:
    """One chip: a camera and an encoder, each for one user; `units` are the encoder's output so far."""

    def __init__(self, film, clock, sensor_fps=30):
        self.film = film
        self.clock = clock
        self.sensor = Sensor(clock, sensor_fps)
        self.faults = Faults()
        self.open = []
        self.units = []
        self.keep_back = ()  # numbers of encoded frames that give no output
        self.encoded = 0
        self._at = 0

    def take(self, thing):
        assert thing not in self.open, "a second user of the " + thing
        self.open.append(thing)

    def give_back(self, thing):
        assert thing in self.open, thing + " closed twice"
        self.open.remove(thing)

    def encode(self, wants_key):
        """The film's next unit; the one after that which is a key, if that is wanted."""
        number, self.encoded = self.encoded, self.encoded + 1
        if number in self.keep_back:
            return b""
        while wants_key and not self.film[self._at][1]:
            self._at = (self._at + 1) % len(self.film)
        unit = self.film[self._at]
        self._at = (self._at + 1) % len(self.film)
        self.units.append(unit)
        return unit[0]


def whole(value, low, high):
    assert isinstance(value, int) and not isinstance(value, bool), "%r is no whole number" % (
        value,
    )
    return low <= value <= high


def encodable(width, height):
    return (
        whole(width, 80, 1920) and whole(height, 80, 2032) and width % 16 == 0 and height % 16 == 0
    )


class _Encoder:
    """What both encoders have in common. `closed` is what a closed one raises."""

    def __init__(self, hardware, settings, closed):
        self._hardware = hardware
        self.settings = settings
        self._closed = closed
        self._wants_key = True
        self._is_open = True
        hardware.take("encoder")

    def _check_open(self):
        if not self._is_open:
            raise self._closed

    def _encode(self):
        self._hardware.faults.pass_by("encode")
        wants_key, self._wants_key = self._wants_key, False
        return self._hardware.encode(wants_key)

    def close(self):
        self._is_open = False
        self._hardware.give_back("encoder")
        self._hardware.faults.pass_by("close")


class _EspImage:
    """A picture in the one snapshot buffer, good until the next snapshot."""

    def __init__(self, width, height, pixels):
        self._size = width, height
        self._pixels = pixels
        self.is_lent = True

    def width(self):
        return self._size[0]

    def height(self):
        return self._size[1]

    def bytearray(self):
        assert self.is_lent, "the frame was given back"
        return self._pixels


class EspVision:
    """The modules of espressif/esp-vision: `sensor` is this object, `h264` its H264Encoder."""

    GRAYSCALE, RGB565 = 2, 3
    QQVGA, QVGA, VGA = 0, 1, 2
    _SIZES = (160, 120), (320, 240), (640, 480)

    def __init__(self, hardware):
        self.hardware = hardware
        self.encoder = None
        self._image = None

    def reset(self):
        assert "encoder" not in self.hardware.open, "reset below an open encoder"
        self._image = None
        if "camera" in self.hardware.open:
            self.hardware.give_back("camera")
        self.hardware.faults.pass_by("reset")
        self.hardware.take("camera")
        self.hardware.sensor.begin()
        self._format, self._size = self.RGB565, self.QVGA

    def set_pixformat(self, pixformat):
        self._check_ready("set_pixformat")
        assert pixformat in (self.GRAYSCALE, self.RGB565)
        self._format = pixformat

    def set_framesize(self, framesize):
        self._check_ready("set_framesize")
        if not whole(framesize, 0, 2):
            raise OSError("camera error: ESP_ERR_NOT_SUPPORTED")
        self._size = framesize

    def skip_frames(self, time=0, n=0):
        self._check_ready("skip_frames")
        assert time == 0, "skipping by time holds the loop"
        for _ in range(n):
            self.hardware.sensor.wait(1000)

    def snapshot(self):
        self._check_ready("snapshot")
        self.hardware.sensor.wait(1000)
        if self._image is not None:
            self._image.is_lent = False
        width, height = self._SIZES[self._size]
        self._image = _EspImage(width, height, bytearray(b"\x5a" * 64))
        return self._image

    def shutdown(self, enable=True):
        assert enable is True
        assert "encoder" not in self.hardware.open, "the camera was closed below the encoder"
        if self._image is not None:
            self._image.is_lent = False
        if "camera" in self.hardware.open:  # or reset() failed
            self.hardware.give_back("camera")
        self.hardware.faults.pass_by("shutdown")

    def H264Encoder(self, width, height, *, fps=15, gop=0, bitrate=0, qp_min=25, qp_max=45):
        self._check_ready("encoder")
        if not encodable(width, height):
            raise OSError("h264 error: ESP_ERR_INVALID_SIZE")
        is_right = whole(fps, 1, 255) and whole(gop, 0, 255) and whole(bitrate, 0, 50000000)
        if not (is_right and 0 <= qp_min <= qp_max <= 51):
            raise OSError("h264 error: ESP_ERR_INVALID_ARG")
        self.encoder = _EspEncoder(self.hardware, (width, height, fps, gop, bitrate))
        return self.encoder

    def _check_ready(self, name):
        # The real one would start the camera by itself, with the board's defaults.
        assert "camera" in self.hardware.open, name + " without reset"
        self.hardware.faults.pass_by(name)


class _EspEncoder(_Encoder):
    def __init__(self, hardware, settings):
        super().__init__(hardware, settings, OSError("Encoder closed"))

    def encode(self, image):
        self._check_open()
        assert image.is_lent, "the frame was given back"
        if (image.width(), image.height()) != self.settings[:2]:
            raise OSError("h264 error: ESP_ERR_INVALID_SIZE")
        return self._encode()

    def keyframe(self):
        raise AssertionError("it forces no key frame")


class PyDevices:
    """The modules of PyDevices: `cameraif` is this object with its Camera, `h264enc` its Encoder."""

    def __init__(self, hardware, formats=(("raw8_160x96", 160, 96),), drivers=1):
        self.hardware = hardware
        self.formats = formats
        self.chosen = []  # the format of each camera that was opened
        self.encoder = self.camera = None
        self._drivers = drivers

    def available(self):
        return self._drivers > 0

    def Camera(self, sda, scl, *, i2c=0, pixel_format=None, format=None):
        assert whole(sda, 0, 54) and whole(scl, 0, 54) and sda != scl and i2c == 0
        if pixel_format not in (None, "rgb565", "yuv422"):
            raise ValueError("pixel_format must be 'rgb565' or 'yuv422'")
        self.hardware.faults.pass_by("Camera")
        chosen = [one for one in self.formats if format in (None, one[0])]
        if not chosen:
            raise ValueError("sensor has no format '%s'; ask formats()" % format)
        self.chosen.append(format)
        self.camera = _PyCamera(self, chosen[0], pixel_format)
        return self.camera

    def Encoder(self, width, height, fps=30, gop=30, bitrate=3000000, qp_min=10, qp_max=45):
        if "encoder" in self.hardware.open:
            raise OSError("h264enc: the H.264 encoder is busy (a cast or another Encoder has it)")
        if not encodable(width, height):
            raise ValueError("h264enc: width and height are multiples of 16, 80..1920 x 80..2032")
        if not (whole(fps, 1, 255) and whole(gop, 1, 255)):
            raise ValueError("h264enc: fps and gop are 1..255")
        assert whole(bitrate, 1, 50000000) and 0 <= qp_min <= qp_max <= 51
        assert self.camera.pixel_format in (None, "rgb565"), "the encoder takes no other pixels"
        self.hardware.faults.pass_by("Encoder")
        self.encoder = _PyEncoder(self.hardware, (width, height, fps, gop, bitrate))
        return self.encoder


class _PyCamera:
    """Two frame buffers: the one that is lent, and the one that the next frame comes into."""

    def __init__(self, modules, chosen, pixel_format):
        self._modules = modules
        self._hardware = modules.hardware
        _, self._width, self._height = chosen
        self.pixel_format = pixel_format
        size_bytes = self._width * self._height * 2
        self._buffers = [bytearray(size_bytes), bytearray(size_bytes)]
        self._hardware.take("camera")
        self._hardware.sensor.begin()

    def size(self):
        self._check_open("size")
        return self._width, self._height, len(self._buffers[0])

    def formats(self):
        self._check_open("formats")
        return list(self._modules.formats)

    def frame(self, *timeout):
        """As in the real one the timeout has no keyword, and 0 waits for one tick of the RTOS."""
        self._check_open("frame")
        lent, _ = self._buffers
        lent[:] = bytes((_STALE,)) * len(lent)
        (timeout_ms,) = timeout or (1000,)
        if not self._hardware.sensor.wait(max(1, timeout_ms)):
            return None
        self._buffers.reverse()
        lent, _ = self._buffers
        lent[:] = bytes((_FRESH,)) * len(lent)
        return memoryview(lent)

    def deinit(self):
        assert "encoder" not in self._hardware.open, "the camera was closed below the encoder"
        self._hardware.give_back("camera")
        self._hardware.faults.pass_by("deinit")

    def _check_open(self, name):
        if "camera" not in self._hardware.open or self._modules.camera is not self:
            raise OSError("camera is deinited")
        self._hardware.faults.pass_by(name)


class _PyEncoder(_Encoder):
    def __init__(self, hardware, settings):
        super().__init__(hardware, settings, ValueError("h264enc: the encoder is closed"))

    def encode(self, frame):
        self._check_open()
        width, height = self.settings[:2]
        if len(frame) < width * height * 2:
            raise ValueError("h264enc: a frame is too small")
        assert frame[0] == frame[-1] == _FRESH, "the frame was given back"
        return self._encode()

    def force_idr(self):
        self._check_open()
        self._hardware.faults.pass_by("force_idr")
        self._wants_key = True


class Watcher:
    """Keeps of every look the size, the pixel format and whether the frame was the lent one."""

    def __init__(self):
        self.looks = []

    def take(self, frame, width, height, pixel_format):
        is_fresh = frame[0] == frame[-1] == _FRESH
        self.looks.append((width, height, pixel_format, is_fresh))


class _Blank:
    """A hardware module that board.py imports and these tests do not use."""

    reset = None


def modules_of_board(method, modules):
    """What the product's Board finds with this method, in a firmware that has these modules too."""
    for name in ("machine", "network", "uctypes", "vfs"):
        sys.modules[name] = _Blank()
    for name in modules:
        sys.modules[name] = modules[name]
    from firmware.board import Board

    try:
        return getattr(Board(), method)()
    finally:
        for name in modules:
            del sys.modules[name]
