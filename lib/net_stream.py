"""A connection on a non-blocking socket, with a deadline on every wait.

A stream tries its socket first and suspends the task only when the socket has
nothing to give or no room. Every stream has a watchdog task that looks at
the deadlines each _TICK_MS and closes the stream when one has passed.

Invariant: closing wakes whoever waits, and a stream that missed a deadline, or
one of whose waits was cancelled, is closed: half a message may be out. One task
may read and one may write at a time.

With TLS the handshake runs inside the first write or read, which raises TlsError
when the peer cannot prove who it is; nothing of what was written has gone then.
"""

import asyncio
from asyncio import core  # type: ignore[attr-defined]  # not in the stubs
from errno import EALREADY, EBADF, ECONNRESET, EINPROGRESS
from time import ticks_add, ticks_diff, ticks_ms

from micropython import const

_TICK_MS = const(250)
_TIMEOUT_MS = const(30000)
_READ = const(0)
_WRITE = const(1)
_LIFETIME = const(2)

# mbedTLS's own error numbers begin below the negated ones of the socket.
_MBEDTLS_ERRORS = const(-256)
_MBEDTLS_CONN_EOF = const(-0x7280)
_MBEDTLS_CA_CHAIN_REQUIRED = const(-0x7680)
# EISCONN on Linux, lwIP (newlib) and macOS; MicroPython's errno does not name it.
_IS_CONNECTED = (106, 127, 56)
_IS_CONNECTING = (EINPROGRESS, EALREADY)


class TlsError(OSError):
    """TLS failed; `is_certificate`: because the peer's certificate was not accepted."""

    def __init__(self, message, is_certificate):
        super().__init__(message)
        self.is_certificate = is_certificate


_END = StopIteration()  # raised by all waits: a new one would be allocated


class _Readiness:
    """Awaitable that ends when a socket can be read or written; one serves for all waits.

    `task` is who waits now, or None.
    """

    def __init__(self, sock, direction):
        self._sock = sock
        self._direction = direction
        self.task = None

    def __iter__(self):
        self._is_queued = False
        return self

    __await__ = __iter__

    def __next__(self):
        if self._is_queued:
            _END.__traceback__ = None
            raise _END
        self._is_queued = True
        if self._direction == _READ:
            return core._io_queue.queue_read(self._sock)
        return core._io_queue.queue_write(self._sock)


class _Closed:
    """Stands where the socket of a closed stream was."""

    def write(self, *_):
        raise OSError(EBADF, "connection is closed")

    readinto = connect = write


_CLOSED = _Closed()


class Stream:
    """One connection. Failures are OSError; a missed deadline is asyncio.TimeoutError."""

    def __init__(self, sock):
        sock.setblocking(False)
        self._raw = sock
        self._limits: list = [None, None, None]
        self._has_expired = False
        self._use(sock)

    def _use(self, sock):
        """Take a socket object into use.

        `read_now(buf)` and `write_now(buf[, n])` are its own methods: the bytes
        moved, None when it would block, 0 at the end of the stream. They cost a
        third of a call; what they raise must go through failure().
        """
        self._sock = sock
        self.read_now = sock.readinto
        self.write_now = sock.write
        self._ready: list = [None, None]  # made when first waited for

    def expire_in(self, lifetime_ms):
        """Close the stream that long from now, whatever it is doing; None takes that back."""
        limit = None if lifetime_ms is None else ticks_add(ticks_ms(), lifetime_ms)
        self._limits[_LIFETIME] = limit

    async def write(self, buf, n=None, timeout_ms=_TIMEOUT_MS):
        """Hand the first n bytes of `buf` to the socket, straight from there, within timeout_ms."""
        start, n = 0, len(buf) if n is None else n
        self._limits[_WRITE] = ticks_add(ticks_ms(), timeout_ms)
        try:
            while True:
                # TLS repeats a refused write from its own copy, so a retry offers the same bytes.
                start += self.write_now(buf, start, n - start) or 0
                if start >= n:
                    break
                await self._wait(_WRITE)
        except (OSError, ValueError) as error:
            raise self.failure(error)
        finally:
            self._limits[_WRITE] = None

    async def writable(self, timeout_ms):
        """Wait until the socket takes bytes again."""
        self._limits[_WRITE] = ticks_add(ticks_ms(), timeout_ms)
        try:
            await self._wait(_WRITE)
        finally:
            self._limits[_WRITE] = None

    def read_ready(self, buf):
        """Read what is there: the number of bytes, 0 at the end of the stream, None for nothing yet.

        A reset that follows the last bytes hides them from a read that could
        have taken more; the buffer holds them all the same.
        """
        try:
            return self.read_now(buf)
        except (OSError, ValueError) as error:
            raise self.failure(error)

    async def readinto(self, buf, timeout_ms=_TIMEOUT_MS):
        """Wait for bytes and read them: at least 1, or 0 at the end of the stream."""
        n = self.read_ready(buf)
        if n is not None:
            return n
        self._limits[_READ] = ticks_add(ticks_ms(), timeout_ms)
        try:
            while n is None:
                await self._wait(_READ)
                n = self.read_ready(buf)
            return n
        finally:
            self._limits[_READ] = None

    def close(self):
        """Close the connection, whatever state it is in; whoever waits on it gets an error."""
        sock = self._sock
        if sock is _CLOSED:
            return
        tasks = [ready.task for ready in self._ready if ready is not None]
        self._use(_CLOSED)
        for task in tasks:
            # MicroPython only (CPython's tasks have no `data`): a cancelled waiter took this one
            # off the queue with itself, or the socket's number may be in use again before a poll.
            if getattr(task, "data", None) is core._io_queue:
                core._io_queue.remove(task)
                core._task_queue.push(task)
        # A failed handshake cuts the TLS object off from its socket: close both.
        for one in (sock, self._raw):
            try:
                one.close()
            except OSError as error:
                print("net: close:", error)

    async def _wait(self, direction):
        if self._sock is _CLOSED:
            raise OSError(EBADF, "connection is closed")
        ready = self._ready[direction]
        if ready is None:
            ready = self._ready[direction] = _Readiness(self._sock, direction)
        ready.task = asyncio.current_task()
        try:
            await ready
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            ready.task = None

    async def _watch(self):
        while self._sock is not _CLOSED:
            await asyncio.sleep_ms(_TICK_MS)
            now = ticks_ms()
            for limit in self._limits:
                if limit is not None and ticks_diff(limit, now) <= 0:
                    self._has_expired = True
                    self.close()

    def failure(self, error):
        """What an exception of the socket means: the socket speaks errno, mbedTLS and ValueError."""
        if self._has_expired:
            return asyncio.TimeoutError()
        if isinstance(error, ValueError):
            return TlsError(str(error).strip(), True)
        number = error.errno
        if not isinstance(number, int) or number > _MBEDTLS_ERRORS:
            return error
        if number == _MBEDTLS_CONN_EOF:
            return OSError(ECONNRESET, "closed without a TLS farewell")
        return TlsError("TLS error %d" % number, number == _MBEDTLS_CA_CHAIN_REQUIRED)

    async def dial(self, sockaddr, timeout_ms):
        """Connect. Asking again is how MicroPython tells the outcome: it has no getsockopt."""
        self._watchdog = asyncio.create_task(self._watch())
        self._limits[_WRITE] = ticks_add(ticks_ms(), timeout_ms)
        while True:
            try:
                self._sock.connect(sockaddr)
                break
            except OSError as error:
                if error.errno in _IS_CONNECTED:
                    break
                if error.errno not in _IS_CONNECTING:
                    raise self.failure(error)
            await self._wait(_WRITE)
        self._limits[_WRITE] = None

    def secure(self, context, server_hostname):
        """Speak TLS from here on, verified against the context and the name."""
        try:
            tls = context.wrap_socket(
                self._raw, server_hostname=server_hostname, do_handshake_on_connect=False
            )
        except (OSError, ValueError) as error:
            raise self.failure(error)
        self._use(tls)
