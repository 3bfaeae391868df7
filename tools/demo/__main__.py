"""Run the demo: record on the virtual board, deliver, read back, verify, show.

    DEMO_CLIPS=3 STORE=minio SOURCE=rtsp python -m tools.demo

Leaves the clips read back from the store, a contact sheet of each, the board's serial log and
summary.json in build/demo/. Exit status 0 only if every clip was delivered and verified.
"""

import contextlib
import hashlib
import json
import os
import shutil
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
)

from tools.demo.footage_check import contact_sheet, decode_errors, frame_count
from tools.demo.uplink import Uplink
from tools.desk import PIR_GPIO, STORES, Desk, Event, desk
from tools.material import footage
from tools.services import RtspServer, ServiceError
from tools.virtual_board import card

FOLDER = Path("build/demo")
FILM = "bench_4mbit"
FILM_LOOPS = 10  # of the RTSP server, which plays it once for each client
UPLINK_BYTES_PER_SEC = 560_000  # what the device is said to reach over Wi-Fi
MOTION_SEC = 5
PRE_ROLL_SEC = 3
PRE_ROLL_KB = 2560  # for 4 Mbit/s, and for key frames that make one second larger than another
HEAP = "6M"
UPLOAD_DELAY_SEC = 2  # time to copy the clip off the card before it is delivered and deleted
QUIET_SEC = 60  # with no message for so long something is broken
# How each clip is started: by the motion sensor or a command, at the trigger's own priority.
STARTS = ("motion_detection", "security_alert", "scheduled_recording", "historical_recording")
PRIORITIES = ("LOW", "NORMAL", "HIGH", "URGENT")
SOURCES = ("replay", "rtsp")


@dataclass
class Clip:
    """One recording and what became of it."""

    name: str
    trigger: str
    priority: int
    frames: int
    pre_roll_ms: int
    held_sha256: str
    held_bytes: int
    cloud_path: str = ""
    average_speed_kbps: int = 0
    is_delivered: bool = False
    faults: list[str] = field(default_factory=list)
    bar: TaskID | None = None

    @property
    def is_verified(self) -> bool:
        return self.is_delivered and not self.faults

    def summary(self) -> dict[str, Any]:
        left_out = ("bar", "held_sha256", "held_bytes")
        kept = {k: v for k, v in vars(self).items() if k not in left_out}
        return {
            **kept,
            "priority": PRIORITIES[self.priority],
            "bytes": self.held_bytes,
            "sha256": self.held_sha256,
            "is_verified": self.is_verified,
        }


class Demo:
    def __init__(self, table: Desk, console: Console, bars: Progress) -> None:
        self._table, self._console, self._bars = table, console, bars
        self.clips: dict[str, Clip] = {}

    def watch(self, seconds: int) -> None:
        """Give the camera a past that a clip can begin with."""
        self._say(f"watching for {seconds} s: a clip begins so long before its trigger")
        time.sleep(seconds + 1)  # and a key frame

    def record(self, number: int) -> None:
        """Start clip `number` and follow the camera until it is on the card."""
        trigger, before = STARTS[number % len(STARTS)], len(self.clips)
        board = self._table.board
        if trigger == "motion_detection":
            self._say(f"raising the PIR at GPIO {PIR_GPIO} for {MOTION_SEC} s")
            board.set_pin(PIR_GPIO, 1)
            time.sleep(MOTION_SEC)
            board.set_pin(PIR_GPIO, 0)
        else:
            self._say(f"sending the command to record a {trigger}")
            self._table.events.command("trigger", trigger=trigger, duration_sec=MOTION_SEC)
        while len(self.clips) == before:
            self._handle(self._table.events.next(QUIET_SEC))

    def deliver(self) -> None:
        """Follow the uploads until every clip is delivered or given up."""
        while any(not (clip.is_delivered or clip.faults) for clip in self.clips.values()):
            self._handle(self._table.events.next(QUIET_SEC))

    def _say(self, text: str) -> None:
        self._console.print(f"  {text}")

    def _handle(self, event: Event) -> None:
        name = event.get("event")
        handler = getattr(self, f"_on_{name}", None)
        if handler:
            handler(event)

    def _on_recording_started(self, event: Event) -> None:
        self._say(f"recording {event['file_path']}")

    def _on_recording_completed(self, event: Event) -> None:
        path = event["file_path"]
        held = card.get(self._table.board.card, path.removeprefix("/sdcard/"))
        clip = Clip(
            Path(path).name,
            event["trigger"],
            event["priority"],
            event["frames"],
            event["pre_roll_ms"],
            hashlib.sha256(held).hexdigest(),
            len(held),
        )
        seconds, before = event["duration_ms"] / 1000, clip.pre_roll_ms / 1000
        self._say(
            f"on the card: {path}, {seconds:.1f} s, {clip.frames} frames, {len(held):,} bytes;"
            f" begins {before:.1f} s before its trigger"
        )
        self.clips[path] = clip

    def _on_upload_started(self, event: Event) -> None:
        clip = self.clips[event["file_path"]]
        clip.cloud_path = event["cloud_path"]
        if clip.bar is None:
            label = f"{clip.name} {PRIORITIES[clip.priority]}"
            clip.bar = self._bars.add_task(label, total=event["file_size"], rate=0)

    def _on_upload_progress(self, event: Event) -> None:
        clip = self.clips[event["file_path"]]
        if clip.bar is not None:
            rate, sent = event["upload_speed_kbps"], event["bytes_uploaded"]
            self._bars.update(clip.bar, completed=sent, rate=rate)

    def _on_upload_completed(self, event: Event) -> None:
        clip = self.clips[event["file_path"]]
        clip.is_delivered = True
        clip.average_speed_kbps = event["average_speed_kbps"]
        if clip.bar is not None:
            rate = clip.average_speed_kbps
            self._bars.update(clip.bar, completed=clip.held_bytes, rate=rate)

    def _on_upload_failed(self, event: Event) -> None:
        failure = f"{event['error_code']}: {event['error_message']}"
        self._say(f"upload failed: {failure}")
        if not event["will_retry"]:
            self.clips[event["file_path"]].faults.append(failure)


def verify(table: Desk, clip: Clip) -> None:
    """Read the object back with boto3 and hold it against what the card had."""
    stored = table.object_bytes(clip.cloud_path)
    copy = FOLDER / clip.name
    copy.write_bytes(stored)
    if hashlib.sha256(stored).hexdigest() != clip.held_sha256:
        clip.faults.append("the object differs from the clip on the card")
    if errors := decode_errors(copy):
        clip.faults.append(f"ffmpeg: {errors}")
    elif (frames := frame_count(copy)) != clip.frames:
        clip.faults.append(f"ffprobe counts {frames} frames, the camera {clip.frames}")
    if not clip.pre_roll_ms:
        clip.faults.append("begins at its trigger, not before")
    if clip.name in table.recordings():
        clip.faults.append("delivered, but still on the card")
    contact_sheet(copy, copy.with_suffix(".png"), clip.frames)


def run(clips: int, store: str, source: str, console: Console) -> list[Clip]:
    changes: dict[str, Any] = {
        "recorder": {"pre_roll_sec": PRE_ROLL_SEC, "pre_roll_kb": PRE_ROLL_KB},
        "upload": {"upload_delay_sec": UPLOAD_DELAY_SEC},
    }
    with contextlib.ExitStack() as opened:
        console.print(
            f"Starting broker, store ({store}), cloud service, frame source ({source}) and board ..."
        )
        if source == "rtsp":
            film = footage(FILM)
            server = opened.enter_context(RtspServer(film, loops=FILM_LOOPS, auth="digest"))
            changes["source"] = {
                "type": "rtsp",
                "url": server.url,
                "user": server.user,
                "password": server.password,
            }
        shelf = opened.enter_context(STORES[store]())
        uplink = opened.enter_context(Uplink(shelf.host, shelf.port, UPLINK_BYTES_PER_SEC))
        table = opened.enter_context(
            desk(
                FOLDER,
                store=shelf,
                film=FILM,
                heap=HEAP,
                changes=changes,
                endpoint=f"http://{uplink.address}",
            )
        )
        console.print(f"The board is on line; its console is {table.board.port}")
        columns = (
            TextColumn("  {task.description}"),
            BarColumn(),
            DownloadColumn(),
            TextColumn("{task.fields[rate]} kB/s"),
        )
        with Progress(*columns, console=console) as bars:
            demo = Demo(table, console, bars)
            demo.watch(PRE_ROLL_SEC)
            for number in range(clips):
                demo.record(number)
            demo.deliver()
        for clip in demo.clips.values():
            if clip.is_delivered:
                verify(table, clip)
        return list(demo.clips.values())


def report(clips: list[Clip], expected: int, store: str, seconds: float, console: Console) -> bool:
    """Write summary.json, print the end of the demo; whether all is well."""
    delivered = sum(clip.is_delivered for clip in clips)
    verified = sum(clip.is_verified for clip in clips)
    failed = expected - verified
    summary = {
        "store": store,
        "seconds": round(seconds, 1),
        "delivered": delivered,
        "verified": verified,
        "failed": failed,
        "clips": [clip.summary() for clip in clips],
    }
    (FOLDER / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    for clip in clips:
        verdict = "; ".join(clip.faults) or "byte-equal, decodes, deleted from the card"
        console.print(f"{clip.name} -> {clip.cloud_path}\n  {verdict}; sha256 {clip.held_sha256}")
    console.print(f"Clips, contact sheets, serial log and summary are in {FOLDER}/")
    print(f"demo: {delivered} delivered, {verified} verified, {failed} failed")
    return failed == 0


def main() -> int:
    store = os.environ.get("STORE", "seaweedfs")
    source = os.environ.get("SOURCE", SOURCES[0])
    count = os.environ.get("DEMO_CLIPS", "1")
    if store not in STORES:
        print(f"STORE={store}: allowed are {', '.join(STORES)}", file=sys.stderr)
        return 2
    if source not in SOURCES:
        print(f"SOURCE={source}: allowed are {', '.join(SOURCES)}", file=sys.stderr)
        return 2
    if not count.isdigit() or not 1 <= int(count) <= 100:
        print(f"DEMO_CLIPS={count}: allowed is a whole number from 1 to 100", file=sys.stderr)
        return 2
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    console = Console(highlight=False, soft_wrap=True)
    started = time.monotonic()
    clips: list[Clip] = []
    try:
        clips = run(int(count), store, source, console)
    except (TimeoutError, ServiceError) as error:
        console.print(f"the demo stopped: {error}\nsee {FOLDER}/serial.log")
    seconds = time.monotonic() - started
    return 0 if report(clips, int(count), store, seconds, console) else 1


if __name__ == "__main__":
    sys.exit(main())
