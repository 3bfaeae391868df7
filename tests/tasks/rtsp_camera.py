"""A camera that speaks RTSP on loopback as a test says, on either interpreter.

A behaviour is `async def (line)`: it reads requests and sends what it likes; then
the connection is closed.
"""

import asyncio
import os
from binascii import b2a_base64

from harness import eq
from nal_units import pps, sps
from tasks.fake_store import listen

SPROP = b",".join([b2a_base64(unit[4:]).strip() for unit in (sps(), pps())]).decode()
SDP = "v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:track1\r\n"
WITH_RATE = SDP + "a=framerate:20\r\n"
WITH_SETS = WITH_RATE + "a=fmtp:96 packetization-mode=1;sprop-parameter-sets=%s\r\n" % SPROP
SESSION = "CAFE0001"


class Request:
    def __init__(self, head):
        lines = head.decode().split("\r\n")
        self.method, self.uri, self.version = lines[0].split(" ")
        self.headers = [tuple(line.split(": ", 1)) for line in lines[1:-2]]

    def __getitem__(self, name):
        """The value of a header, None without it."""
        for key, value in self.headers:
            if key == name:
                return value
        return None


class Line:
    """One connection as the behaviour sees it; `requests` are those it has read."""

    def __init__(self, reader, writer):
        self._reader, self._writer = reader, writer
        self.requests = []
        self.has_ended = asyncio.Event()

    async def request(self):
        """The next request; None at the end of the connection."""
        head = b""
        while head[-4:] != b"\r\n\r\n":
            piece = await self._reader.readline()
            if not piece:
                return None
            head += piece
        self.requests.append(Request(head))
        return self.requests[-1]

    async def expect(self, method):
        request = await self.request()
        eq(request and request.method, method)
        return request

    async def send(self, data):
        self._writer.write(data)
        await self._writer.drain()

    async def send_cut(self, data, most=700):
        """Send in pieces of random lengths, each in a segment of its own where that can be had."""
        at = 0
        while at < len(data):
            n = 1 + int.from_bytes(os.urandom(2), "big") % most
            await self.send(data[at : at + n])
            await asyncio.sleep_ms(0)
            at += n

    async def answer(self, request, status="200 OK", headers=(), body=""):
        lines = ["RTSP/1.0 " + status, "CSeq: " + request["CSeq"]]
        lines += ["%s: %s" % pair for pair in headers]
        lines += ["Content-Length: %d" % len(body)] if body else []
        await self.send(("\r\n".join(lines) + "\r\n\r\n" + body).encode())

    async def describe(self, sdp=WITH_SETS):
        request = await self.expect("DESCRIBE")
        await self.answer(request, headers=(("Content-Base", request.uri + "/"),), body=sdp)

    async def set_up(self, session=SESSION):
        request = await self.expect("SETUP")
        headers = (("Transport", request["Transport"]), ("Session", session))
        await self.answer(request, headers=headers)

    async def play(self, sdp=WITH_SETS, session=SESSION):
        """Answer everything up to PLAY."""
        await self.describe(sdp)
        await self.set_up(session)
        await self.answer(await self.expect("PLAY"))

    async def wait_for_end(self):
        """Read requests, which get no answer, until the connection ends."""
        while await self.request() is not None:
            continue

    async def _serve(self, behaviour):
        try:
            try:
                await behaviour(self)
            finally:
                self.has_ended.set()
                self._writer.close()
            await self._writer.wait_closed()
        except (OSError, asyncio.CancelledError):
            return  # the other side has hung up, or the test is over


class Camera:
    """Listens; each connection is for the next behaviour, the last of which serves all others."""

    def __init__(self, *behaviours):
        self._behaviours = list(behaviours)
        self.lines = []

    async def start(self):
        self._server, self.port = await listen(self._accept)
        self.url = "rtsp://127.0.0.1:%d/live" % self.port
        return self

    async def _accept(self, reader, writer):
        behaviour = self._behaviours[0]
        if len(self._behaviours) > 1:
            self._behaviours[:1] = []
        self.lines.append(Line(reader, writer))
        await self.lines[-1]._serve(behaviour)

    def close(self):
        self._server.close()
