"""P2: what an upload takes of the heap, at most and per chunk.

The most that is in use at once is seen by collecting garbage before each look. The collector is
conservative: now and then a stale word keeps some blocks. All that a chunk allocates is counted with
collection switched off, between two sizes. A receiver that stalls for a moment makes the sender
wait, which allocates. So the least of several runs counts: both kinds of disturbance only add.
"""

from collections.abc import Callable

from tools.bench.interpreter import run
from tools.bench.report import Row, Target
from tools.bench.sink import Sink
from tools.bench.uploads import BOARD_SEND_BUFFER_BYTES, CHUNK_BYTES, Clip, per_chunk, plan

_SIZES_BYTES = 10_000_000, 100_000_000
_RUNS = 5
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
                peaks.append(CHUNK_BYTES + _least("live", "512k", clip, sink))
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
    return _least("allocated", _UNCOLLECTED_HEAP, clip, sink, send_buffer_bytes)


def _least(mode: str, heap: str, clip: Clip, sink: Sink, send_buffer_bytes: int = 0) -> int:
    told = plan(clip, sink.url, send_buffer_bytes=send_buffer_bytes)
    return min(int(run("upload_heap.py", mode, told, heap=heap)["bytes"]) for _ in range(_RUNS))
