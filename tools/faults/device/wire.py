"""The camera's ways out, without a network: a broker that is always there, streams into the store.

All have the faces of the product's own (`firmware.mqtt_link.MqttLink`, `firmware.dialer.Dialer`,
`net_stream.Stream`), so the camera is put together as ever.
"""

import asyncio
from errno import ECONNRESET
from time import ticks_add, ticks_diff, ticks_ms

from cloud import HOST

_ANSWER_MS = 10
_WINDOW_BYTES = 16384
_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 412: "Precondition Failed"}

BUSY, RESET, MUTE = "busy", "reset", "mute"
_RESET_AT_BYTES = 40000


class Link:
    """In place of the MQTT link; `outside.service` answers, `outside.heard` is told of every message."""

    def __init__(self, outside, on_up):
        self._outside = outside
        self._on_up = on_up
        self._routes = []
        self._queue = []  # (due tick, topic, payload)
        self._wake = asyncio.Event()
        self.is_up = False

    def publish(self, topic, payload, qos=0, retain=False):
        self._outside.heard(topic, payload)
        answer = self._outside.service.answer(topic, payload)
        if answer:
            self.send(*answer)
        return True

    def subscribe(self, topic, handler):
        self._routes.append((topic, handler))

    def send(self, topic, payload):
        """Let the broker deliver a message to the camera."""
        self._queue.append((ticks_add(ticks_ms(), _ANSWER_MS), topic, payload))
        self._wake.set()

    async def run(self):
        await asyncio.sleep_ms(self._outside.link_up_ms)
        self.is_up = True
        self._on_up()
        while True:
            while self._queue:
                due_ms, topic, payload = self._queue.pop(0)
                await asyncio.sleep_ms(max(0, ticks_diff(due_ms, ticks_ms())))
                for wanted, handler in self._routes:
                    if wanted == topic:
                        handler(topic, payload, False)
            self._wake.clear()
            await self._wake.wait()


class Dialer:
    """In place of the product's: all names lead to the store."""

    def __init__(self, outside):
        self._outside = outside

    async def open_stream(self, host, port, tls=False):
        if host != HOST:
            raise OSError(-2, "no such host: " + host)
        await asyncio.sleep_ms(_ANSWER_MS)
        return Stream(self._outside)


class Stream:
    """One connection to the store.

    `outside.pace` is bytes a millisecond, None for at once. `outside.next_trouble()` gives what
    befalls the next request: None, BUSY (503 after the body), RESET (in mid-body) or MUTE (stored,
    but the answer is lost).
    """

    def __init__(self, outside):
        self._outside = outside
        self._pace = outside.pace
        self._start_ms = ticks_ms()
        self._taken = 0
        self._is_gone = False
        self._listen()

    # The camera's side

    def write_now(self, buf, start=None, size=None):
        if size is None:
            start, size = 0, len(buf) if start is None else start
        self._check()
        size = min(size, self._room())
        if not size:
            return None
        self._taken += size
        self._take(memoryview(buf)[start : start + size])
        self._check()
        return size

    def read_now(self, buf):
        self._check()
        if self._answer is None or ticks_diff(ticks_ms(), self._answer_at_ms) < 0:
            return None
        if self._trouble == MUTE:
            self._is_gone = True
            self._check()
        size = min(len(buf), len(self._answer))
        buf[:size] = self._answer[:size]
        self._answer = self._answer[size:]
        if size and not self._answer and self._stays:
            self._listen()
        return size

    read_ready = read_now

    async def write(self, buf, n=None, timeout_ms=0):
        start, n = 0, len(buf) if n is None else n
        while start < n:
            start += self.write_now(buf, start, n - start) or 0
            if start < n:
                await self.writable(timeout_ms)

    async def readinto(self, buf, timeout_ms=0):
        left_ms = timeout_ms
        n = self.read_now(buf)
        while n is None:
            if left_ms <= 0:
                raise asyncio.TimeoutError()
            await asyncio.sleep_ms(_ANSWER_MS)
            left_ms -= _ANSWER_MS
            n = self.read_now(buf)
        return n

    async def writable(self, timeout_ms):
        while not self._room():
            await asyncio.sleep_ms(_ANSWER_MS)

    def expire_in(self, lifetime_ms):
        """Nothing here takes that long."""

    def failure(self, error):
        return error

    def close(self):
        self._is_gone = True

    def _check(self):
        if self._is_gone:
            raise OSError(ECONNRESET, "connection is gone")

    def _room(self):
        if self._pace is None:
            return _WINDOW_BYTES
        gone = ticks_diff(ticks_ms(), self._start_ms) * self._pace
        return max(0, min(_WINDOW_BYTES, gone + _WINDOW_BYTES - self._taken))

    # The store's side

    def _listen(self):
        self._head = b""
        self._body = self._answer = self._trouble = None
        self._got = 0

    def _take(self, data):
        if self._body is None:
            head, end, rest = (self._head + bytes(data)).partition(b"\r\n\r\n")
            if not end:
                self._head = head
                return
            self._begin(head.decode())
            data = rest
        self._body[self._got : self._got + len(data)] = data
        self._got += len(data)
        if self._trouble == RESET and self._got >= _RESET_AT_BYTES:
            self._is_gone = True
        elif self._got == self._size:
            self._end()

    def _begin(self, head):
        first, *lines = head.split("\r\n")
        self._target = first.split(" ")[1]
        self._headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            self._headers[name.lower()] = value.strip()
        self._size = int(self._headers["content-length"])
        self._stays = self._headers.get("connection", "").lower() != "close"
        self._body = bytearray(self._size)
        self._trouble = self._outside.next_trouble()

    def _end(self):
        status, etag = 503, None
        if self._trouble != BUSY:
            store = self._outside.store
            status, etag = store.receive(self._target, self._headers, bytes(self._body))
        lines = "ETag: %s\r\n" % etag if etag else ""
        reason = _REASONS.get(status, "Slow Down")
        head = "HTTP/1.1 %d %s\r\n%sContent-Length: 0\r\n\r\n" % (status, reason, lines)
        self._answer = head.encode()
        self._answer_at_ms = ticks_add(ticks_ms(), _ANSWER_MS)
