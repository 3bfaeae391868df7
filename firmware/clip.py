"""A finished recording: what is known of it when its last byte is on the card.

Pure: no IO.
"""

from collections import namedtuple

# md5: 16 bytes, computed while writing; started_unix: when its first frame was taken, None while
# the clock was unknown; pre_roll_ms: what of it is older than the wish to record; poster_bytes: so
# much of the file's begin holds the tables and the whole first picture; part: 0, 1, 2 ... of the
# clips that together are one recording.
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
        "pre_roll_ms",
        "poster_bytes",
        "part",
    ),
)
