"""What one upload takes of the heap: `upload_heap.py live|allocated PLAN`. Prints bytes.

live: the most that was in use at once, garbage not counted, looked at whenever the uploader calls
    out, which is every few chunks. allocated: all that was ever taken, with collection switched off.
Both count from an idle uploader that has its buffer.
"""

import asyncio
import gc
import json
import sys
from time import ticks_ms

from upload_plan import Plan

_peak = 0


def look(_job, _sent_bytes, _total_bytes, _elapsed_ms):
    look_now()


def look_now():
    global _peak
    gc.collect()
    _peak = max(_peak, gc.mem_alloc())


def look_and_tell():
    look_now()
    return ticks_ms()


async def main(mode, path):
    plan = Plan(path)
    if mode == "live":
        uploader = plan.uploader(look_and_tell, on_progress=look, progress_ms=0)
    else:
        uploader = plan.uploader(ticks_ms)
    gc.collect()
    idle = gc.mem_alloc()
    if mode == "allocated":
        gc.disable()
    await uploader.upload(plan.job, 0)
    most = _peak if mode == "live" else gc.mem_alloc()
    print(json.dumps({"bytes": most - idle}))


asyncio.run(main(sys.argv[1], sys.argv[2]))
