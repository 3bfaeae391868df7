"""CPython's stand-in for MicroPython's `micropython` module."""


def const(value):
    return value


def alloc_emergency_exception_buf(size):
    """CPython always has memory for a traceback."""


def heap_lock():
    """CPython cannot forbid allocation; the MicroPython run judges that."""


def heap_unlock():
    return 0


def heap_locked():
    return 0


class RingIO:
    """A bounded FIFO of bytes; a write takes what fits, a read what is there."""

    def __init__(self, size):
        self._size = size if isinstance(size, int) else len(size) - 1
        self._bytes = bytearray()

    def any(self):
        return len(self._bytes)

    def write(self, buf, *window):
        view = memoryview(buf).cast("B")
        if len(window) == 1:
            view = view[: window[0]]
        elif len(window) == 2:
            view = view[window[0] : window[0] + window[1]]
        view = view[: self._size - len(self._bytes)]
        self._bytes += view
        return len(view)

    def readinto(self, buf, nbytes=None):
        count = min(len(buf) if nbytes is None else nbytes, len(buf), len(self._bytes))
        buf[:count] = self._bytes[:count]
        del self._bytes[:count]
        return count
