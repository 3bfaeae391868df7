"""Make CPython look like MicroPython to device code, and no more permissive.

`install()` adds to CPython's own modules what MicroPython's have and aliases
the u-names that older MicroPython packages import. Modules that CPython lacks
altogether (`micropython`) are files beside this one.
"""

import asyncio
import gc
import os
import select
import socket
import ssl
import sys
import time
import traceback
import types

_TICKS_PERIOD = 1 << 30
_TICKS_HALF = _TICKS_PERIOD // 2


def _ticks_ms():
    return time.monotonic_ns() // 1_000_000 % _TICKS_PERIOD


def _ticks_us():
    return time.monotonic_ns() // 1_000 % _TICKS_PERIOD


def _ticks_add(ticks, delta):
    return (ticks + delta) % _TICKS_PERIOD


def _ticks_diff(end, start):
    return (end - start + _TICKS_HALF) % _TICKS_PERIOD - _TICKS_HALF


def _window(buf, window):
    """The part of a buffer that `write(buf)`, `write(buf, n)` or `write(buf, off, n)` means."""
    start, size = window if len(window) == 2 else (0, window[0] if window else len(buf))
    return memoryview(buf)[start : start + size]


class _Pollable:
    """Something the loop can wait for; closing it wakes its waiters, as MicroPython's poll does."""

    _wakers = None
    wants = None  # TLS: the direction that the other one needs first, "r" or "w"

    def wait_for(self, direction):
        """A future that ends when the direction is ready, or the thing is closed."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        fileno = self.fileno()
        if fileno < 0:
            raise OSError(9, "the socket is closed")
        reads = (self.wants or direction) == "r"
        remove = loop.remove_reader if reads else loop.remove_writer

        def wake(_=None):
            if self._wakers.pop(wake, None):
                remove(fileno)
            if not future.done():
                future.set_result(None)

        self._wakers = self._wakers or {}
        self._wakers[wake] = True
        (loop.add_reader if reads else loop.add_writer)(fileno, wake)
        future.add_done_callback(wake)
        # Task.__step accepts a bare future only with this mark of `__await__`.
        future._asyncio_future_blocking = True
        return future

    def wake_all(self):
        for wake in tuple(self._wakers or ()):
            wake()


class MpSocket(_Pollable, socket.socket):
    """A socket with MicroPython's stream methods: None means "would block"."""

    def write(self, buf, *window):
        try:
            return self.send(_window(buf, window))
        except BlockingIOError:
            return None

    def readinto(self, buf, nbytes=0):
        try:
            return self.recv_into(buf, nbytes)
        except BlockingIOError:
            return None

    def read(self, size):
        try:
            return self.recv(size)
        except BlockingIOError:
            return None

    def close(self):
        self.wake_all()
        super().close()


class _MpTls(_Pollable):
    """A TLS connection with MicroPython's stream methods and mbedTLS's ways to fail."""

    def __init__(self, sock):
        self._sock = sock

    def fileno(self):
        return self._sock.fileno()

    def setblocking(self, flag):
        self._sock.setblocking(flag)

    def write(self, buf, *window):
        # MicroPython takes at most 4,096 bytes of a TLS write at a time.
        return self._attempt(self._sock.send, _window(buf, window)[:4096])

    def readinto(self, buf, nbytes=0):
        return self._attempt(self._sock.recv_into, buf, nbytes)

    def _attempt(self, operation, *args):
        self.wants = None
        try:
            return operation(*args)
        except ssl.SSLWantReadError:
            self.wants = "r"
        except ssl.SSLWantWriteError:
            self.wants = "w"
        except ssl.SSLCertVerificationError as error:
            raise ValueError(error.verify_message) from error
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:  # which one differs by version
            raise OSError(-0x7280, "MBEDTLS_ERR_SSL_CONN_EOF") from error
        except ssl.SSLError as error:
            raise OSError(-0x7780, str(error)) from error
        return None

    def close(self):
        self.wake_all()
        self._sock.close()


class MpSSLContext(ssl.SSLContext):
    """MicroPython's context: verifies nothing until told to, as the real one."""

    # The inherited property finds its own class by the name that install() gives to this one.
    verify_mode = ssl.SSLContext.__base__.verify_mode

    def __new__(cls, protocol):
        context = super().__new__(cls, protocol)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context

    def wrap_socket(self, sock, *, server_hostname=None, do_handshake_on_connect=True, **other):
        self.check_hostname = self.verify_mode == ssl.CERT_REQUIRED
        wrapped = super().wrap_socket(
            sock,
            server_hostname=server_hostname,
            do_handshake_on_connect=do_handshake_on_connect,
            **other,
        )
        return _MpTls(wrapped)


class _IoQueue:
    """`asyncio.core._io_queue`: what it returns is what device code must yield."""

    def __init__(self):
        self.poller = _Poller()

    def queue_read(self, sock):
        return sock.wait_for("r")

    def queue_write(self, sock):
        return sock.wait_for("w")


class _Poller:
    """CPython's loop does its own polling."""

    @staticmethod
    def ipoll(timeout_ms):
        return ()


class _TaskQueue:
    """`asyncio.core._task_queue`: CPython does not show whose turn it is, so it is always someone's."""

    @staticmethod
    def peek():
        return types.SimpleNamespace(ph_key=_ticks_ms())


def _install_time():
    time.ticks_ms = _ticks_ms
    time.ticks_us = _ticks_us
    time.ticks_add = _ticks_add
    time.ticks_diff = _ticks_diff
    time.sleep_ms = lambda ms: time.sleep(ms / 1000)


def _install_asyncio():
    asyncio.sleep_ms = lambda ms: asyncio.sleep(ms / 1000)
    asyncio.wait_for_ms = lambda awaitable, ms: asyncio.wait_for(awaitable, ms / 1000)
    asyncio.ThreadSafeFlag = asyncio.Event
    asyncio.core = types.ModuleType("asyncio.core")
    asyncio.core._io_queue = _IoQueue()
    asyncio.core._task_queue = _TaskQueue()
    asyncio.core.ticks = _ticks_ms
    sys.modules["asyncio.core"] = asyncio.core


def _ilistdir(path):
    """Like MicroPython's: tuples of name, type (0x4000 for a folder), inode and size."""
    with os.scandir(path) as entries:
        for entry in entries:
            kind = 0x4000 if entry.is_dir() else 0x8000
            yield entry.name, kind, entry.inode(), entry.stat().st_size


def _install_names():
    for name in ("socket", "struct", "binascii", "time", "json", "errno", "os", "ssl"):
        sys.modules["u" + name] = __import__(name)


def install():
    _install_time()
    _install_asyncio()
    os.ilistdir = _ilistdir
    socket.socket = MpSocket
    ssl.SSLContext = MpSSLContext
    select.POLLIN = getattr(select, "POLLIN", 1)
    gc.mem_alloc = lambda: 0
    gc.threshold = lambda *size_bytes: None
    gc.mem_free = lambda: 1 << 20
    sys.print_exception = lambda error, file=None: traceback.print_exception(error, file=file)
    _install_names()
