# In place of main.py: the same camera, and beside it a gauge of the heap that prints to the console.
# `heap before`: what the stand-ins for the chip's own modules take, which on a chip are not in RAM.
import gc

_PERIOD_MS = 50


def look(what):
    gc.collect()
    used = gc.mem_alloc()
    print("heap", what, used, used + gc.mem_free())


async def gauge():
    while True:
        look("now")
        await asyncio.sleep_ms(_PERIOD_MS)


look("before")

import asyncio  # noqa: E402

from firmware.app import start  # noqa: E402

look("imported")
asyncio.create_task(gauge())
start()
