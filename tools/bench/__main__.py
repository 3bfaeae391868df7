"""Measure, print one table, write build/bench.json: `python -m tools.bench [P1 P5 ...]`.

Exit status 0 when everything was measured, whether or not a target is met; 1 when something could
not be measured.
"""

import argparse
import sys
import time

from rich.console import Console

from tools.bench import (
    body_loop,
    job_queue,
    latency,
    motion,
    muxer,
    presign_service,
    size,
    small_heap,
    throughput,
    upload_heap,
)
from tools.bench.interpreter import ROOT, MeasurementFailed
from tools.bench.report import Row, table, write_json

RESULT = ROOT / "build" / "bench.json"
MEASUREMENTS = {
    "P1": body_loop.measure,
    "P2": upload_heap.measure,
    "P3": throughput.measure,
    "P5": muxer.measure,
    "P6": latency.measure,
    "P7": job_queue.measure,
    "P8": presign_service.measure,
    "P9": size.measure,
    "P10": small_heap.measure,
    "M1": motion.measure_sizes,
    "M2": motion.measure_luma,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="tools.bench", description="What the camera costs.")
    parser.add_argument("ids", nargs="*", metavar="ID", help=f"some of {' '.join(MEASUREMENTS)}")
    chosen = parser.parse_args().ids or list(MEASUREMENTS)
    if unknown := set(chosen) - set(MEASUREMENTS):
        parser.error(f"{' '.join(sorted(unknown))}: allowed are {' '.join(MEASUREMENTS)}")
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    rows: list[Row] = []
    failed = []
    for name in chosen:
        started = time.monotonic()
        measured = _measured(name, console)
        rows += measured
        if not measured:
            failed.append(name)
        verdict = "measured" if measured else "NOT measured"
        console.print(f"{name} {verdict}, {time.monotonic() - started:.0f} s")
    console.print(table(rows))
    write_json(RESULT, rows)
    console.print(f"written to {RESULT.relative_to(ROOT)}")
    if failed:
        console.print(f"could not be measured: {' '.join(failed)}")
    return 1 if failed else 0


def _measured(name: str, console: Console) -> list[Row]:
    """The rows of one measurement; none, and what is wrong on the screen, when it fails."""
    with console.status(name) as status:
        try:
            return MEASUREMENTS[name](lambda text: status.update(f"{name} {text}"))
        except MeasurementFailed as error:
            console.print(f"{name}: {error}", markup=False)
        except Exception:  # the other measurements go on
            console.print_exception()
    return []


if __name__ == "__main__":
    sys.exit(main())
