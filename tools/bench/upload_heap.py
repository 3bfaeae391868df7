"""P2: what an upload takes of the heap, at most and per chunk.

The most that is in use at once is seen by collecting garbage before each look. All that a chunk
allocates is counted with collection switched off, between two sizes. The median of several runs
counts: now and then a stale word keeps some blocks from the collector, or the receiver stalls and
makes the sender wait, which allocates.
"""

import statistics
from collections.abc import Callable

from tools.bench.interpreter import run
from tools.bench.report import Row, Target
from tools.bench.sink import Sink
from tools.bench.uploads import BOARD_SEND_BUFFER_BYTES, CHUNK_BYTES, Clip, per_chunk, plan

_SIZES_BYTES = 10_000_000, 100_000_000
_RUNS = 5
_COUNTING_RUNS = 15  # short ones
_ALLOWED_BYTES = CHUNK_BYTES + 4096
_CHUNKS = 64, 1024
_SLOW_CHUNKS = 64, 128  # to a receiver that is waited for
_UNCOLLECTED_HEAP = "64M"


def measure(say: Callable[[str], None]) -> list[Row]:
    with Sink() as sink:
        peaks = []
        for size in _SIZES_BYTES:
            say(f"looks at the heap, {size / 1e6:.0f} MB")
            with Clip(size) as clip:
                peaks.append(CHUNK_BYTES + _median(_RUNS, "live", "512k", clip, sink))
        say("counts what is allocated")
        flowing = per_chunk(_CHUNKS, lambda clip: _allocated(clip, sink))
    with Sink(slow=True) as sink:
        say("counts what is allocated, a slow receiver")
        slow = per_chunk(_SLOW_CHUNKS, lambda clip: _allocated(clip, sink, BOARD_SEND_BUFFER_BYTES))
    what = "bytes of heap, buffer and the most that a 100 MB upload adds to it; against"
    each = "bytes allocated per 8 KiB chunk"
    small, nothing = Target("value", "<=", _ALLOWED_BYTES), Target("value", "=", 0)
    return [
        Row("P2", f"{what} the buffer", peaks[1], CHUNK_BYTES, small),
        Row("P2", f"{what} the same of 10 MB", peaks[1], peaks[0], Target("ratio", "<=", 1.01)),
        Row("P2", each, flowing, target=nothing),
        Row("P2", f"{each}, waiting for room in the socket", slow, target=nothing),
    ]


def _allocated(clip: Clip, sink: Sink, send_buffer_bytes: int = 0) -> int:
    runs = _RUNS if send_buffer_bytes else _COUNTING_RUNS
    return _median(runs, "allocated", _UNCOLLECTED_HEAP, clip, sink, send_buffer_bytes)


def _median(
    runs: int, mode: str, heap: str, clip: Clip, sink: Sink, send_buffer_bytes: int = 0
) -> int:
    told = plan(clip, sink.url, send_buffer_bytes=send_buffer_bytes)
    found = [run("upload_heap.py", mode, told, heap=heap)["bytes"] for _ in range(runs)]
    return int(statistics.median(found))
