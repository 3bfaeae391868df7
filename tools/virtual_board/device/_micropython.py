"""Stand-in for `micropython`: what the unix port has of it and what it leaves out."""

from micropython import *  # noqa: F403


def alloc_emergency_exception_buf(size):
    """The unix port has such a buffer from the start, of 256 bytes."""
    if not isinstance(size, int):
        raise TypeError("can't convert %s to int" % type(size).__name__)
