"""A camera on the desk whose console tells its heap: see device/gauged_main.py."""

import contextlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tools.bench.interpreter import PROGRAMS, ROOT, WORK, MeasurementFailed
from tools.desk import Desk, desk

_START_SEC = 20
_READING = re.compile(r"^heap (before|imported|now) (\d+) (\d+)\r?$", re.M)
_TROUBLE = re.compile(r"^.*(?:Traceback| died\b|MemoryError|resetting:).*", re.M)


@dataclass
class Heap:
    """Bytes in use, garbage not counted."""

    before: int
    imported: int
    readings: list[int]  # every few ms from then on
    size: int  # of the whole heap


class GaugedDesk:
    def __init__(self, table: Desk, log_start: int) -> None:
        self.table = table
        self._log_start = log_start

    def heap(self) -> Heap:
        """All readings since the start; MeasurementFailed when the console tells of trouble."""
        log = self.table.board.serial_log.read_bytes()[self._log_start :]
        told = log.decode(errors="replace")
        if trouble := _TROUBLE.search(told):
            raise MeasurementFailed(
                f"on the board: {trouble[0]} ...\n{told[trouble.start() :][:1000]}"
            )
        found = _READING.findall(told)
        readings = {when: [int(used) for w, used, _ in found if w == when] for when, _, _ in found}
        if len(readings["before"]) != 1:
            raise MeasurementFailed(f"the board started {len(readings['before'])} times, not once")
        (before,), (imported,) = readings["before"], readings["imported"]
        return Heap(before, imported, readings["now"], int(found[0][2]))


@contextlib.contextmanager
def gauged_desk(**options: Any) -> Iterator[GaugedDesk]:
    """tools.desk.desk with these options, its board gauged and on line."""
    folder = ROOT / WORK / "desk"
    shutil.rmtree(folder, ignore_errors=True)
    with desk(folder, **options) as table:
        board = table.board
        log_start = board.serial_log.stat().st_size
        mpremote = [sys.executable, "-m", "mpremote", "connect", board.port]
        main = str(ROOT / PROGRAMS / "gauged_main.py")
        subprocess.run(
            [*mpremote, "fs", "cp", main, ":main.py", "+", "reset"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        board.wait_for("MQTT link up", timeout_sec=_START_SEC)
        yield GaugedDesk(table, log_start)
