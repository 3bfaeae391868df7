"""Runs tests/live/camera_device.py on either interpreter and follows what it says."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt

from tools.desk import DEVICE_ID, CameraEvents, camera_config
from tools.interpreters import micropython
from tools.material import Footage
from tools.services import Mosquitto

ROOT = Path(__file__).resolve().parents[2]
# The heap that the whole camera must do with on a 64-bit host.
HEAP = "512k"
COMMANDS = {"cpython": [sys.executable], "micropython": [str(micropython())]}
_ANSWERS = ("upload/response", "upload/complete_ack")


class Events(CameraEvents):
    """What the camera says; what it is told, which may be anything, is left out."""

    def _on_message(self, client: object, data: object, message: mqtt.MQTTMessage) -> None:
        if not message.topic.endswith(_ANSWERS):
            super()._on_message(client, data, message)


class Camera:
    """A camera process while entered; its card is a folder with `footage` and a config.json.

    `heap` is MicroPython's; `freeze_at` a point where it stands still, see camera_device.py.
    """

    def __init__(
        self,
        interpreter: str,
        card: Path,
        broker: Mosquitto,
        film: Footage,
        changes: Mapping[str, Any] = {},
        *,
        heap: str = HEAP,
        freeze_at: str = "",
    ) -> None:
        self.card, self.interpreter = card, interpreter
        self.heap, self.freeze_at = heap, freeze_at
        self.recordings = card / "recordings"
        card.mkdir(parents=True, exist_ok=True)
        shutil.copy(film.h264, card / "footage.h264")
        config = camera_config(broker, film, changes)
        config["source"]["path"] = str(card / "footage.h264")
        (card / "config.json").write_text(json.dumps(config))
        self.console = card / "console.log"
        self._starts_at = 0  # in the console: what earlier runs said comes before
        self._broker = broker

    def __enter__(self) -> "Camera":
        self.events = Events(self._broker)
        try:
            self.start()
        except BaseException:
            self.events.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.events.close()

    def start(self) -> None:
        """Power on; returns when the camera is on line."""
        self.power_on()
        try:
            self.wait_for("MQTT link up")
        except BaseException:
            self.kill()
            raise

    def power_on(self) -> None:
        """Start without waiting for anything."""
        program = ROOT / "tests" / "live" / "camera_device.py"
        runner = ROOT / "tests" / "run_device.py"
        self._starts_at = self.console.stat().st_size if self.console.exists() else 0
        with self.console.open("ab") as log:
            self.process = subprocess.Popen(
                [*self._command(), runner, program, "serve"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env={
                    **os.environ,
                    "CARD_ROOT": str(self.card),
                    "FREEZE_AT": self.freeze_at,
                    "PYTHONUNBUFFERED": "1",
                },
            )

    def _command(self) -> list[str]:
        heap = ["-X", f"heapsize={self.heap}"] if self.interpreter == "micropython" else []
        return COMMANDS[self.interpreter] + heap

    def kill(self) -> None:
        """SIGKILL: what a power cut is to a program. Harmless when it is off."""
        self.process.kill()
        self.process.wait()

    def reboot(self) -> None:
        """Power off at once and on again, with the same card."""
        self.kill()
        self.start()

    def wait_for(self, text: str, timeout_sec: float = 20, *, since: int | None = None) -> None:
        """Wait until it has said so, in this run of it or past so many characters of all runs."""
        deadline = time.monotonic() + timeout_sec
        while text not in (self.said_now() if since is None else self.said()[since:]):
            assert self.is_running(), f"the camera ended with {self.process.poll()}:\n{self.said()}"
            assert time.monotonic() < deadline, f"no {text!r} on the console:\n{self.said()}"
            time.sleep(0.02)

    def said(self) -> str:
        """The console of all runs."""
        return self.console.read_text(errors="replace")

    def said_now(self) -> str:
        """The console of this run."""
        return self.console.read_bytes()[self._starts_at :].decode(errors="replace")

    def is_running(self) -> bool:
        return self.process.poll() is None

    def record(self, seconds: int = 2, **fields: Any) -> dict[str, Any]:
        """Record by command; the event of the finished clip."""
        self.events.command("trigger", duration_sec=seconds, **fields)
        return self.events.wait("recording_completed", timeout_sec=seconds + 20)

    def put(self, clip: Path, name: str) -> Path:
        """A clip on the card, whole from its first moment there; queued by nobody."""
        self.recordings.mkdir(exist_ok=True)
        there = self.recordings / name
        shutil.copyfile(clip, self.card / "arriving")
        (self.card / "arriving").rename(there)
        return there

    def upload(self, clip: Path, name: str, priority: str = "NORMAL") -> Path:
        """A clip on the card that the camera is told to upload."""
        there = self.put(clip, name)
        self.events.command("upload_file", path=str(there), priority=priority)
        return there

    def clips(self) -> list[str]:
        return sorted(path.name for path in self.recordings.iterdir())

    def wait_until_gone(self, clip: str, timeout_sec: float = 20) -> None:
        """Until the camera has deleted the clip of that name, as it does once its delivery is told."""
        deadline = time.monotonic() + timeout_sec
        while clip in self.clips():
            assert time.monotonic() < deadline, f"still on the card: {self.clips()}"
            time.sleep(0.02)

    def wait_until_empty(self) -> None:
        """Until the camera has deleted all clips."""
        for clip in self.clips():
            self.wait_until_gone(clip)

    def format_card(self) -> None:
        """All that the camera wrote is gone."""
        for path in self.card.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
        self.recordings.mkdir()

    def start_heap_watch(self) -> None:
        """From now on the heap is looked at in every turn of the camera's loop."""
        said_before = len(self.said())
        (self.card / "heap").touch()
        self.wait_for("heap is watched", since=said_before)

    def end_heap_watch(self) -> tuple[int, int]:
        """Bytes of heap in use, garbage not counted: the most since the start, and now."""
        said_before = len(self.said())
        (self.card / "heap").unlink()
        self.wait_for("heap peak", since=said_before)
        told = _HEAP_LINE.findall(self.said()[said_before:])[-1]
        return int(told[0]), int(told[1])


_HEAP_LINE = re.compile(r"heap peak (\d+) rest (\d+)")


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


__all__ = ["COMMANDS", "DEVICE_ID", "Camera", "Events", "sha256"]
