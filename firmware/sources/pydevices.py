"""A frame source for the user modules of PyDevices: `cameraif` and `h264enc`.

The API is that of the READMEs of PyDevices/cameraif and of modules/h264enc in
PyDevices/micropython-pydevices, late 2026. The encoder takes RGB565 alone, in whole macroblocks;
lines that the camera has beyond them are left out at the bottom, 8 of 1080.

A frame is polled for and never waited for: `frame(0)` holds the loop for one tick of the RTOS.
Encoding holds it for some milliseconds (18 for 720x720, as measured by PyDevices).
"""

from errno import EINVAL, EIO

from micropython import const

from firmware.sources.live_camera import FAILURES, LiveCamera
from firmware.start_up import StartUpError

_MACROBLOCK = const(16)


def _is_encodable(width, height):
    in_range = 80 <= width <= 1920 and 80 <= height <= 2032
    return in_range and not (width % _MACROBLOCK or height % _MACROBLOCK)


class PyDevicesSource(LiveCamera):
    def __init__(self, modules, *, sda_gpio, scl_gpio, **settings):
        """`modules` are (cameraif, h264enc); the pins are those of the camera's I2C bus (SCCB)."""
        super().__init__(self._open, self._frame, self._deinit, **settings)
        self._cameraif, self._h264enc = modules
        self._pins = sda_gpio, scl_gpio
        self._camera = None
        self._check()

    async def start(self):
        """Open camera and encoder; OSError says which of them failed, and stop() closes the rest."""
        await super().start()
        self.request_key()

    def request_key(self):
        """Let the next picture be an IDR picture."""
        if self._encoder is not None:
            try:
                self._encoder.force_idr()
            except FAILURES as error:
                raise OSError(EIO, "the encoder failed: %s" % error)

    def _check(self):
        if not self._cameraif.available():
            raise StartUpError('source.type is "pydevices": this firmware has no camera driver')
        if min(self._pins) < 0:
            raise StartUpError(
                'source.sda_gpio and source.scl_gpio are %d and %d: source.type "pydevices" needs'
                " the pins of the camera's I2C bus" % self._pins
            )
        if not _is_encodable(self.width, self.height):
            raise StartUpError(
                "source.width and source.height are %d and %d: the encoder allows multiples of 16,"
                " from 80 and 80 to 1920 and 2032" % (self.width, self.height)
            )

    async def _open(self):
        self._open_camera(None)
        if self._camera.size()[:2] != (self.width, self.height):
            name = self._name_of_format()
            self._deinit()
            self._open_camera(name)
        return self._h264enc.Encoder(
            self.width, self.height, fps=self.fps, gop=self._gop_frames, bitrate=self._bitrate
        )

    def _open_camera(self, name):
        """`name` is that of a format the camera's driver offers, None for the one it prefers."""
        self._camera = self._cameraif.Camera(*self._pins, pixel_format="rgb565", format=name)

    def _name_of_format(self):
        offered = self._camera.formats()
        for left_out in range(_MACROBLOCK):
            for name, width, height in offered:
                if (width, height) == (self.width, self.height + left_out):
                    return name
        sizes = ", ".join(["%dx%d" % (width, height) for _, width, height in offered])
        raise OSError(
            EINVAL, "no format has %dx%d, but there are %s" % (self.width, self.height, sizes)
        )

    def _frame(self):
        return self._camera.frame(0)

    def _deinit(self):
        camera, self._camera = self._camera, None
        if camera is not None:
            camera.deinit()
