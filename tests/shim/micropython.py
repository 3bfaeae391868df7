"""CPython's stand-in for MicroPython's `micropython` module."""


def const(value):
    return value


def native(function):
    return function


def viper(function):
    raise NotImplementedError("viper code needs a portable fallback; CPython has no viper")


def alloc_emergency_exception_buf(size):
    """CPython always has memory for a traceback."""


def heap_lock():
    """CPython cannot forbid allocation; the MicroPython run judges that."""


def heap_unlock():
    return 0


def heap_locked():
    return 0
