"""The whole way from a camera to clips: an adapter on its strict stand-in, and the real recorder."""

import asyncio
import time

from firmware.sd_recorder import SdRecorder
from firmware.sources import esp_vision, live_camera
from firmware.sources.esp_vision import EspVisionSource
from firmware.sources.pydevices import PyDevicesSource
from gop_ring import GopRing
from mpegts import BUFFER_BYTES
from tasks.strict_camera import Clock, EspVision, Hardware, PyDevices

ADAPTERS = ("esp_vision", "pydevices")


def source_of(adapter, film, *, width, height, fps):
    """(the source, its hardware), with the film's pictures for what the camera sees."""
    clock = live_camera.asyncio = esp_vision.asyncio = Clock()
    hardware = Hardware(film, clock)
    settings = {"width": width, "height": height, "fps": fps, "gop_sec": 1, "bitrate_kbps": 1000}
    settings["ticks_ms"] = clock.ticks_ms
    if adapter == "esp_vision":
        modules = EspVision(hardware)
        return EspVisionSource((modules, modules), **settings), hardware
    modules = PyDevices(hardware, formats=(("the one", width, height),))
    settings.update(sda_gpio=7, scl_gpio=8)
    return PyDevicesSource((modules, modules), **settings), hardware


class Recording:
    """Records in `folder`; `at` are the things to do, by the number of the frame that has come."""

    def __init__(self, source, folder, *, at, ring_bytes=0, pre_roll_ms=0, max_clip_ms=60000):
        self.clips, self.errors, self.source_news = [], [], []
        self.frames = 0
        self._at = dict(at)
        self._folder = folder
        self._is_over = asyncio.Event()
        self.recorder = SdRecorder(
            source,
            ring=GopRing(bytearray(ring_bytes), 256) if ring_bytes else None,
            buffer=bytearray(BUFFER_BYTES),
            unix_time=lambda: None,
            on_started=lambda path, trigger, priority: None,
            on_raised=lambda path, trigger, priority: None,
            on_clip=self.clips.append,
            on_error=lambda path, error: self.errors.append(error),
            on_source=self.source_news.append,
            on_unit=self._unit,
            may_record=lambda priority: True,
            max_clip_ms=max_clip_ms,
            pre_roll_ms=pre_roll_ms,
            stall_ms=10000,
            new_path=lambda trigger: "%s/m%d.ts" % (self._folder, len(self.clips)),
            ticks_ms=time.ticks_ms,
            randbits=lambda bits: 0,
        )

    def _unit(self, size_bytes, is_key, pts_90k):
        if self.frames in self._at:
            self._at[self.frames](self)
        self.frames += 1

    def begin(self):
        self.recorder.start("motion_detection", 2)

    def end(self):
        self.recorder.stop()

    def leave(self):
        self._is_over.set()

    async def run(self):
        """Until `leave`."""
        task = asyncio.create_task(self._record())
        await asyncio.wait_for(self._is_over.wait(), 50)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            pass

    async def _record(self):
        try:
            await self.recorder.run()
        finally:
            self._is_over.set()
