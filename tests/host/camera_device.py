"""Records what a camera sees with one of the camera adapters, on either interpreter.

    ADAPTER=pydevices FILM=a.h264 WIDTH=640 HEIGHT=480 FPS=25 FOLDER=out \
        INTERPRETER tests/run_device.py THIS record

The encoder of the stand-in gives the film's pictures. Prints a line of JSON for each clip.
"""

import json
import os

from tasks.camera_recording import Recording, source_of
from tasks.strict_camera import film_of

BEGIN, END, LEAVE = 5, 105, 110


async def record():
    film = film_of(os.getenv("FILM"))
    size = {name: int(os.getenv(name.upper())) for name in ("width", "height", "fps")}
    source, hardware = source_of(os.getenv("ADAPTER"), film, **size)
    at = {BEGIN: Recording.begin, END: Recording.end, LEAVE: Recording.leave}
    recording = Recording(source, os.getenv("FOLDER"), at=at, max_clip_ms=2000)
    await recording.run()
    assert not (recording.errors or recording.source_news or hardware.open)
    for clip in recording.clips:
        facts = ("path", "frames", "duration_ms", "width", "height", "poster_bytes")
        print("clip " + json.dumps({name: getattr(clip, name) for name in facts}))
