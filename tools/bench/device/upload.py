"""One upload: `upload.py PLAN`.

Prints how long it took, from the connection to the proof, and how often it waited for room.
"""

import asyncio
import json
import sys
from time import ticks_ms

from upload_plan import Plan, WaitCounter


async def main(path):
    plan = Plan(path)
    waits = WaitCounter()
    outcome = await plan.uploader(ticks_ms).upload(plan.job, 0)
    print(json.dumps({"duration_ms": outcome.duration_ms, "waits": waits.count}))


asyncio.run(main(sys.argv[1]))
