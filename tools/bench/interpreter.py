"""Runs the programs of device/ on real MicroPython, as they are or with their instructions counted.

A program prints one JSON object as its last line. Instructions are callgrind's count for the whole
process; what a unit of work costs is the difference between two sizes, divided by the difference in
work, so that start-up and imports drop out. All paths are relative to the clone: MicroPython's unix
port does not take long command lines.
"""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

from tools.interpreters import micropython

ROOT = Path(__file__).resolve().parents[2]
WORK = Path("build/bench")
PROGRAMS = Path("tools/bench/device")
_LONGEST_RUN_SEC = 300
# As on the board: the product, /lib, then what a board has in its firmware.
_PATH = ".:lib:build/micropython-lib:.frozen"


class MeasurementFailed(Exception):
    """A figure could not be measured; the text says why."""


def run(program: str, *arguments: object, heap: str = "2M") -> dict[str, Any]:
    """Run it and return the object it printed; MeasurementFailed."""
    return _execute([], program, arguments, heap)


def count(program: str, *arguments: object, heap: str = "2M") -> dict[str, Any]:
    """As run(), with the `instructions` of the whole process in the object; MeasurementFailed."""
    log = WORK / "callgrind.log"
    callgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    printed = _execute([*callgrind, f"--log-file={log}"], program, arguments, heap)
    counted = re.search(r"Collected : (\d+)", (ROOT / log).read_text())
    if counted is None:
        raise MeasurementFailed(f"callgrind counted nothing, see {log}")
    return {**printed, "instructions": int(counted[1])}


def _execute(
    prefix: list[str], program: str, arguments: tuple[object, ...], heap: str
) -> dict[str, Any]:
    command = [*prefix, str(micropython()), "-X", f"heapsize={heap}", str(PROGRAMS / program)]
    done = subprocess.run(
        [*command, *map(str, arguments)],
        cwd=ROOT,
        # The wheel's command is a Python script: a fixed hash seed makes its own share the same.
        env={**os.environ, "MICROPYPATH": _PATH, "PYTHONHASHSEED": "0", "TZ": "UTC"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_LONGEST_RUN_SEC,
    )
    printed = done.stdout.splitlines()
    if done.returncode != 0 or not printed:
        shown = f"{done.stdout}\n{done.stderr}".strip()
        raise MeasurementFailed(f"{program} {arguments} ended with {done.returncode}:\n{shown}")
    found: dict[str, Any] = json.loads(printed[-1])
    return found


def scratch(name: str) -> Path:
    """A place for a file of this run, relative to the clone."""
    (ROOT / WORK).mkdir(parents=True, exist_ok=True)
    return WORK / name
