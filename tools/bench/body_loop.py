"""P1: instructions of the uploader's body loop per chunk.

MD5 is no part of sending: its cost is measured over the same chunks in the same interpreter, taken
off the uploader's figure and shown apart.
"""

from collections.abc import Callable

from tools.bench.interpreter import count
from tools.bench.report import Row, Target
from tools.bench.sink import Sink
from tools.bench.uploads import BOARD_SEND_BUFFER_BYTES, Clip, per_chunk, plan

_CHUNKS = 256, 768
_SLOW_CHUNKS = 64, 192  # to a receiver that is waited for
_HEAP = "512k"  # small enough for a loop that leaves garbage to pay for its collection


def measure(say: Callable[[str], None]) -> list[Row]:
    say("counts instructions: MD5")
    md5 = per_chunk(_CHUNKS, _way("hashing")) - per_chunk(_CHUNKS, _way("reading"))
    with Sink() as sink:
        say("counts instructions: the uploader")
        body = per_chunk(_CHUNKS, _upload(sink)) - md5
        say("counts instructions: the blocking loop")
        blocking = per_chunk(_CHUNKS, _way("blocking", sink))
        say("counts instructions: asyncio streams")
        streams = per_chunk(_CHUNKS, _way("streams", sink))
    with Sink(slow=True) as sink:
        say("counts instructions: the uploader, a slow receiver")
        slow_body = per_chunk(_SLOW_CHUNKS, _upload(sink, BOARD_SEND_BUFFER_BYTES)) - md5
        say("counts instructions: asyncio streams, a slow receiver")
        slow_way = _way("streams", sink, BOARD_SEND_BUFFER_BYTES)
        slow_streams = per_chunk(_SLOW_CHUNKS, slow_way)
    what = "instructions per 8 KiB chunk, uploader's body loop less MD5; against"
    return [
        Row("P1", f"{what} blocking readinto + write", body, blocking, Target("ratio", "<=", 2.5)),
        Row("P1", f"{what} asyncio streams", body, streams, Target("ratio", "<=", 0.35)),
        Row("P1", f"{what} asyncio streams, both waiting for room", slow_body, slow_streams),
        Row("P1", "instructions per 8 KiB chunk, MD5; against the body loop less it", md5, body),
    ]


def _way(
    name: str, sink: Sink | None = None, send_buffer_bytes: int = 0
) -> Callable[[Clip], float]:
    port = sink.port if sink else 0

    def program(clip: Clip) -> float:
        told = (name, clip.path, clip.size_bytes, port, send_buffer_bytes)
        return float(count("body_loops.py", *told, heap=_HEAP)["instructions"])

    return program


def _upload(sink: Sink, send_buffer_bytes: int = 0) -> Callable[[Clip], float]:
    def program(clip: Clip) -> float:
        told = plan(clip, sink.url, send_buffer_bytes=send_buffer_bytes)
        return float(count("upload.py", told, heap=_HEAP)["instructions"])

    return program
