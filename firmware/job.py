"""One file to deliver: all that is known of it, and how that is kept in a journal record.

A record is JSON with short names, so that 512 bytes hold it. What is not known or
at its default is left out; names that a later firmware added are ignored.

Pure: no IO.
"""

import json
from binascii import hexlify, unhexlify

from micropython import const

from protocol_error import ProtocolError

FREE = const(0)  # no job
RECORDING = const(1)  # being written; found after a power cut, it is cut to whole packets
WAITING = const(2)
RUNNING = const(3)  # in a slot; in a record it is WAITING, as a reset makes it
FAILED = const(4)  # until somebody queues it again, or the link comes back
HOPELESS = const(5)  # failed in a way that trying again does not mend
DELIVERED = const(6)  # proven; the file may go

LONGEST_NAME = const(100)

# (name in a record, attribute, default)
_FIELDS = (
    ("s", "size_bytes", 0),
    ("d", "duration_ms", 0),
    ("h", "height", 0),
    ("f", "fps", 0),
    ("c", "frames", 0),
    ("l", "pre_roll_ms", 0),
    ("b", "poster_bytes", 0),
    ("k", "clock", None),
    ("u", "started_unix", None),
    ("a", "attempts", 0),
    ("r", "is_recovered", False),
    ("o", "cloud_path", None),
    ("i", "upload_id", None),
    ("z", "part_size", 0),
    ("n", "parts_done", 0),
)
# What a record that is too long goes without, in this order. The cloud tells the part's size again.
_DISPENSABLE = ("fclbk", "dh", "z", "oin")
_OF_CLIP = ("duration_ms", "height", "fps", "frames", "pre_roll_ms", "poster_bytes")


class Job:
    """`md5` is 16 bytes or None; `started_unix` is None while the clock was unknown, `clock`
    where it had the time from. Of `poster_bytes` at the file's begin a still can be made.

    Only the first `size_bytes` of the file are sent. `upload_id`, `part_size`,
    `parts_done` and `cloud_path` belong to an upload in parts that has begun.
    `row` is the job's place in queue and journal.
    """

    cloud_path = clock = None

    def __init__(self, path, size_bytes, priority, trigger, *, state=WAITING, started_unix=None):
        for _, name, default in _FIELDS:
            setattr(self, name, default)
        self.path = path
        self.size_bytes = size_bytes
        self.priority = priority
        self.trigger = trigger
        self.md5 = None
        self.state = state
        self.started_unix = started_unix
        self.row = None
        self.order = 0
        self.content_encoding = self.body_path = None  # while a compressed file goes in its place
        self.growth = None  # of a clip that is still being recorded

    def finish(self, clip):
        """The recording ended: take what is now known of it."""
        self.size_bytes, self.md5 = clip.size_bytes, clip.md5
        for name in _OF_CLIP:
            setattr(self, name, getattr(clip, name))
        # Of one that goes out already the cloud may have the name, in which the time is.
        if clip.started_unix is not None and not (self.growth and self.started_unix):
            self.started_unix = clip.started_unix
        self._end()

    def cut(self, size_bytes):
        """The recording broke off: only so much of it counts."""
        self.size_bytes, self.is_recovered = size_bytes, True
        self._end()

    def _end(self):
        self.state, self.attempts = WAITING, 0
        if self.growth:
            self.growth.finish(self.size_bytes)

    def forget_parts(self):
        """The upload in parts is gone: begin anew."""
        self.upload_id, self.part_size, self.parts_done = None, 0, 0


def to_record(job, totals, root="", most_bytes=1024):
    """The record of a job (None: of a place without one), and of the totals at that time.

    Paths below `root` are kept without it. Where the record would be too long, what
    is only told of the clip is left out, and at last the upload in parts, which every
    retry then begins anew. ProtocolError if the job's name is too long to be kept.
    """
    fields = {"g": totals}
    if job:
        fields.update({"p": _name(job.path, root), "y": job.priority, "t": job.trigger})
        fields["q"], fields["v"] = job.order, _kept_state(job)
        if job.md5:
            fields["m"] = hexlify(job.md5).decode()
        for short, name, default in _FIELDS:
            value = getattr(job, name)
            if value != default:
                fields[short] = value
    record = _text(fields)
    for group in _DISPENSABLE:
        if len(record) <= most_bytes:
            break
        for short in group:
            fields.pop(short, None)
        record = _text(fields)
    return record


def from_record(payload, root=""):
    """`(job or None, totals)`; ProtocolError if the record holds neither."""
    try:
        fields = json.loads(payload)
        totals = [int(n) for n in fields["g"]]
        if "p" not in fields:
            return None, totals
        path = str(fields["p"])
        if not path.startswith("/"):
            path = root + path
        job = Job(path, 0, int(fields["y"]), str(fields["t"]))
        job.order, job.state = int(fields["q"]), int(fields["v"])
        if "m" in fields:
            job.md5 = unhexlify(fields["m"])
    except (ValueError, KeyError, TypeError):
        raise ProtocolError("not a job's record")
    for short, name, default in _FIELDS:
        setattr(job, name, fields.get(short, default))
    return job, totals


def _text(fields):
    return json.dumps(fields, separators=(",", ":")).encode()


def _name(path, root):
    name = path[len(root) :] if root and path.startswith(root) else path
    if len(name.encode()) > LONGEST_NAME:
        raise ProtocolError("path: allowed are names of at most %d bytes" % LONGEST_NAME)
    return name


def _kept_state(job):
    if job.growth and not job.growth.is_done:
        return RECORDING
    return WAITING if job.state == RUNNING else job.state
