"""P10: the whole camera at work in a small heap: it records while two clips are on their way.

The uplink is slower than the footage, so that uploads pile up to both slots while recording goes on.
"""

import time
from collections.abc import Callable

from tools.bench.gauged_board import GaugedDesk, gauged_desk
from tools.bench.interpreter import MeasurementFailed
from tools.bench.report import Row, Target
from tools.demo.uplink import Uplink
from tools.desk import Event
from tools.services import SeaweedFS

_HEAP = "512k"
_FILM = "steady_4mbit"
_CLIP_SEC = 2
_RECORD_SEC = 12
_UPLINK_BYTES_PER_SEC = 300_000  # for each upload; the footage is 465,000
_QUIET_SEC = 30
_SLOTS = 2


class Traffic:
    """What the camera is doing, by its events."""

    def __init__(self) -> None:
        self.recorded: set[str] = set()
        self.delivered: dict[str, Event] = {}
        self._recording = False
        self._uploading: dict[str, Event] = {}
        self.most_uploads_while_recording = 0

    @property
    def is_over(self) -> bool:
        return (
            bool(self.recorded) and not self._recording and not self.recorded - set(self.delivered)
        )

    def take(self, event: Event) -> None:
        name, path = event.get("event"), event.get("file_path", "")
        if name == "recording_started":
            self._recording = True
        elif name == "recording_completed":
            self._recording = False
            self.recorded.add(path)
        elif name == "upload_started":
            self._uploading[path] = event
        elif name == "upload_completed":
            self.delivered[path] = self._uploading.pop(path)
        elif name in ("recording_failed", "upload_failed"):
            raise MeasurementFailed(str(event))
        if self._recording:
            at_once = len(self._uploading)
            self.most_uploads_while_recording = max(at_once, self.most_uploads_while_recording)


def measure(say: Callable[[str], None]) -> list[Row]:
    say("starts a camera")
    changes = {
        "recorder": {"max_clip_sec": _CLIP_SEC},
        "upload": {"max_concurrent_uploads": _SLOTS},
    }
    with SeaweedFS() as store, Uplink(store.host, store.port, _UPLINK_BYTES_PER_SEC) as uplink:
        with gauged_desk(
            store=store,
            film=_FILM,
            heap=_HEAP,
            changes=changes,
            endpoint=f"http://{uplink.address}",
        ) as gauged:
            traffic = _work(gauged, say)
            stored = _stored_whole(gauged, traffic)
            heap = gauged.heap()
    return [
        Row(
            "P10",
            f"clips in the store, heap of 512 KiB, {_SLOTS} uploads and a recording at once; against"
            " clips recorded",
            stored,
            len(traffic.recorded),
            Target("ratio", "=", 1),
        ),
        Row("P10", "bytes of heap at the most; against its size", max(heap.readings), heap.size),
    ]


def _work(gauged: GaugedDesk, say: Callable[[str], None]) -> Traffic:
    traffic, events = Traffic(), gauged.table.events
    events.command("trigger", duration_sec=_RECORD_SEC)
    end = time.monotonic() + _RECORD_SEC
    while not (traffic.is_over and time.monotonic() > end):
        traffic.take(events.next(_QUIET_SEC))
        say(f"records and uploads: {len(traffic.delivered)} of {len(traffic.recorded)} delivered")
    if traffic.most_uploads_while_recording < _SLOTS:
        raise MeasurementFailed(f"never were {_SLOTS} uploads on their way while it recorded")
    return traffic


def _stored_whole(gauged: GaugedDesk, traffic: Traffic) -> int:
    """How many clips an independent client finds in the store in their full length."""
    names = set(gauged.table.object_names())
    return sum(
        event["cloud_path"] in names
        and len(gauged.table.object_bytes(event["cloud_path"])) == event["file_size"]
        for event in traffic.delivered.values()
    )
