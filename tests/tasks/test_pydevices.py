"""The PyDevices adapter on strict stand-ins for `cameraif` and `h264enc`."""

from errno import EIO, ETIMEDOUT

from firmware.sources import live_camera
from firmware.sources.pydevices import PyDevicesSource
from firmware.start_up import StartUpError
from harness import eq, raises, raises_async
from nal_units import units
from tasks import camera_stories
from tasks.strict_camera import Clock, Hardware, PyDevices, Watcher, modules_of_board


class Rig:
    def __init__(self, *, sensor_fps=30, now_ms=0, modules=None, **settings):
        self.clock = live_camera.asyncio = Clock(now_ms)
        self.hardware = Hardware(units(50, 10), self.clock, sensor_fps)
        self.modules = PyDevices(self.hardware, **(modules or {}))
        given = {"width": 160, "height": 96, "fps": 10, "gop_sec": 1, "bitrate_kbps": 500}
        given.update(sda_gpio=7, scl_gpio=8, ticks_ms=self.clock.ticks_ms)
        given.update(settings)
        self.source = PyDevicesSource((self.modules, self.modules), **given)

    async def take(self, count):
        """The next `count` units as [(bytes, pts_90k, is_key)]."""
        return await camera_stories.take(self.source, count)


async def test_every_picture_of_the_encoder_in_order():
    rig = Rig()
    await rig.source.start()
    source = rig.source
    eq((source.codec, source.fps, source.width, source.height), ("h264", 10, 160, 96))
    taken = await rig.take(25)
    eq([(unit, is_key) for unit, _, is_key in taken], rig.hardware.film[:25])
    eq(rig.modules.encoder.settings, (160, 96, 10, 10, 500000))
    source.stop()
    eq(rig.hardware.open, [])


async def test_a_key_frame_is_given_when_it_is_asked_for():
    rig = Rig()
    rig.source.request_key()  # before the start it has nothing to do
    await rig.source.start()
    await rig.take(4)
    rig.source.request_key()
    eq([is_key for _, _, is_key in await rig.take(3)], [True, False, False])
    rig.hardware.faults.fail("force_idr", ValueError("closed"))
    eq(raises(OSError, rig.source.request_key).errno, EIO)
    rig.source.stop()


FORMATS = (
    ("MIPI_2lane_320x176", 320, 176),
    ("MIPI_2lane_160x108", 160, 108),
    ("MIPI_2lane_160x96", 160, 96),
    ("MIPI_2lane_240x180", 240, 180),
)


async def test_the_camera_s_format_is_found_by_its_size():
    for size, chosen in (
        ((320, 176), [None]),  # what the driver prefers
        ((160, 96), [None, "MIPI_2lane_160x96"]),
        ((240, 176), [None, "MIPI_2lane_240x180"]),  # the last lines are left out
    ):
        watcher = Watcher()
        rig = Rig(
            modules={"formats": FORMATS}, width=size[0], height=size[1], fps=5, watcher=watcher
        )
        await rig.source.start()
        eq(rig.modules.chosen, chosen)
        eq(rig.modules.encoder.settings[:2], size)
        eq([(unit, is_key) for unit, _, is_key in await rig.take(3)], rig.hardware.film[:3])
        eq(watcher.looks, [size + ("rgb565", True)] * 3)
        rig.source.stop()
        eq(rig.hardware.open, [])


async def test_a_size_that_this_camera_has_not():
    rig = Rig(modules={"formats": FORMATS}, width=640, height=480)
    failure = await raises_async(OSError, rig.source.start())
    assert "640x480" in str(failure) and "320x176, 160x108, 160x96, 240x180" in str(failure), (
        failure
    )
    rig.source.stop()
    eq(rig.hardware.open, [])


def test_what_it_cannot_be_built_with():
    for settings, words in (
        ({"width": 640, "height": 360}, "640 and 360"),
        ({"width": 64, "height": 96}, "multiples of 16"),
        ({"width": 1936, "height": 1088}, "1920 and 2032"),
        ({"sda_gpio": -1}, "-1 and 8"),
        ({"scl_gpio": -1}, "the pins of the camera's I2C bus"),
        ({"modules": {"drivers": 0}}, "no camera driver"),
    ):
        assert words in raises(StartUpError, Rig, **settings).lines[0], words


async def test_the_pace_is_the_configured_one_and_nothing_adds_up():
    rig = Rig(fps=7)
    await rig.source.start()
    pts = [pts_90k for _, pts_90k, _ in await rig.take(7 * 20)]
    eq(rig.clock.now_ms, 20000)
    eq(pts[6::7], [90000 * (n + 1) for n in range(20)])
    eq(rig.clock.longest_block_ms, 0)
    rig.source.stop()


async def test_the_loop_is_never_held_for_longer_than_a_tick():
    rig = Rig(fps=30, sensor_fps=10)
    await rig.source.start()
    taken = await rig.take(20)
    steps = [b[1] - a[1] for a, b in zip(taken, taken[1:])]
    eq(rig.clock.now_ms // 100, 20, "the camera's own pace")
    assert min(steps) > 0 and sum(steps) <= 90000 * 2
    eq(rig.clock.longest_block_ms, 1)
    assert all(rig.clock.naps), "the loop had no turn"
    rig.source.stop()


async def test_one_who_was_late_goes_on_with_the_present():
    rig = Rig()
    await rig.source.start()
    await rig.take(2)
    rig.clock.advance(1270)
    begin = rig.clock.now_ms
    pts = [pts_90k // 90 for _, pts_90k, _ in await rig.take(3)]
    eq(pts, [1500, 1600, 1700])
    eq(rig.clock.now_ms - begin, 230)
    rig.source.stop()


async def test_a_camera_that_falls_silent():
    rig = Rig()
    await rig.source.start()
    await rig.take(2)
    rig.hardware.sensor.is_silent = True
    begin = rig.clock.now_ms
    eq((await raises_async(OSError, rig.source.next())).errno, ETIMEDOUT)
    assert 2000 <= rig.clock.now_ms - begin < 2500
    rig.source.stop()
    eq(rig.hardware.open, [])


async def test_the_watcher_looks_within_the_loan():
    watcher = Watcher()
    rig = Rig(fps=15, watcher=watcher)
    await rig.source.start()
    await rig.take(45)
    eq(watcher.looks, [(160, 96, "rgb565", True)] * 15)
    rig.source.stop()


class BrokenWatcher:
    def __init__(self, error):
        self.error = error

    def take(self, frame, width, height, pixel_format):
        raise self.error


async def test_a_picture_that_cannot_be_watched_is_an_os_error():
    for error in (ValueError("too short"), MemoryError("full"), OSError("gone")):
        rig = Rig(watcher=BrokenWatcher(error))
        await rig.source.start()
        failure = await raises_async(OSError, rig.take(2))
        eq(failure.errno, EIO)
        assert "watched" in str(failure) and str(error) in str(failure), failure
        rig.source.stop()
        eq(rig.hardware.open, [])


async def test_whatever_fails_at_the_start_leaves_nothing_open():
    errors = (OSError("no camera sensor answered on SCCB"), ValueError("no"), RuntimeError("no"))
    for call, words in (
        ("Camera", "does not start"),
        ("size", "does not start"),
        ("Encoder", "does not start"),
        ("force_idr", "the encoder failed"),
    ):
        for error in errors + (MemoryError("frame buffer"),):
            await camera_stories.a_start_fails(Rig, call, error, words)


async def test_whatever_fails_at_work_is_an_os_error_and_a_new_start_helps():
    for call, words in (("frame", "the camera failed"), ("encode", "the encoder failed")):
        error = OSError("h264enc: encode failed (-1)")
        await camera_stories.it_fails_at_work(Rig, call, error, words)


async def test_what_does_not_close_is_said_and_the_rest_is_closed():
    await camera_stories.it_does_not_close(Rig, "deinit")


async def test_stop_and_start_at_any_time():
    await camera_stories.it_stops_and_starts(Rig)


async def test_the_ticks_may_wrap():
    rig = Rig(now_ms=(1 << 30) - 1050)
    await rig.source.start()
    eq([pts for _, pts, _ in await rig.take(30)], [9000 * (n + 1) for n in range(30)])
    rig.source.stop()


def test_the_board_finds_the_modules_or_says_what_is_missing():
    both = {"cameraif": object(), "h264enc": object()}
    eq(modules_of_board("pydevices_modules", both), (both["cameraif"], both["h264enc"]))
    for missing in both:
        other = {name: both[name] for name in both if name != missing}
        error = raises(StartUpError, modules_of_board, "pydevices_modules", other)
        for words in (
            'source.type is "pydevices"',
            "module named '%s'" % missing,
            '"replay" and "rtsp"',
        ):
            assert words in error.lines[0], error.lines[0]
