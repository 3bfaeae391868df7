"""HTTP/1.1 responses as a client reads them (RFC 9112): feed bytes, ask for events.

    feed(chunk) ... next_event() -> NEED_DATA | Head | END

Interim (1xx) responses are skipped. A body is framed by chunks, by its length
or by the end of the connection. Only its beginning is kept, in `body`; once
that is full, END comes early, for the rest would be thrown away.

Invariant: whatever the other side sends, no more is held than both limits and
one fed chunk; what is not HTTP raises ProtocolError.

Pure: no IO.
"""

from collections import namedtuple

from protocol_error import ProtocolError

NEED_DATA = "need data"
END = "end"

# headers: (name in lower case, value) in the order received.
Head = namedtuple("Head", ("status", "reason", "headers"))

_VERSION = b"HTTP/1."
_MOST_HEADERS = 64  # more would take more memory than their bytes
_HEX_DIGITS = b"0123456789abcdefABCDEF"


def header(headers, name, default=None):
    """The first value of a header, by its lower-case name."""
    for key, value in headers:
        if key == name:
            return value
    return default


class ResponseParser:
    """Reads one final response; `body` is the beginning of its body."""

    def __init__(self, limit_bytes=4096, body_limit_bytes=2048):
        self.body = bytearray()
        self._limit_bytes = limit_bytes
        self._body_limit_bytes = body_limit_bytes
        self._received = bytearray()
        self._is_closed = False
        self._expect_head()

    def is_reusable(self):
        """After END: whether the connection may carry another request (RFC 9112, section 9.3)."""
        return self._persists and self._left == 0 and not self._received

    def feed(self, chunk):
        """Hand over received bytes; an empty chunk says that the connection has ended."""
        if len(chunk):
            self._received += chunk
        else:
            self._is_closed = True

    def next_event(self):
        """The Head once, then END for ever, or NEED_DATA; ProtocolError for anything but HTTP."""
        event = None
        while event is None:
            event = self._step()
        return event

    def _expect_head(self):
        self._status = None
        self._headers = []
        self._expect_lines(self._status_line)

    def _expect_lines(self, step):
        self._line_bytes = 0
        self._step = step

    def _need(self):
        if self._is_closed:
            raise ProtocolError("connection closed inside the response")
        return NEED_DATA

    def _line(self):
        """The next line without its end, or None; a section's lines share one limit."""
        end = self._received.find(b"\n")
        size = len(self._received) if end < 0 else end + 1
        if self._line_bytes + size > self._limit_bytes:
            raise ProtocolError("response head too long")
        if end < 0:
            return None
        line = bytes(self._received[:end])
        self._received[:size] = b""
        self._line_bytes += size
        return line[:-1] if line[-1:] == b"\r" else line

    def _status_line(self):
        # Looked at before its line is complete: garbage need not contain a line end.
        start = self._received[: len(_VERSION)]
        if start != _VERSION[: len(start)]:
            raise ProtocolError("not an HTTP response")
        line = self._line()
        if line is None:
            return self._need()
        parts = line.split(b" ", 2)
        if len(parts) < 2 or len(parts[1]) != 3 or not parts[1].isdigit() or parts[1] < b"100":
            raise ProtocolError("bad status line")
        self._status = int(parts[1])
        self._persists = parts[0] == b"HTTP/1.1"
        self._reason = _text(parts[2]) if len(parts) == 3 else ""
        self._step = self._header_line
        return None

    def _header_line(self):
        line = self._line()
        if line is None:
            return self._need()
        if not line:
            return self._head_complete()
        if b"\0" in line:
            raise ProtocolError("NUL in a header")
        if line[:1] in (b" ", b"\t"):
            return self._continue_header(line)
        colon = line.find(b":")
        name = line[: max(colon, 0)]
        if not name or name.strip() != name:
            raise ProtocolError("bad header line")
        if len(self._headers) >= _MOST_HEADERS:
            raise ProtocolError("too many headers")
        self._headers.append((_text(name).lower(), _text(line[colon + 1 :].strip())))
        return None

    def _continue_header(self, line):
        if not self._headers:
            raise ProtocolError("bad header line")
        name, value = self._headers[-1]
        self._headers[-1] = (name, (value + " " + _text(line.strip())).strip())

    def _head_complete(self):
        if self._status == 101:
            raise ProtocolError("protocol switched unasked")
        if self._status < 200:
            self._expect_head()
            return None
        self._expect_body()
        return Head(self._status, self._reason, tuple(self._headers))

    def _expect_body(self):
        coding = header(self._headers, "transfer-encoding")
        self._left = 0
        if any(name == "connection" and "close" in value.lower() for name, value in self._headers):
            self._persists = False
        if self._status in (204, 304):
            self._step = self._end
        elif coding is None:
            self._left = self._content_length()
            if self._left is None:
                self._persists = False
            self._step = self._until_close if self._left is None else self._counted
        elif coding.lower() == "chunked":
            self._expect_lines(self._chunk_size)
        else:
            raise ProtocolError("unknown transfer encoding")

    def _content_length(self):
        values = [value for name, value in self._headers if name == "content-length"]
        if not values:
            return None
        first = values[0]
        # Not isdigit(): to CPython a superscript is a digit.
        is_number = 0 < len(first) <= 18 and all("0" <= c <= "9" for c in first)
        if not is_number or any(value != first for value in values):
            raise ProtocolError("bad content length")
        return int(first)

    def _counted(self):
        self._keep()
        if self._is_full() or not self._left:
            return self._end()
        return self._need()

    def _until_close(self):
        self._left = len(self._received)
        self._keep()
        return self._end() if self._is_closed or self._is_full() else NEED_DATA

    def _chunk_size(self):
        line = self._line()
        if line is None:
            return self._need()
        digits = line.split(b";", 1)[0].strip()
        if not 0 < len(digits) <= 15 or not all(c in _HEX_DIGITS for c in digits):
            raise ProtocolError("bad chunk size")
        self._left = int(digits, 16)
        if self._left:
            self._step = self._chunk_data
        else:
            self._expect_lines(self._trailer)
        return None

    def _chunk_data(self):
        self._keep()
        if self._is_full():
            self._persists = False  # the other chunks are never read
            return self._end()
        if self._left:
            return self._need()
        self._expect_lines(self._chunk_end)
        return None

    def _chunk_end(self):
        line = self._line()
        if line is None:
            return self._need()
        if line:
            raise ProtocolError("chunk longer than its size")
        self._expect_lines(self._chunk_size)
        return None

    def _trailer(self):
        line = self._line()
        if line is None:
            return self._need()
        return None if line else self._end()

    def _end(self):
        self._step = self._end
        return END

    def _is_full(self):
        return len(self.body) >= self._body_limit_bytes

    def _keep(self):
        """Move what is left to come and has come to the body, as far as that has room."""
        count = min(self._left, len(self._received))
        self.body += self._received[: min(count, self._body_limit_bytes - len(self.body))]
        self._received[:count] = b""
        self._left -= count


def _text(raw):
    """Header text as Latin-1, which has a character for every byte."""
    return "".join(chr(byte) for byte in raw)
