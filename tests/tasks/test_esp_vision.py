"""The ESP-VISION adapter on strict stand-ins for `sensor` and `h264`."""

from firmware.sources import esp_vision, live_camera
from firmware.sources.esp_vision import EspVisionSource
from firmware.start_up import StartUpError
from harness import eq, raises
from nal_units import SEI, nal, units
from tasks import camera_stories
from tasks.strict_camera import Clock, EspVision, Hardware, Watcher, modules_of_board

QVGA = {"width": 320, "height": 240}


class Rig:
    def __init__(self, *, film=None, sensor_fps=30, now_ms=0, **settings):
        self.clock = Clock(now_ms)
        live_camera.asyncio = esp_vision.asyncio = self.clock
        self.hardware = Hardware(film or units(50, 10), self.clock, sensor_fps)
        self.modules = EspVision(self.hardware)
        given = {"fps": 10, "gop_sec": 1, "bitrate_kbps": 500, "ticks_ms": self.clock.ticks_ms}
        given.update(QVGA)
        given.update(settings)
        self.source = EspVisionSource((self.modules, self.modules), **given)

    async def take(self, count):
        """The next `count` units as [(bytes, pts_90k, is_key)]."""
        return await camera_stories.take(self.source, count)


async def test_every_picture_of_the_encoder_in_order():
    rig = Rig()
    await rig.source.start()
    taken = await rig.take(25)
    eq([(unit, is_key) for unit, _, is_key in taken], rig.hardware.film[:25])
    eq([is_key for _, _, is_key in taken], [n % 10 == 0 for n in range(25)])
    rig.source.stop()
    eq(rig.hardware.open, [])


async def test_what_it_says_of_the_picture():
    source = Rig(fps=15).source
    await source.start()
    eq((source.codec, source.fps, source.width, source.height), ("h264", 15, 320, 240))
    source.stop()


async def test_the_encoder_is_set_up_as_configured():
    for settings, expected in (
        ({"fps": 15, "gop_sec": 2, "bitrate_kbps": 800}, (320, 240, 15, 30, 800000)),
        ({"width": 640, "height": 480, "fps": 10}, (640, 480, 10, 10, 500000)),
        ({"fps": 30, "gop_sec": 10}, (320, 240, 30, 255, 500000)),  # it knows no longer GOP
    ):
        rig = Rig(**settings)
        await rig.source.start()
        eq(rig.modules.encoder.settings, expected)
        await rig.take(3)
        rig.source.stop()


def test_sizes_that_it_cannot_have():
    for width, height in ((160, 120), (800, 600), (480, 320), (240, 320), (1280, 720)):
        error = raises(StartUpError, Rig, width=width, height=height)
        assert "%d and %d" % (width, height) in error.lines[0]
        assert "320 and 240, or 640 and 480" in error.lines[0]


async def test_exposure_settles_before_the_first_picture_and_others_have_turns():
    for fps, sensor_fps in ((25, 25), (120, 10), (1, 30)):
        rig = Rig(sensor_fps=sensor_fps, fps=fps)
        await rig.source.start()
        assert 1000 <= rig.clock.now_ms <= 1100, rig.clock.now_ms
        assert rig.clock.longest_block_ms <= 1000 // sensor_fps, "the loop was held"
        rig.source.stop()


async def test_the_pace_is_the_configured_one_and_nothing_adds_up():
    rig = Rig(fps=7)
    await rig.source.start()
    begin = rig.clock.now_ms
    pts = [pts_90k for _, pts_90k, _ in await rig.take(7 * 20)]
    eq(rig.clock.now_ms - begin, 20000)
    eq(pts[6::7], [90000 * n + pts[6] for n in range(20)])
    assert rig.clock.longest_block_ms <= 40, "a frame was there when it was due"
    rig.source.stop()


async def test_a_slow_camera_sets_the_pace():
    rig = Rig(fps=30, sensor_fps=10)
    await rig.source.start()
    rig.clock.naps.clear()
    taken = await rig.take(20)
    steps = [b[1] - a[1] for a, b in zip(taken, taken[1:])]
    eq(steps, [9000] * 19)
    assert all(rig.clock.naps), "the loop had no turn"
    rig.source.stop()


async def test_what_the_encoder_keeps_back_is_left_out():
    rig = Rig()
    rig.hardware.keep_back = (0, 3, 4)
    await rig.source.start()
    taken = await rig.take(6)
    eq([(unit, is_key) for unit, _, is_key in taken], rig.hardware.film[:6])
    steps = [(b[1] - a[1]) // 9000 for a, b in zip(taken, taken[1:])]
    eq(steps, [1, 3, 1, 1, 1])
    rig.source.stop()


async def test_a_key_is_told_by_the_slice_whatever_lies_before_it():
    plain, key = (nal(SEI, b"\x01\x02") + unit for unit, _ in (units(2, 2)[1], units(1, 1)[0]))
    rig = Rig(film=[(key, True), (plain, False), (plain, False)])
    await rig.source.start()
    eq([is_key for _, _, is_key in await rig.take(3)], [True, False, False])
    rig.source.stop()


async def test_the_watcher_looks_five_times_a_second():
    watcher = Watcher()
    rig = Rig(fps=15, watcher=watcher)
    await rig.source.start()
    await rig.take(45)
    eq(watcher.looks, [(320, 240, "rgb565", True)] * 15)
    rig.source.stop()
    watcher = Watcher()
    rig = Rig(fps=2, watcher=watcher)
    await rig.source.start()
    await rig.take(6)
    eq(len(watcher.looks), 6, "a slow camera's every frame is looked at")
    rig.source.stop()


async def test_whatever_fails_at_the_start_leaves_nothing_open():
    errors = (OSError("camera error: ESP_FAIL"), RuntimeError("no"), ValueError("no"))
    for call in ("reset", "set_pixformat", "set_framesize", "skip_frames", "encoder"):
        for error in errors + (MemoryError("failed to allocate snapshot buffer"),):
            await camera_stories.a_start_fails(Rig, call, error, "does not start")


async def test_whatever_fails_at_work_is_an_os_error_and_a_new_start_helps():
    for call, words in (("snapshot", "the camera failed"), ("encode", "the encoder failed")):
        error = OSError("h264 error: ESP_ERR_TIMEOUT")
        await camera_stories.it_fails_at_work(Rig, call, error, words)


async def test_what_does_not_close_is_said_and_the_rest_is_closed():
    await camera_stories.it_does_not_close(Rig, "shutdown")


async def test_stop_and_start_at_any_time():
    await camera_stories.it_stops_and_starts(Rig)


async def test_time_stamps_have_33_bits_and_ticks_may_wrap():
    rig = Rig(now_ms=(1 << 30) - 1700)
    await rig.source.start()
    first = (await rig.take(1))[0][1]
    rig.source._pts_90k = (1 << 33) - 9000 * 3
    eq([pts for _, pts, _ in await rig.take(4)], [(1 << 33) - 18000, (1 << 33) - 9000, 0, 9000])
    assert 0 < first <= 2 * 90000
    rig.source.stop()


def test_the_board_finds_the_modules_or_says_what_is_missing():
    both = {"sensor": object(), "h264": object()}
    eq(modules_of_board("esp_vision_modules", both), (both["sensor"], both["h264"]))
    for missing in both:
        other = {name: both[name] for name in both if name != missing}
        error = raises(StartUpError, modules_of_board, "esp_vision_modules", other)
        for words in (
            'source.type is "esp_vision"',
            "module named '%s'" % missing,
            '"replay" and "rtsp"',
        ):
            assert words in error.lines[0], error.lines[0]
