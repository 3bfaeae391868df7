"""Runs tests/live/camera_device.py on either interpreter and follows what it says."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tools.desk import DEVICE_ID, CameraEvents, camera_config
from tools.interpreters import micropython
from tools.material import Footage
from tools.services import Mosquitto

ROOT = Path(__file__).resolve().parents[2]
# The heap that the whole camera must do with on a 64-bit host.
COMMANDS = {
    "cpython": [sys.executable],
    "micropython": [str(micropython()), "-X", "heapsize=512k"],
}


class Camera:
    """A camera process while entered; its card is a folder with `footage` and a config.json."""

    def __init__(
        self,
        interpreter: str,
        card: Path,
        broker: Mosquitto,
        film: Footage,
        changes: Mapping[str, Any] = {},
    ) -> None:
        self.card, self.interpreter = card, interpreter
        card.mkdir(parents=True, exist_ok=True)
        shutil.copy(film.h264, card / "footage.h264")
        config = camera_config(broker, film, changes)
        config["source"]["path"] = str(card / "footage.h264")
        (card / "config.json").write_text(json.dumps(config))
        self.console = card / "console.log"
        self._broker = broker

    def __enter__(self) -> "Camera":
        self.events = CameraEvents(self._broker)
        program = ROOT / "tests" / "live" / "camera_device.py"
        runner = ROOT / "tests" / "run_device.py"
        with self.console.open("ab") as log:
            self.process = subprocess.Popen(
                [*COMMANDS[self.interpreter], runner, program, "serve"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env={**os.environ, "CARD_ROOT": str(self.card), "PYTHONUNBUFFERED": "1"},
            )
        self.wait_for("MQTT link up")
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self.events.close()

    def wait_for(self, text: str, timeout_sec: float = 20) -> None:
        deadline = time.monotonic() + timeout_sec
        while text not in self.said():
            assert time.monotonic() < deadline, f"no {text!r} on the console:\n{self.said()}"
            time.sleep(0.02)

    def said(self) -> str:
        return self.console.read_text(errors="replace")

    def is_running(self) -> bool:
        return self.process.poll() is None

    def record(self, seconds: int = 2, **fields: Any) -> dict[str, Any]:
        """Record by command; the event of the finished clip."""
        self.events.command("trigger", duration_sec=seconds, **fields)
        return self.events.wait("recording_completed", timeout_sec=seconds + 20)

    def clips(self) -> list[str]:
        return sorted(path.name for path in (self.card / "recordings").iterdir())


__all__ = ["DEVICE_ID", "COMMANDS", "Camera"]
