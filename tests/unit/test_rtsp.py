"""RTSP to the byte: URLs, requests, and what a connection brings, cut wherever it may be."""

import random

import micropython

from harness import eq, raises
from protocol_error import ProtocolError
from rtp_packets import frame
from rtsp import (
    MESSAGE,
    PACKET,
    RtspReader,
    encode_answer,
    encode_request,
    parse_channel,
    parse_rtsp_url,
    parse_session,
)

FIFO_BYTES = 4096


def test_urls():
    for text, host, port in (
        ("rtsp://10.0.0.7/stream1", "10.0.0.7", 554),
        ("rtsp://10.0.0.7:8554/live", "10.0.0.7", 8554),
        ("rtsp://camera.lan:554", "camera.lan", 554),
        ("RTSP://Camera.LAN/h264?channel=1&subtype=0", "camera.lan", 554),
        ("rtsp://10.0.0.7:80/", "10.0.0.7", 80),
    ):
        eq(tuple(parse_rtsp_url(text)), (host, port, "rtsp" + text[4:]))


def test_urls_that_are_refused():
    for text, why in (
        ("", "not an RTSP URL"),
        ("10.0.0.7/live", "not an RTSP URL"),
        ("http://10.0.0.7/live", "not an RTSP URL"),
        ("rtspu://10.0.0.7/live", "not an RTSP URL"),
        ("rtsps://10.0.0.7/live", "not supported"),
        ("RTSPS://10.0.0.7/live", "not supported"),
        ("rtsp://", "host"),
        ("rtsp:///live", "host"),
        ("rtsp://[fe80::1]/live", "host"),
        ("rtsp://10.0.0.7:/live", "port"),
        ("rtsp://10.0.0.7:0/live", "port"),
        ("rtsp://10.0.0.7:99999/live", "port"),
        ("rtsp://10.0.0.7/a b", "ASCII"),
        ("rtsp://10.0.0.7/a\r\nTeardown: now", "ASCII"),
        ("rtsp://10.0.0.7/\xe9", "ASCII"),
        ("rtsp://10.0.0.7/a#b", ""),
    ):
        error = str(raises(ValueError, parse_rtsp_url, text))
        assert why.lower() in error.lower() and "rtsp://host[:port]/path" in error, (text, error)


def test_a_password_in_the_url_is_refused_and_not_shown():
    error = str(raises(ValueError, parse_rtsp_url, "rtsp://admin:hunter2@10.0.0.7/live"))
    assert "keys of their own" in error and "hunter2" not in error and "admin" not in error, error


def test_requests():
    eq(
        encode_request("OPTIONS", "rtsp://h/live", 1),
        b"OPTIONS rtsp://h/live RTSP/1.0\r\nCSeq: 1\r\n\r\n",
    )
    headers = (("Transport", "RTP/AVP/TCP;unicast;interleaved=0-1"), ("Session", "12 ab"))
    eq(
        encode_request("SETUP", "rtsp://h/live/track=1", 23, headers),
        b"SETUP rtsp://h/live/track=1 RTSP/1.0\r\nCSeq: 23\r\n"
        b"Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 12 ab\r\n\r\n",
    )
    eq(encode_answer("200 OK", "7"), b"RTSP/1.0 200 OK\r\nCSeq: 7\r\n\r\n")


def test_nothing_ends_a_request_s_line():
    for uri, value in (
        ("rtsp://h/a b", "x"),
        ("rtsp://h/\r\n", "x"),
        ("rtsp://h/", "x\r\nY: z"),
        ("rtsp://h/", "\x00"),
    ):
        raises(ProtocolError, encode_request, "PLAY", uri, 1, (("X", value),))


def test_sessions():
    for text, expected in (
        ("12345678", ("12345678", 60)),
        ("12345678;timeout=30", ("12345678", 30)),
        (" ab-C.d+_$ ; Timeout = 5 ", ("ab-C.d+_$", 5)),
        ("a;timeout=0", ("a", 1)),
        ("a;timeout=soon", ("a", 60)),
        ("a;other=1", ("a", 60)),
    ):
        eq(parse_session(text), expected)
    for text in ("", ";timeout=5", "a b", "x" * 129):
        raises(ProtocolError, parse_session, text)


def test_channels():
    for text, channel in (
        ("RTP/AVP/TCP;unicast;interleaved=0-1", 0),
        ("RTP/AVP/TCP;unicast;interleaved=2-3;ssrc=1234", 2),
        ("rtp/avp/tcp; interleaved=254-255", 254),
        ("RTP/AVP/TCP;interleaved=4", 4),
        ("RTP/AVP/TCP;unicast", 0),
        ("RTP/AVP/TCP;interleaved=300-301", 0),
    ):
        eq(parse_channel(text), channel)
    for text in (None, "", "RTP/AVP;unicast;client_port=1-2", "RTP/AVP/UDP;interleaved=0-1"):
        raises(ProtocolError, parse_channel, text)


OK = b"RTSP/1.0 200 OK\r\nCSeq: 3\r\nContent-Length: 5\r\n\r\nv=0\r\n"
STREAM = (
    b"\r\n"
    + OK
    + frame(b"one")
    + frame(b"", 1)
    + b'RTSP/1.0 401 Unauthorized\r\ncseq:4\r\nWWW-Authenticate: Basic\r\n realm="x"\r\n\r\n'
    + frame(b"$RTSP/1.0 \r\n\r\n", 7)
    + b"\n\r\n\n"
    + b"SET_PARAMETER rtsp://h/ RTSP/1.0\nCSeq: 9\nContent-Length: 2\n\n$$"
    + frame(b"x" * 300, 255)
    + b"RTSP/1.0 100 \r\n\r\n"
    + b"RTSP/1.0 404\r\n\r\n"
)
# What STREAM holds, in order.
EVENTS = [
    (200, "", "OK", [("cseq", "3"), ("content-length", "5")], b"v=0\r\n"),
    (0, b"one"),
    (1, b""),
    (401, "", "Unauthorized", [("cseq", "4"), ("www-authenticate", 'Basic realm="x"')], b""),
    (7, b"$RTSP/1.0 \r\n\r\n"),
    (0, "SET_PARAMETER", "", [("cseq", "9"), ("content-length", "2")], b"$$"),
    (255, b"x" * 300),
    (100, "", "", [], b""),
    (404, "", "", [], b""),
]


class Listener:
    """Feeds a reader and keeps what it says; packets on the channels of `skipped` are skipped."""

    def __init__(self, skipped=()):
        self.fifo = micropython.RingIO(FIFO_BYTES)
        self.reader = RtspReader(self.fifo)
        self.events = []
        self._skipped = skipped
        self._left = None

    def feed(self, data):
        self.fifo.write(data)
        while self._left is None or self._took():
            event = self.reader.next_event()
            if event is None:
                return
            if event is MESSAGE:
                self.events.append(tuple(self.reader.message))
            else:
                self._begin()

    def feed_all(self, data, size=FIFO_BYTES):
        for at in range(0, len(data), size):
            self.feed(data[at : at + size])
        return self

    def _begin(self):
        reader = self.reader
        if reader.channel in self._skipped:
            self.events.append((reader.channel, reader.length))
            reader.skip()
        else:
            self.events.append((reader.channel, b""))
            self._left = reader.length

    def _took(self):
        """Take the packet's bytes out of the fifo; whether it is over."""
        piece = bytearray(min(self._left, self.fifo.any()))
        self._left -= self.fifo.readinto(piece) if piece else 0
        channel, before = self.events[-1]
        self.events[-1] = channel, before + bytes(piece)
        if self._left:
            return False
        self._left = None
        return True


def test_every_split_point():
    for at in range(len(STREAM) + 1):
        listener = Listener()
        listener.feed(STREAM[:at])
        listener.feed(STREAM[at:])
        eq(listener.events, EVENTS, "split at %d" % at)


def test_every_piece_size():
    for size in range(1, 60):
        eq(Listener().feed_all(STREAM, size).events, EVENTS, "pieces of %d" % size)


def test_random_cuts():
    random.seed(3)
    for _ in range(40):
        listener, at = Listener(), 0
        while at < len(STREAM):
            n = random.randint(1, 200)
            listener.feed(STREAM[at : at + n])
            at += n
        eq(listener.events, EVENTS)


def test_packets_that_are_skipped():
    packets = frame(b"x" * 65535, 1) + frame(b"", 1) + frame(b"yy", 2) + frame(b"z" * 129, 1)
    expected = [(1, 65535), (1, 0), (2, b"yy"), (1, 129), EVENTS[0]]
    for size in (1, 63, 64, 65, 1000, 4096):
        eq(Listener((1,)).feed_all(packets + OK, size).events, expected, "pieces of %d" % size)


def test_what_is_no_rtsp():
    for data in (
        b"\x00",
        b"\xff\xfe",
        b"<html>",
        b"hello\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"SSH-2.0-x\r\n\r\n",
        b"RTSP/2.0 200 OK\r\n\r\n",
        b"RTSP/1.0\r\n\r\n",
        b"RTSP/1.0 OK\r\n\r\n",
        b"RTSP/1.0 99 Low\r\n\r\n",
        b"RTSP/1.0 2000 High\r\n\r\n",
        b"RTSP/1.0 \xb2\xb2\xb2 Digits\r\n\r\n",
        b"OPTIONS rtsp://h/\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nno colon\r\n\r\n",
        b"RTSP/1.0 200 OK\r\n: no name\r\n\r\n",
        b"RTSP/1.0 200 OK\r\n folded into nothing\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nContent-Length: 5x\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nContent-Length:\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nContent-Length: 8193\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"RTSP/1.0 200 OK\r\n" + b"A: b\r\n" * 33 + b"\r\n",
        b"RTSP/1.0 200 OK\r\nA: " + b"b" * 4096,
        b"A" * 4096,
    ):
        for size in (1, 4096):
            raises(ProtocolError, Listener().feed_all, data, size)


def test_the_limits_themselves():
    for head, body in (
        (b"RTSP/1.0 200 OK\r\nContent-Length: 8192\r\n\r\n", b"x" * 8192),
        (b"RTSP/1.0 200 OK\r\n" + b"A: b\r\n" * 32 + b"\r\n", b""),
        (b"RTSP/1.0 200 OK\r\nA: " + b"b" * 4070 + b"\r\n\r\n", b""),
    ):
        listener = Listener().feed_all(head + body + frame(b"p"))
        eq([event[0] for event in listener.events], [200, 0])
        eq(listener.events[0][4], body)


def test_garbage_raises_nothing_else():
    random.seed(9)
    for _ in range(300):
        listener = Listener((0,))
        try:
            listener.feed(OK + bytes([random.getrandbits(8) for _ in range(200)]))
        except ProtocolError:
            pass
        eq(listener.events[0], EVENTS[0])


def test_nothing_is_allocated_for_a_packet():
    listener = Listener()
    fifo, reader = listener.fifo, listener.reader
    packet, scratch = frame(b"x" * 100, 3) + frame(b"y" * 300, 4), bytearray(100)
    for _ in range(3):
        fifo.write(packet)
        micropython.heap_lock()
        try:
            first, channel = reader.next_event(), reader.channel
            fifo.readinto(scratch, reader.length)
            second = reader.next_event()
            reader.skip()
            third = reader.next_event()
        finally:
            micropython.heap_unlock()
        eq((first, channel, second, third), (PACKET, 3, PACKET, None))
