"""P2: what an upload takes of the heap, at most and per chunk.

The most that is in use at once is seen by collecting garbage before each look. The collector is
conservative: now and then a stale word keeps some blocks; so the least of several runs counts.

All that a chunk allocates is counted with collection switched off, between two sizes.
"""

from collections.abc import Callable
from typing import Any

from tools.bench.interpreter import MeasurementFailed, run
from tools.bench.report import Row, Target
from tools.bench.sink import Sink
from tools.bench.uploads import BOARD_SEND_BUFFER_BYTES, CHUNK_BYTES, Clip, per_chunk, plan

_SIZES_BYTES = 10_000_000, 100_000_000
_RUNS = 5
_ALLOWED_BYTES = CHUNK_BYTES + 4096
_CHUNKS = 256, 2560
_SLOW_CHUNKS = 64, 192
_UNCOLLECTED_HEAP = "64M"
_MOST_TRIES = 20


def measure(say: Callable[[str], None]) -> list[Row]:
    with Sink() as sink:
        peaks = []
        for size in _SIZES_BYTES:
            say(f"looks at the heap, {size / 1e6:.0f} MB")
            peaks.append(_peak(size, sink))
        say("counts what is allocated")
        flowing = per_chunk(_CHUNKS, lambda clip: _without_waits(clip, sink)["bytes"])
    with Sink(slow=True) as sink:
        slow = per_chunk(
            _SLOW_CHUNKS, lambda clip: _allocated(clip, sink, BOARD_SEND_BUFFER_BYTES)["bytes"]
        )
    what = "bytes of heap, buffer and the most that a 100 MB upload adds to it; against"
    each = "bytes allocated per 8 KiB chunk"
    nothing = Target("value", "=", 0)
    return [
        Row(
            "P2", f"{what} the buffer", peaks[1], CHUNK_BYTES, Target("value", "<=", _ALLOWED_BYTES)
        ),
        Row("P2", f"{what} the same of 10 MB", peaks[1], peaks[0], Target("ratio", "<=", 1.01)),
        Row("P2", each, flowing, target=nothing),
        Row("P2", f"{each}, waiting for room in the socket", slow, target=nothing),
    ]


def _peak(size_bytes: int, sink: Sink) -> int:
    with Clip(size_bytes) as clip:
        told = plan(clip, sink.url)
        runs = [run("upload_heap.py", "live", told, heap="512k")["bytes"] for _ in range(_RUNS)]
    return CHUNK_BYTES + int(min(runs))


def _allocated(clip: Clip, sink: Sink, send_buffer_bytes: int = 0) -> dict[str, Any]:
    told = plan(clip, sink.url, send_buffer_bytes=send_buffer_bytes)
    return run("upload_heap.py", "allocated", told, heap=_UNCOLLECTED_HEAP)


def _without_waits(clip: Clip, sink: Sink) -> dict[str, Any]:
    """An upload that only waited for its connection: the receiver may stall, but not each time."""
    for _ in range(_MOST_TRIES):
        done = _allocated(clip, sink)
        if done["waits"] <= 1:
            return done
    raise MeasurementFailed(f"the receiver stalled in each of {_MOST_TRIES} uploads")
