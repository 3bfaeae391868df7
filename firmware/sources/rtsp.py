"""A frame source that gets H.264 from a camera on the network: RTSP, with RTP through its connection.

    connection ─4 KiB─▶ chunk ─▶ fifo ─▶ reader ─packets─▶ depacketizer ─▶ access unit

Memory is one buffer, which must hold the largest access unit, and 12 KiB; after
start() nothing is allocated for a packet. Pictures that miss a packet are dropped,
and so are all up to the next IDR picture.
"""

import asyncio
from errno import EBADF
from time import ticks_add, ticks_diff

from micropython import RingIO, const

from annexb import find_nal, picture_size
from firmware.rtsp_session import RtspSession
from h264_rate import frame_rate
from protocol_error import ProtocolError
from rtp_h264 import NEED, UNIT, H264Depacketizer
from rtsp import MESSAGE, PACKET, RtspReader, parse_rtsp_url
from rtsp_auth import Authentication

_CHUNK_BYTES = const(4096)
_REST_BYTES = const(16)  # of a field that is not all there
_ASSUMED_FPS = const(25)  # until it is known
_MOST_FPS = const(240)
_MEASURED_UNITS = const(16)
_PTS_MASK = (1 << 33) - 1
_IDR_WITHIN_MS = const(60000)  # the longest that a camera may send pictures none of which is good


class RtspSource:
    codec = "h264"

    def __init__(
        self,
        open_stream,
        url,
        *,
        user,
        password,
        buffer_bytes,
        timeout_ms,
        ticks_ms,
        random_bytes,
        log,
    ):
        """`open_stream(host, port)` connects; ValueError says what is wrong with the URL."""
        self.width = self.height = 0
        self.fps = _ASSUMED_FPS
        self._open_stream = open_stream
        self._where = parse_rtsp_url(url)
        self._auth = Authentication(user, password, random_bytes)
        self._timeout_ms = timeout_ms
        self._ticks_ms = ticks_ms
        self._log = log
        self._chunk = bytearray(_CHUNK_BYTES)
        self._fifo = RingIO(_CHUNK_BYTES + _REST_BYTES)
        self._packets = H264Depacketizer(bytearray(buffer_bytes), self._fifo)
        self._unit = self._packets.unit
        self._session = None

    @property
    def lost_packets(self):
        return self._packets.lost_packets

    @property
    def dropped_units(self):
        return self._unit.dropped_units

    @property
    def oversized_units(self):
        return self._unit.oversized_units

    async def start(self):
        """Connect and wait for the first IDR picture, which next() gives.

        OSError, EOFError, asyncio.TimeoutError; ProtocolError says what the camera does not do.
        """
        self.stop()
        while self._fifo.any():
            self._fifo.readinto(self._chunk)
        self._reader = RtspReader(self._fifo)
        self._lost_before, self._oversized_before = self.lost_packets, self.oversized_units
        self._sps = b""
        stream = await self._open_stream(self._where.host, self._where.port)
        self._session = session = self._new_session(stream)
        try:
            video = await session.open()
            self._packets.restart(video.payload_type, video.sets)
            self._channel = session.channel
            self._is_lent = False
            self._measured = self._dropped = 0
            self.fps, self._is_rate_known = _ASSUMED_FPS, False
            self._take_rate(video.fps)
            await self._receive()
        except BaseException:
            self.stop()
            raise

    async def next(self):
        """`(access_unit, pts_90k, is_key)`, lent until the next call."""
        if self._session is None:
            raise OSError(EBADF, "RTSP: not started")
        unit = self._unit
        if self._is_lent or not unit.is_complete:
            unit.release()
            await self._receive()
        self._is_lent = True
        return unit.bytes[: unit.size], unit.pts_90k, unit.is_key

    def stop(self):
        """Take leave of the camera as far as that needs no waiting; `start` begins anew."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _new_session(self, stream):
        return RtspSession(
            stream,
            self._where,
            reader=self._reader,
            fifo=self._fifo,
            chunk=self._chunk,
            auth=self._auth,
            timeout_ms=self._timeout_ms,
            ticks_ms=self._ticks_ms,
        )

    async def _receive(self):
        """Wait for the next unit that is complete; TimeoutError when the camera sends no pictures."""
        session, ended = self._session, self._unit.ended_units
        deadline = ticks_add(self._ticks_ms(), self._timeout_ms)
        limit = ticks_add(self._ticks_ms(), _IDR_WITHIN_MS)
        while True:
            event = self._advance()
            if event == UNIT:
                break
            if event is MESSAGE:
                await session.heard(self._reader.message)
                continue
            if ended != self._unit.ended_units:  # it sends, though nothing good
                ended = self._unit.ended_units
                deadline = ticks_add(self._ticks_ms(), self._timeout_ms)
            await session.read(_earlier(deadline, limit))
            await asyncio.sleep_ms(0)
        self._tell_of_losses()
        self._learn()
        await asyncio.sleep_ms(0)

    def _advance(self):
        """Work off what has come: UNIT, MESSAGE, or None when more must come."""
        packets, reader = self._packets, self._reader
        while True:
            state = packets.pull()
            if state == UNIT:
                return UNIT
            if state == NEED:
                return None
            event = reader.next_event()
            if event is not PACKET:
                return event
            if reader.channel == self._channel:
                packets.begin(reader.length)
            else:
                reader.skip()

    def _tell_of_losses(self):
        """Say it once after each start; then what was before is -1."""
        if 0 <= self._oversized_before < self.oversized_units:
            self._oversized_before = -1
            self._log(
                "RTSP: a picture is larger than %d KB and was dropped:"
                " raise source.largest_unit_kb" % (len(self._unit.bytes) // 1024)
            )
        if 0 <= self._lost_before < self.lost_packets:
            self._lost_before = -1
            self._log("RTSP: packets were lost, with the pictures up to the next IDR")

    def _learn(self):
        """Size and rate, as the stream tells them."""
        if self._unit.is_key:
            self._look_at_sps()
        if not self._is_rate_known:
            self._measure_rate()

    def _look_at_sps(self):
        unit, known = self._unit, self._sps
        if unit.sps_at < 0:
            if not known:
                raise ProtocolError("RTSP: the camera sends no SPS")
            return
        view = unit.bytes[unit.sps_at : unit.size]
        if known and view[: len(known)] == known:
            return
        self.width, self.height = picture_size(view)
        self._sps = bytes(view[: find_nal(view, 4, len(view)) + 3])
        if not self._is_rate_known:
            self._take_rate(frame_rate(view))

    def _take_rate(self, fps):
        if 0 < fps <= _MOST_FPS:
            self.fps, self._is_rate_known = fps, True

    def _measure_rate(self):
        unit = self._unit
        if self._measured == 0 or self._dropped != unit.dropped_units:
            self._measured, self._dropped = 0, unit.dropped_units
            self._first_90k = unit.pts_90k
        elif self._measured == _MEASURED_UNITS:
            span = (unit.pts_90k - self._first_90k) & _PTS_MASK
            self._take_rate(max(1, (_MEASURED_UNITS * 90000 + span // 2) // max(1, span)))
            self._is_rate_known = True  # as well as it ever will be
        self._measured += 1


def _earlier(a, b):
    return a if ticks_diff(a, b) < 0 else b
