"""Records a film with the camera's own source and recorder, on either interpreter.

    FILM=a.h264 FPS=25 MAX_CLIP_MS=4000 FOLDER=out INTERPRETER tests/run_device.py THIS record

Prints a line of JSON for each clip.
"""

import json
import os
from binascii import hexlify
from time import ticks_ms

from firmware.sd_recorder import SdRecorder
from firmware.sources.replay import ReplaySource
from mpegts import BUFFER_BYTES

LARGEST_UNIT_BYTES = 256 * 1024


def done(clip):
    facts = {name: getattr(clip, name) for name in ("path", "size_bytes", "frames", "duration_ms")}
    facts["md5"] = hexlify(clip.md5).decode()
    print("clip " + json.dumps(facts))


def failed(path, error):
    raise error


async def record():
    names = iter(range(100))
    source = ReplaySource(
        os.getenv("FILM"),
        fps=int(os.getenv("FPS")),
        pace="fast",
        loop=False,
        buffer_bytes=LARGEST_UNIT_BYTES,
        ticks_ms=ticks_ms,
    )
    recorder = SdRecorder(
        source,
        buffer=bytearray(BUFFER_BYTES),
        unix_time=lambda: None,
        on_started=lambda path, trigger, priority: None,
        on_clip=done,
        on_error=failed,
        max_clip_ms=int(os.getenv("MAX_CLIP_MS")),
        new_path=lambda trigger: os.getenv("FOLDER") + "/m" + str(next(names)) + ".ts",
    )
    recorder.start("motion_detection", 2)
    await recorder.run()
