"""A frame source for the firmware espressif/esp-vision: its modules `sensor` and `h264`.

The API is that of the ESP-VISION Programming Guide and of the sources of August 2026. There the
encoder takes RGB565 in whole macroblocks, so of the camera's sizes QQVGA is out and VGA is the
largest; its first picture is an IDR picture, and none can be asked for in between
(`H264Encoder.keyframe()` only tells what the last one was).

`sensor.snapshot()` holds the loop until the camera has a frame. With `fps` below the camera's own
rate one is there already; the wait has no limit in that firmware, so a camera that falls silent
holds the loop until the watchdog bites.
"""

import asyncio
from time import ticks_diff

from micropython import const

from firmware.sources.live_camera import LiveCamera
from firmware.start_up import StartUpError

_SIZES = {(320, 240): "QVGA", (640, 480): "VGA"}
_SETTLE_MS = const(1000)  # exposure and white balance take that long


class EspVisionSource(LiveCamera):
    def __init__(self, modules, **settings):
        """`modules` are (sensor, h264); `settings` those of LiveCamera. StartUpError says what is wrong."""
        super().__init__(self._open, self._snapshot, self._shut_down, **settings)
        if (self.width, self.height) not in _SIZES:
            raise StartUpError(
                'source.width and source.height are %d and %d: source.type "esp_vision" allows'
                " 320 and 240, or 640 and 480" % (self.width, self.height)
            )
        self._sensor, self._h264 = modules
        self._is_open = False

    async def _open(self):
        sensor = self._sensor
        self._is_open = True  # what reset() did not get ready is shut down, too
        sensor.reset()
        sensor.set_pixformat(sensor.RGB565)
        sensor.set_framesize(getattr(sensor, _SIZES[self.width, self.height]))
        begin_ms = self._ticks_ms()
        while ticks_diff(self._ticks_ms(), begin_ms) < _SETTLE_MS:
            sensor.skip_frames(n=1)
            await asyncio.sleep_ms(0)
        return self._h264.H264Encoder(
            self.width, self.height, fps=self.fps, gop=self._gop_frames, bitrate=self._bitrate
        )

    def _snapshot(self):
        return self._sensor.snapshot()

    def _pixels(self, frame):
        return frame.bytearray()  # no copy; a memoryview of an image has signed bytes

    def _shut_down(self):
        if self._is_open:
            self._is_open = False
            self._sensor.shutdown(True)
