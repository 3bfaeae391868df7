"""What the camera adapters share: the pace, the time stamps, the watcher's turn, the errors.

Frames are due on a grid of `fps` a second, counted from the begin of each second, so no rounding
adds up. One who was late goes on with the next frame that is due: a camera has no past to catch up
with. A frame is stamped when it is taken, and the stamps go on across stop and start.

Invariant: a frame, which the camera lends until it is asked for the next, is watched and encoded
before the loop has another turn.
"""

import asyncio
from errno import EIO, ETIMEDOUT
from time import ticks_add, ticks_diff

from micropython import const

from annexb import IDR_SLICE, START_CODE_BYTES, find_nal, is_slice, nal_type

_PTS_MASK = (1 << 33) - 1
_PER_MS = const(90)
_MOST_GOP_FRAMES = const(255)  # of the hardware encoder
_WATCHED_PER_SEC = const(5)
_POLL_MS = const(4)
_LONGEST_WAIT_MS = const(2000)
# What modules written in C raise when the hardware fails them.
FAILURES = (OSError, RuntimeError, ValueError, MemoryError)


def is_idr(unit):
    """Whether the first slice of an access unit is that of an IDR picture."""
    end = len(unit)
    at = find_nal(unit, 0, end)
    while at >= 0:
        kind = nal_type(unit, at)
        if is_slice(kind):
            return kind == IDR_SLICE
        at = find_nal(unit, at + START_CODE_BYTES, end)
    return False


class LiveCamera:
    codec = "h264"

    def __init__(
        self,
        open_both,
        grab,
        close_camera,
        *,
        width,
        height,
        fps,
        gop_sec,
        bitrate_kbps,
        ticks_ms,
        watcher=None,
        log=print,
    ):
        """The adapter's share: `open_both()`, a coroutine, opens the camera and gives an encoder;
        `grab()` gives a frame, or None if there is no new one yet; `close_camera()`, open or not.

        `watcher.take(frame, width, height, pixel_format)` sees a few frames of each second.
        """
        self._open_both, self._grab, self._close_camera = open_both, grab, close_camera
        self.width, self.height, self.fps = width, height, fps
        self._gop_frames = min(fps * gop_sec, _MOST_GOP_FRAMES)
        self._bitrate = bitrate_kbps * 1000
        self._ticks_ms = ticks_ms
        self._watcher = watcher
        self._log = log
        self._watch_every = max(1, fps // _WATCHED_PER_SEC)
        self._unwatched = 0
        self._encoder = None
        self._pts_90k = 0
        self._stamped_ms = None

    async def start(self):
        """Open camera and encoder; OSError says which of them failed, and stop() closes the rest."""
        self.stop()
        try:
            self._encoder = await self._open_both()
        except FAILURES as error:
            raise OSError(EIO, "the camera does not start: %s" % error)
        self._second_ms = self._ticks_ms()
        if self._stamped_ms is None:
            self._stamped_ms = self._second_ms

    async def next(self):
        """`(access_unit, pts_90k, is_key)`, lent until the next call; OSError if there is none."""
        while True:
            await self._wait_until_due()
            frame = await self._next_frame()
            pts_90k = self._stamp()
            self._watch(frame)
            try:
                unit = self._encoder.encode(frame)
            except FAILURES as error:
                raise OSError(EIO, "the encoder failed: %s" % error)
            if unit:  # an encoder may keep a picture back, or leave one out
                return unit, pts_90k, is_idr(unit)

    def stop(self):
        """Close the encoder and then the camera, whatever of them is open.

        What cannot be closed is logged: if it is in the way, the next start() says so.
        """
        encoder, self._encoder = self._encoder, None
        if encoder is not None:
            self._close("encoder", encoder.close)
        self._close("camera", self._close_camera)

    def _close(self, name, close):
        try:
            close()
        except FAILURES as error:
            self._log("the %s does not close: %s" % (name, error))

    def _pixels(self, frame):
        """The frame's RGB565 bytes, low byte first."""
        return frame

    async def _wait_until_due(self):
        passed_ms = ticks_diff(self._ticks_ms(), self._second_ms)
        if passed_ms >= 1000:
            self._second_ms = ticks_add(self._second_ms, passed_ms // 1000 * 1000)
            passed_ms %= 1000
        number = passed_ms * self.fps // 1000 + 1
        due_ms = (number * 1000 + self.fps - 1) // self.fps
        await asyncio.sleep_ms(due_ms - passed_ms)

    async def _next_frame(self):
        asked_ms = self._ticks_ms()
        while True:
            try:
                frame = self._grab()
            except FAILURES as error:
                raise OSError(EIO, "the camera failed: %s" % error)
            if frame is not None:
                return frame
            if ticks_diff(self._ticks_ms(), asked_ms) >= _LONGEST_WAIT_MS:
                raise OSError(ETIMEDOUT, "the camera gives no frames")
            await asyncio.sleep_ms(_POLL_MS)

    def _stamp(self):
        now_ms = self._ticks_ms()
        # After days without a frame the ticks cannot tell for how long.
        passed_ms = max(0, ticks_diff(now_ms, self._stamped_ms))
        self._stamped_ms = now_ms
        self._pts_90k = (self._pts_90k + passed_ms * _PER_MS) & _PTS_MASK
        return self._pts_90k

    def _watch(self, frame):
        if self._watcher is None:
            return
        self._unwatched += 1
        if self._unwatched >= self._watch_every:
            self._unwatched = 0
            try:
                self._watcher.take(self._pixels(frame), self.width, self.height, "rgb565")
            except FAILURES as error:
                raise OSError(EIO, "the picture cannot be watched: %s" % error)
