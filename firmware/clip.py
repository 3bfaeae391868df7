"""A finished recording: what is known of it when its last byte is on the card.

Pure: no IO.
"""

from collections import namedtuple

# md5: 16 bytes, computed while writing; started_unix: None while the clock was unknown.
Clip = namedtuple(
    "Clip",
    (
        "path",
        "size_bytes",
        "md5",
        "trigger",
        "priority",
        "started_unix",
        "duration_ms",
        "frames",
        "width",
        "height",
        "fps",
    ),
)
