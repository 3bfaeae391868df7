"""A conversation with an RTSP server: what is asked, what is answered, what keeps it alive.

    DESCRIBE ─▶ SETUP ─▶ PLAY ─▶ packets ... GET_PARAMETER or OPTIONS, now and then ... TEARDOWN

Invariant: every wait has a deadline, after which the connection is closed. What
fails ends the session for good; another one is opened in its place.
"""

import asyncio
from time import ticks_add, ticks_diff

from micropython import const

from http_head import header
from protocol_error import ProtocolError
from rtsp import (
    MESSAGE,
    PACKET,
    encode_answer,
    encode_request,
    parse_channel,
    parse_session,
    text_of,
)
from sdp import parse_sdp

_TRANSPORT = "RTP/AVP/TCP;unicast;interleaved=0-1"
_SHOWN_REASON = const(60)


class RtspSession:
    """One connection; `open` begins it, `read` feeds the reader's fifo, `close` ends it."""

    def __init__(self, stream, where, *, reader, fifo, chunk, auth, timeout_ms, ticks_ms):
        self._stream = stream
        self._where = where
        self._reader = reader
        self._fifo = fifo
        self._chunk = chunk
        self._auth = auth
        self._timeout_ms = timeout_ms
        self._ticks_ms = ticks_ms
        self._cseq = 0
        self._session = self._alive_at = None
        self._uri = where.uri
        self._alive_method = "GET_PARAMETER"
        auth.restart()

    async def open(self):
        """Ask for the video; its description. OSError, EOFError, TimeoutError, ProtocolError."""
        answer = await self._ask("DESCRIBE", self._uri, (("Accept", "application/sdp"),))
        base = header(answer.headers, "content-base") or header(answer.headers, "content-location")
        video = parse_sdp(text_of(answer.body), base or self._uri)
        answer = await self._ask("SETUP", video.control, (("Transport", _TRANSPORT),))
        self.channel = parse_channel(header(answer.headers, "transport"))
        name, timeout_sec = parse_session(header(answer.headers, "session", ""))
        self._session, self._uri = name, video.aggregate
        self._alive_ms = max(500, min(timeout_sec * 500, timeout_sec * 1000 - self._timeout_ms))
        await self._ask("PLAY", self._uri, (("Range", "npt=0.000-"),))
        self._alive_at = ticks_add(self._ticks_ms(), self._alive_ms)
        return video

    async def read(self, deadline):
        """Wait for bytes until `deadline`, put them into the fifo; before, say that we are alive."""
        if self._alive_at is not None and ticks_diff(self._ticks_ms(), self._alive_at) >= 0:
            self._alive_at = ticks_add(self._ticks_ms(), self._alive_ms)
            await self._send(self._alive_method, self._uri)
        left_ms = ticks_diff(deadline, self._ticks_ms())
        if left_ms <= 0:
            raise asyncio.TimeoutError()
        count = await self._stream.readinto(self._chunk, left_ms)
        if count == 0:
            raise EOFError("RTSP: the camera closed the connection")
        self._fifo.write(self._chunk, 0, count)

    async def heard(self, message):
        """A message between the packets: an answer to what kept us alive, or a request."""
        if not message.status:
            await self._reply(message)
        elif self._is_mine(message):
            self._take_answer(message)

    def close(self):
        """Take leave, if that can be done without waiting, and close."""
        try:
            if self._session:
                self._stream.write_now(self._encode("TEARDOWN", self._uri, ()))
        except (OSError, ValueError):
            return  # nobody is there to take leave of
        finally:
            self._session = None
            self._stream.close()

    async def _ask(self, method, uri, headers):
        """Send a request, again when we are asked who we are; the good answer."""
        while True:
            await self._send(method, uri, headers)
            answer = await self._answer()
            if answer.status == 401:
                self._auth.challenged(answer.headers)  # which does not go on for ever
                continue
            self._auth.accepted()
            if answer.status >= 300:
                raise _refusal(answer, method)
            return answer

    async def _answer(self):
        """The final answer to the last request; packets that come before it are thrown away."""
        deadline = ticks_add(self._ticks_ms(), self._timeout_ms)
        while True:
            event = self._reader.next_event()
            if event is PACKET:
                self._reader.skip()
            elif event is not MESSAGE:
                await self.read(deadline)
                await asyncio.sleep_ms(0)  # whoever talks without end must not hold the loop
            elif not self._reader.message.status:
                await self._reply(self._reader.message)
            elif self._is_mine(self._reader.message):
                return self._reader.message

    def _is_mine(self, message):
        """Whether this is the final answer to the last request."""
        cseq = header(message.headers, "cseq", "")
        return message.status >= 200 and cseq in ("", str(self._cseq))

    def _take_answer(self, answer):
        if answer.status == 401:
            self._auth.challenged(answer.headers)
        elif answer.status < 300:
            self._auth.accepted()
            return
        elif answer.status == 454 or self._alive_method == "OPTIONS":
            raise _refusal(answer, self._alive_method)
        else:
            self._alive_method = "OPTIONS"  # which every server knows
        self._alive_at = self._ticks_ms()

    async def _send(self, method, uri, headers=()):
        request = self._encode(method, uri, headers)
        await self._stream.write(request, timeout_ms=self._timeout_ms)

    def _encode(self, method, uri, headers):
        self._cseq += 1
        if self._session:
            headers += (("Session", self._session),)
        return encode_request(method, uri, self._cseq, headers + self._auth.headers(method, uri))

    async def _reply(self, message):
        is_known = message.method in ("OPTIONS", "GET_PARAMETER", "SET_PARAMETER")
        cseq = header(message.headers, "cseq", "0")[:10]
        status = "200 OK" if is_known else "501 Not Implemented"
        await self._stream.write(encode_answer(status, cseq), timeout_ms=self._timeout_ms)


def _refusal(answer, method):
    if answer.status < 400:
        return ProtocolError(
            "RTSP: %d, the camera sends us elsewhere, which is not followed:"
            " give that address in source.url" % answer.status
        )
    reason = "".join([c for c in answer.reason[:_SHOWN_REASON] if " " <= c <= "~"])
    return ProtocolError("RTSP: %d %s to %s" % (answer.status, reason, method))
