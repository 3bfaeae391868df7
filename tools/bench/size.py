"""P9: bytes of compiled code, and what the idle camera takes of the heap."""

import time
from collections.abc import Callable
from pathlib import Path

from tools.bench.gauged_board import gauged_desk
from tools.bench.interpreter import ROOT, MeasurementFailed, scratch
from tools.bench.report import Row, Target
from tools.check_device import ARCHITECTURE, compile_file
from tools.device_tree import device_files

_IDLE_SEC = 2
_ALLOWED_BYTES = 100 * 1024


def measure(say: Callable[[str], None]) -> list[Row]:
    say("compiles the firmware")
    sources = device_files()
    compiled = sum(_compiled_bytes(source) for source in sources)
    say("starts a camera")
    with gauged_desk(heap="2M") as gauged:
        time.sleep(_IDLE_SEC)
        heap = gauged.heap()
    source_bytes = sum(source.stat().st_size for source in sources)
    code = heap.imported - heap.before
    return [
        Row("P9", f"bytes of .mpy for {ARCHITECTURE}; against the source", compiled, source_bytes),
        Row("P9", "bytes of heap, firmware imported from source", code),
        Row(
            "P9",
            "bytes of heap, camera started and idle; against the code alone",
            heap.readings[-1] - heap.before,
            code,
            Target("value", "<=", _ALLOWED_BYTES),
        ),
    ]


def _compiled_bytes(source: Path) -> int:
    target = ROOT / scratch("compiled.mpy")
    if not compile_file(source, target):
        raise MeasurementFailed(f"mpy-cross does not compile {source}")
    return target.stat().st_size
