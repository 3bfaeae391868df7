"""RTSP 1.0 as a client speaks it, with video interleaved (RFC 2326): URLs, requests, what comes back.

    RTSP/1.0 200 OK CRLF | Name: value CRLF ... | CRLF | body of Content-Length
    $ | channel | length, 2 bytes | packet               between messages (10.12)

Write received bytes into the reader's fifo and ask `next_event()`. The bytes of
a packet are the caller's to take out of the fifo, or to `skip()`.

Invariant: whatever the other side sends, no more is held than the fifo and one
message, whose head, headers and body have limits; what is not RTSP raises
ProtocolError. Nothing is allocated for a packet.

Pure: no IO.
"""

from collections import namedtuple

from micropython import const

import url
from http_head import header
from protocol_error import ProtocolError

PACKET = "packet"
MESSAGE = "message"

DEFAULT_PORT = const(554)

_ALLOWED = "allowed is rtsp://host[:port]/path"
_HEAD_BYTES = const(4096)
_BODY_BYTES = const(8192)
_MOST_HEADERS = const(32)  # more would take more memory than their bytes
_SKIP_BYTES = const(64)  # at a time
_CR = const(13)
_LF = const(10)
_DOLLAR = const(36)
# What the reader expects next.
_FIRST = const(0)  # byte of a packet or a message
_FRAME = const(1)  # channel and length
_SKIP = const(2)
_HEAD = const(3)
_BODY = const(4)

RtspUrl = namedtuple("RtspUrl", ("host", "port", "uri"))
# An answer has a status, a request of the server has 0 and a method instead.
# headers: (name in lower case, value) in the order received.
Message = namedtuple("Message", ("status", "method", "reason", "headers", "body"))


def parse_rtsp_url(text):
    """Where the camera is and what to ask it for; ValueError says what is allowed."""
    scheme, mark, rest = text.partition("://")
    if mark and scheme.lower() == "rtsps":
        raise ValueError("rtsps (RTSP over TLS) is not supported: " + _ALLOWED)
    if not mark or scheme.lower() != "rtsp":
        raise ValueError("not an RTSP URL: " + _ALLOWED)
    if "@" in rest.split("/", 1)[0]:
        raise ValueError("user and password have keys of their own: " + _ALLOWED)
    try:
        parts = url.split("http://" + rest)
    except ProtocolError as error:
        raise ValueError("%s: %s" % (error, _ALLOWED))
    port = parts.port if ":" in parts.host_header else DEFAULT_PORT
    return RtspUrl(parts.host, port, "rtsp://" + rest)


def encode_request(method, uri, cseq, headers=()):
    """The bytes of a request; ProtocolError for what would be more than its lines."""
    lines = ["%s %s RTSP/1.0" % (method, uri), "CSeq: %d" % cseq]
    lines += ["%s: %s" % pair for pair in headers]
    if " " in uri or not all(" " <= c != "\x7f" for line in lines for c in line):
        raise ProtocolError("RTSP: space or control character in a request")
    return "\r\n".join(lines + ["", ""]).encode()


def encode_answer(status, cseq):
    """The bytes of an answer to a request of the server; `status` with its reason."""
    return ("RTSP/1.0 %s\r\nCSeq: %s\r\n\r\n" % (status, cseq)).encode()


def parse_session(text):
    """`(id, timeout_sec)` of a Session header; ProtocolError."""
    name, _, rest = text.partition(";")
    timeout = 60  # RFC 2326, 12.37
    key, _, value = rest.strip().partition("=")
    if key.strip().lower() == "timeout" and _is_number(value.strip(), 6):
        timeout = int(value.strip())
    name = name.strip()
    if not 0 < len(name) <= 128 or " " in name:
        raise ProtocolError("RTSP: no usable session")
    return name, max(1, timeout)


def parse_channel(transport):
    """The channel of the video that a Transport header of the server names; ProtocolError."""
    fields = [field.strip() for field in (transport or "").split(";")]
    if fields[0].upper() != "RTP/AVP/TCP":
        raise ProtocolError("RTSP: the camera does not send through TCP")
    for field in fields:
        key, _, value = field.partition("=")
        first = value.split("-", 1)[0].strip()
        if key.lower() == "interleaved" and _is_number(first, 3) and int(first) < 256:
            return int(first)
    return 0


class RtspReader:
    """Tells messages from packets; after PACKET `channel` and `length` describe it."""

    def __init__(self, fifo):
        """`fifo`: a RingIO that received bytes are written into."""
        self._fifo = fifo
        self._byte = bytearray(1)
        self._frame = bytearray(_SKIP_BYTES)
        self._state = _FIRST
        self.channel = self.length = 0
        self.message = None

    def next_event(self):
        """PACKET, MESSAGE (see `message`), or None when more bytes are needed."""
        while True:
            state = self._state
            if state == _FIRST:
                if not self._fifo.any():
                    return None
                self._fifo.readinto(self._byte, 1)
                if self._byte[0] != _DOLLAR:
                    self._begin_message()
                elif self._has_frame():
                    return PACKET
                else:
                    self._state = _FRAME
            elif state == _FRAME:
                if not self._has_frame():
                    return None
                self._state = _FIRST
                return PACKET
            elif state == _SKIP:
                if not self._skipped():
                    return None
            elif not self._read_message():
                return None
            elif self.message:
                return MESSAGE

    def skip(self):
        """Throw the packet away that the last event told of."""
        self._left = self.length
        self._state = _SKIP

    def _has_frame(self):
        """Read what is behind the dollar sign, if it is all there."""
        if self._fifo.any() < 3:
            return False
        frame = self._frame
        self._fifo.readinto(frame, 3)
        self.channel = frame[0]
        self.length = frame[1] << 8 | frame[2]
        return True

    def _begin_message(self):
        first = self._byte[0]
        if first != _CR and first != _LF:  # empty lines may precede a message
            if not 65 <= first <= 90:  # RTSP/, or the name of a method
                raise ProtocolError("RTSP: the server speaks something else")
            self._text = bytearray(self._byte)
            self.message = None
            self._state = _HEAD

    def _skipped(self):
        while self._left:
            if not self._fifo.any():
                return False
            self._left -= self._fifo.readinto(self._frame, min(_SKIP_BYTES, self._left))
        self._state = _FIRST
        return True

    def _read_message(self):
        """Read on in a message; False when more bytes are needed."""
        if self._state == _HEAD:
            if not self._read_head():
                return False
            self._message, self._left = _parse_head(self._text)
            self._text = bytearray()
            self._state = _BODY
        while self._left:
            piece = bytearray(min(self._left, self._fifo.any()))
            if not piece:
                return False
            self._left -= self._fifo.readinto(piece)
            self._text += piece
        self.message = Message(*(self._message + (bytes(self._text),)))
        self._text = None
        self._state = _FIRST
        return True

    def _read_head(self):
        text = self._text
        while self._fifo.any():
            self._fifo.readinto(self._byte, 1)
            text += self._byte
            if self._byte[0] == _LF and (text[-2] == _LF or text[-4:] == b"\r\n\r\n"):
                return True
            if len(text) >= _HEAD_BYTES:
                raise ProtocolError("RTSP: head longer than %d bytes" % _HEAD_BYTES)
        return False


def text_of(raw):
    """Latin-1, which has a character for every byte."""
    return "".join([chr(byte) for byte in raw])


def _parse_head(raw):
    """`((status, method, reason, headers), length of the body)`."""
    lines = text_of(raw).replace("\r\n", "\n").split("\n")
    headers = []
    for line in lines[1:-2]:
        if line[:1] in " \t" and headers:
            headers[-1] = (headers[-1][0], headers[-1][1] + " " + line.strip())
            continue
        name, colon, value = line.partition(":")
        if not colon or not name.strip() or len(headers) >= _MOST_HEADERS:
            raise ProtocolError("RTSP: bad or too many headers")
        headers.append((name.strip().lower(), value.strip()))
    length = header(headers, "content-length", "0")
    if not _is_number(length, 9) or int(length) > _BODY_BYTES:
        raise ProtocolError("RTSP: bad body, or longer than %d bytes" % _BODY_BYTES)
    return _parse_first(lines[0]) + (headers,), int(length)


def _parse_first(line):
    words = line.split(" ", 2)
    if len(words) > 1 and words[0][:7] == "RTSP/1.":
        if _is_number(words[1], 3) and int(words[1]) >= 100:
            return int(words[1]), "", words[2] if len(words) > 2 else ""
    elif len(words) == 3 and words[2][:7] == "RTSP/1.":
        return 0, words[0], ""
    raise ProtocolError("RTSP: the server speaks something else")


def _is_number(text, most):
    # Not isdigit(): to CPython a superscript is a digit.
    return 0 < len(text) <= most and all("0" <= c <= "9" for c in text)
