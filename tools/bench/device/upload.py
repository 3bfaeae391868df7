"""One upload: `upload.py PLAN`. Prints how long it took, from the connection to the proof."""

import asyncio
import json
import sys
from time import ticks_ms

from upload_plan import Plan

plan = Plan(sys.argv[1])
outcome = asyncio.run(plan.uploader(ticks_ms).upload(plan.job, 0))
print(json.dumps({"duration_ms": outcome.duration_ms}))
