"""Records a film with the camera's own source and recorder, on either interpreter.

    FILM=a.h264 FPS=25 MAX_CLIP_MS=4000 RING_KB=0 PRE_ROLL_MS=0 START_AT=0 FOLDER=out \
        INTERPRETER tests/run_device.py THIS record

Recording is wanted from picture START_AT on. Prints a line of JSON for each clip.
"""

import json
import os
from binascii import hexlify
from time import ticks_ms

from firmware.sd_recorder import SdRecorder
from firmware.sources.replay import ReplaySource
from gop_ring import GopRing
from mpegts import BUFFER_BYTES

LARGEST_UNIT_BYTES = 256 * 1024
FACTS = (
    "path",
    "size_bytes",
    "frames",
    "duration_ms",
    "pre_roll_ms",
    "poster_bytes",
    "part",
    "width",
    "height",
)


def done(clip):
    facts = {name: getattr(clip, name) for name in FACTS}
    facts["md5"] = hexlify(clip.md5).decode()
    print("clip " + json.dumps(facts))


def failed(path, error):
    raise error


def failed_source(error):
    raise error


async def record():
    names, numbers = iter(range(100)), iter(range(100000))
    source = ReplaySource(
        os.getenv("FILM"),
        fps=int(os.getenv("FPS")),
        pace="fast",
        loop=False,
        buffer_bytes=LARGEST_UNIT_BYTES,
        ticks_ms=ticks_ms,
    )
    ring_bytes = int(os.getenv("RING_KB")) * 1024
    start_at = int(os.getenv("START_AT"))

    def start(*seen):
        if next(numbers) == start_at:
            recorder.start("motion_detection", 2)

    recorder = SdRecorder(
        source,
        ring=GopRing(bytearray(ring_bytes), 500) if ring_bytes else None,
        buffer=bytearray(BUFFER_BYTES),
        unix_time=lambda: None,
        on_started=lambda path, trigger, priority: None,
        on_clip=done,
        on_error=failed,
        on_source=failed_source,
        on_unit=start,
        may_record=lambda priority: True,
        max_clip_ms=int(os.getenv("MAX_CLIP_MS")),
        pre_roll_ms=int(os.getenv("PRE_ROLL_MS")),
        stall_ms=60000,
        new_path=lambda trigger: os.getenv("FOLDER") + "/m" + str(next(names)) + ".ts",
        ticks_ms=lambda: 0,
        randbits=lambda count: 0,
    )
    await recorder.run()
