"""What the object store says to an upload, whenever and however it says it.

Listened to between chunks (`heard`), after the last one (`collect`) and after
the connection broke (`last_words`): a store that refuses often does not wait
for the body, and resets the connection right behind its answer.
"""

import asyncio
from errno import ECONNRESET

from micropython import const

from firmware.upload_error import UploadError, classify_response, is_error_document
from http_head import END, NEED_DATA, ResponseParser, header
from protocol_error import ProtocolError

_WINDOW_BYTES = const(512)
_BLANK = bytes(_WINDOW_BYTES)


class Redirect(UploadError):
    """The store wants the request to be made again elsewhere: at `location`."""

    def __init__(self, status, location):
        super().__init__("BAD_RESPONSE", "store answered %d: redirected" % status)
        self.location = location


class StoreAnswer:
    """Reads one response from the stream through `view`, which nobody needs any more by then.

    `head` is None until the response's is complete.
    """

    def __init__(self, stream, view, idle_timeout_ms):
        self.head = None
        self._stream = stream
        self._window = view[:_WINDOW_BYTES]
        self._idle_timeout_ms = idle_timeout_ms
        self._parser = ResponseParser()
        self._has_begun = False

    def has_begun(self):
        """Whether the store has said anything."""
        return self._has_begun

    def is_reusable(self):
        """Once collected: whether the connection may carry another request."""
        return self._parser.is_reusable()

    async def heard(self, byte, n):
        """The store spoke before it had the body: `read_now(byte)` gave n.

        Reads byte by byte, for as long as bytes are there: after an interim
        response the store waits for the body, not the camera for the store.
        Raises the store's answer as UploadError once its head is complete.
        """
        while n is not None:
            if n == 0:
                raise OSError(ECONNRESET, "closed by the store")
            self._feed(byte)
            event = self._parser.next_event()
            if event is not NEED_DATA:
                self.head = event
                if event.status < 300:
                    raise UploadError(
                        "BAD_RESPONSE", "store answered %d before it had the file" % event.status
                    )
                await self.collect()
                raise self.refusal()
            n = self._stream.read_ready(byte)

    async def last_words(self):
        """The answer that came before the connection broke, as UploadError; None without one."""
        byte = bytearray(1)
        try:
            await self.heard(byte, self._stream.read_ready(byte))
        except UploadError as answer:
            return answer
        except (OSError, asyncio.TimeoutError, ProtocolError):
            return self.refusal()
        return None

    async def collect(self):
        """Read the response to its end, or as much of it as matters."""
        event = self._parser.next_event()
        while event is not END:
            if event is NEED_DATA:
                self._feed(await self._receive())
            else:
                self.head = event
            event = self._parser.next_event()

    def refusal(self):
        """The store's refusal as UploadError; None if it did not refuse, or not yet."""
        if self.head is None:
            return None
        status, body = self.head.status, self._parser.body
        if status < 300 and not is_error_document(body):
            return None
        location = header(self.head.headers, "location") if status in (307, 308) else None
        if location:
            return Redirect(status, location)
        return classify_response(status, body, header(self.head.headers, "retry-after"))

    def _feed(self, data):
        self._has_begun = True
        self._parser.feed(data)

    async def _receive(self):
        """The next bytes of the response.

        MicroPython's readinto reads on until it would block and, should that
        end in a reset, reports the reset alone. The bytes before it are in the
        buffer all the same; a response holds no NUL, so blanks mark their end.
        """
        window = self._window
        window[:] = _BLANK
        try:
            n = await self._stream.readinto(window, self._idle_timeout_ms)
        except asyncio.TimeoutError:
            raise
        except OSError:
            n = _text_bytes(window)
            if not n:
                raise
        if n == 0 and self.head is None:
            raise OSError(ECONNRESET, "closed without an answer")
        return window[:n]


def _text_bytes(window):
    """How many bytes come before the first NUL."""
    n = 0
    while n < len(window) and window[n]:
        n += 1
    return n
