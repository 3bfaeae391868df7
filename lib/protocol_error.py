"""The one exception of all codecs: what the other side sent is not what its protocol allows.

Pure: no IO.
"""


class ProtocolError(ValueError):
    """Malformed input; the message says what was wrong, never repeats secrets."""
