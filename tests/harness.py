"""What device tests share on both interpreters: comparisons and scratch space."""

import os
import sys

_folders = []


def eq(actual, expected, note=""):
    """Fail with both values unless they are equal."""
    if actual != expected:
        raise AssertionError("%s%r, expected %r" % (note and note + ": ", actual, expected))


def raises(kind, function, *args, **kwargs):
    """Call the function, which must raise `kind`, and return the exception."""
    try:
        function(*args, **kwargs)
    except kind as error:
        return error
    raise AssertionError("%s was not raised" % kind.__name__)


async def raises_async(kind, awaitable):
    """Await something that must raise `kind`, and return the exception."""
    try:
        await awaitable
    except kind as error:
        return error
    raise AssertionError("%s was not raised" % kind.__name__)


def tmp_dir():
    """A fresh directory that is removed when the test ends."""
    base = os.getenv("TMPDIR") or "/tmp"
    path = "%s/device-test-%s" % (base, "".join("%02x" % b for b in os.urandom(6)))
    os.mkdir(path)
    _folders.append(path)
    return path


def exists(path):
    try:
        os.stat(path)
    except OSError:
        return False
    return True


def _remove(path):
    if os.stat(path)[0] & 0x4000:
        for name in os.listdir(path):
            _remove(path + "/" + name)
        os.rmdir(path)
    else:
        os.remove(path)


def clean_up():
    while _folders:
        _remove(_folders.pop())


def print_exception(error):
    if hasattr(sys, "print_exception"):
        sys.print_exception(error)
    else:
        import traceback

        traceback.print_exception(error)
